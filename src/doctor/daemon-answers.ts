import type { Config } from "../config/config.ts";
import { type Listener, listenersOf } from "./listeners.ts";
import type { Holder } from "./lock-holder.ts";

/** What a running hookd says of itself without a key. */
export interface DaemonAnswers {
  readonly version: string;
  /** Null while it takes events. */
  readonly refusal: { readonly code: string; readonly detail: string } | null;
  /**
   * A gauge or counter without labels; null where it is not known, or metrics are not open to this machine.
   */
  metric(name: string): number | null;
}

const ANSWER_MS = 3_000;
const ANSWER_BYTES_MAX = 4 * 1_024 * 1_024;

/**
 * Where the daemon is: where the operator says, else where the process that has the database open listens,
 * else where the configuration says. Null where it may be on any port.
 */
export function locateDaemon(asked: URL | null, config: Config, holder: Holder): URL | null {
  if (asked !== null) return asked;
  const [listener] = holder.kind === "process" ? (listenersOf(holder.pid) ?? []) : [];
  const { host, port }: Pick<Listener, "host" | "port"> = listener ?? config.listen;
  if (port === 0) return null;
  return new URL(`http://${hostToDial(host)}:${port}`);
}

/** Null where nothing answers as hookd does. */
export async function askDaemon(server: URL): Promise<DaemonAnswers | null> {
  const health = parseJson(await get(server, "/healthz"));
  if (health?.status !== "ok" || typeof health.version !== "string") return null;
  const [ready, metrics] = await Promise.all([get(server, "/readyz"), get(server, "/metrics")]);
  const readiness = parseJson(ready);
  return {
    version: health.version,
    refusal:
      readiness?.status === "ready"
        ? null
        : { code: String(readiness?.code ?? "none"), detail: String(readiness?.detail ?? "no answer") },
    metric(name) {
      const found = new RegExp(`^${name} ([0-9.e+-]+)$`, "m").exec(metrics ?? "");
      return found === null ? null : Number(found[1]);
    },
  };
}

/** The body, whatever the status; null where there is no answer. */
async function get(server: URL, path: string): Promise<string | null> {
  const url = new URL(`${server.pathname.replace(/\/+$/, "")}${path}`, server);
  try {
    const response = await fetch(url, { redirect: "error", signal: AbortSignal.timeout(ANSWER_MS) });
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) return null;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  } catch {
    return null;
  }
}

function parseJson(text: string | null): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text ?? "");
    return typeof value === "object" && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

/** What listens on every address is reached by loopback. */
function hostToDial(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  const dialled = host === "::" ? "::1" : host;
  return dialled.includes(":") ? `[${dialled}]` : dialled;
}
