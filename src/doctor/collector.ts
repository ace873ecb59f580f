import { type Check, type Finding, ok, problem } from "./check.ts";

const ANSWER_MS = 5_000;

export const collector: Check = {
  name: "traces",
  about: "The collector at `trace.endpoint`, where it is set, takes spans: it is sent an export without any.",
  run({ config }) {
    const { endpoint, headers } = config.trace;
    return endpoint === null ? ok("none: nothing is traced (trace.endpoint)") : ask(endpoint, headers);
  },
};

/** An export request without spans is no byte long in protobuf. */
async function ask(endpoint: string, headers: Readonly<Record<string, string>>): Promise<Finding> {
  let status: number;
  try {
    const response = await fetch(endpoint, {
      method: "POST",
      headers: { ...headers, "content-type": "application/x-protobuf" },
      body: new Uint8Array(0),
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await response.body?.cancel();
    status = response.status;
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error ? cause.message : String(cause);
    return problem(
      `the collector at ${endpoint} does not answer: ${why}`,
      "start it, or correct trace.endpoint; deliveries go on without it, and spans are dropped",
    );
  }
  if (status >= 200 && status < 300) return ok(`${endpoint} takes spans`);
  const found = `the collector at ${endpoint} answers ${status}`;
  if (status === 401 || status === 403) return problem(found, "put its key into trace.headers");
  if (status === 404 || status === 405) {
    return problem(
      found,
      "correct trace.endpoint: OTLP over HTTP mostly has port 4318 and the path /v1/traces",
    );
  }
  return problem(found, "look at the collector's log");
}
