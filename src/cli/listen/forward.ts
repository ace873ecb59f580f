import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { messageOf } from "../failure.ts";

export interface ForwardAnswer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly bytes: Buffer;
  /** Why there was no answer to pass on; null otherwise. */
  readonly error: string | null;
}

/** Hands requests on to another server as they came, and gives back its answer as it came. */
export interface Forwarder {
  /** Never rejects: no answer is a 502, one that takes too long a 504. */
  send(request: IncomingMessage, body: Buffer): Promise<ForwardAnswer>;
  stop(): void;
}

/** As long as the longest attempt of a webhook: after that nobody waits for the answer. */
const TIMEOUT_MS = 30_000;
/** More than hookd reads of an answer. */
const ANSWER_BYTES_MAX = 1024 * 1024;
/** Connections that are used again; more requests than these wait for one. */
const CONNECTIONS_MAX = 64;
/** Of one connection, and not of the request (RFC 9110 section 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // Each side sends its own.
  "content-length",
  "host",
]);

export function createForwarder(target: URL, timeoutMs = TIMEOUT_MS): Forwarder {
  const isSecure = target.protocol === "https:";
  const agentOptions = { keepAlive: true, maxSockets: CONNECTIONS_MAX };
  const agent = isSecure ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
  const stopping = new AbortController();

  async function send(request: IncomingMessage, body: Buffer): Promise<ForwardAnswer> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([stopping.signal, timeout]);
    try {
      const headers = { ...passedOn(request.headers), "content-length": body.length };
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const open = isSecure ? httpsRequest : httpRequest;
        open(target, { method: "POST", headers, agent, signal })
          .once("response", resolve)
          .once("error", reject)
          .end(body);
      });
      const bytes = await readAnswer(answer);
      return { status: statusOf(answer), headers: passedOn(answer.headers), bytes, error: null };
    } catch (error) {
      if (timeout.aborted) return noAnswer(504, `no answer within ${timeoutMs / 1000} s`);
      return noAnswer(502, causeOf(error));
    }
  }

  return {
    send,
    stop() {
      stopping.abort();
      agent.destroy();
    },
  };
}

async function readAnswer(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer has more than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function statusOf({ statusCode = 0 }: IncomingMessage): number {
  // Node writes no status outside of these.
  return statusCode >= 200 && statusCode <= 999 ? statusCode : 502;
}

function passedOn(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  // A header may name others that are of its connection only.
  const named = (headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.includes(name)),
  );
}

function noAnswer(status: number, error: string): ForwardAnswer {
  const headers = { "content-type": "text/plain; charset=utf-8" };
  return { status, headers, bytes: Buffer.from(`not forwarded: ${error}\n`), error };
}

/** Node tells of several addresses at once without a message. */
function causeOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  return messageOf(error);
}
