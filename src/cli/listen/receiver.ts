import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type SigningKey, verifyLegacy, verifyStandard } from "../../domain/sign.ts";
import type { ForwardAnswer, Forwarder } from "./forward.ts";

export interface ReceiverOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Of any of these keys; none: nothing is verified. Requests wait for keys that are yet to come. */
  readonly keys: readonly SigningKey[] | Promise<readonly SigningKey[]>;
  /** What a delivery with a good signature is answered: 200 to 599. */
  readonly status: number;
  /** Of those deliveries, the share that is answered 500 instead: 0 to 1. */
  readonly failShare: number;
  /** How long every answer takes. */
  readonly delayMs: number;
  /** Answers in place of `status`; what is refused, or is to fail, does not get there. */
  readonly forward: Forwarder | null;
  /** Wall clock, epoch ms. */
  readonly now: () => number;
  readonly onDelivery: (delivery: ReceivedDelivery) => void;
}

/** One request as it was taken. All text is the sender's: untrusted. */
export interface ReceivedDelivery {
  readonly at: number;
  /** The header `webhook-id`. */
  readonly eventUid: string | null;
  readonly eventId: string | null;
  readonly webhookId: string | null;
  readonly attempt: string | null;
  readonly verdict: SignatureVerdict;
  /** What it was answered. */
  readonly status: number;
  /** Why a forwarded one got no answer; null otherwise. */
  readonly forwardError: string | null;
  /** The sender hung up before it was answered. */
  readonly isGone: boolean;
  readonly contentType: string | null;
  readonly body: Buffer;
}

/** `unchecked`: no secret to check with. */
export type SignatureVerdict =
  | { readonly kind: "verified" | "unchecked" }
  | { readonly kind: "refused"; readonly reason: string };

export interface Receiver {
  /** Where senders on this machine reach it. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Four times what hookd sends at most by default. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Longer than senders keep idle connections, so that it is not the receiver that closes one under a request. */
const KEEP_ALIVE_MS = 75_000;
/** With their bodies in memory while they are delayed or forwarded: 512 MiB at the very most. */
const CONNECTIONS_MAX = 512;

/** Starts a receiver of webhooks that verifies what it gets. Rejects where it cannot listen. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const stopping = new AbortController();
  let failed = 0;
  let good = 0;

  /** Evenly spread instead of drawn: 20 % is every fifth. */
  function isFailing(): boolean {
    good += 1;
    const due = Math.floor(good * options.failShare + 1e-9);
    if (due <= failed) return false;
    failed = due;
    return true;
  }

  async function reply(request: IncomingMessage, body: Buffer, verdict: SignatureVerdict): Promise<Reply> {
    if (verdict.kind === "refused") return textReply(401, `signature refused: ${verdict.reason}`);
    if (isFailing()) return textReply(500, "--fail");
    if (options.forward === null) return textReply(options.status, "ok");
    return options.forward.send(request, body);
  }

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST")
      return answer(response, textReply(405, "hookd listen takes POST requests"));
    const body = await readBody(request);
    if (body === null) {
      // The rest of the body is not read, so the connection is of no more use.
      response.setHeader("connection", "close");
      return answer(response, textReply(413, `the body has more than ${BODY_BYTES_MAX} bytes`));
    }
    const at = options.now();
    const verdict = verify(await options.keys, at, request, body);
    if (options.delayMs > 0) await sleep(options.delayMs, undefined, { signal: stopping.signal });
    const { status, headers, bytes, error } = await reply(request, body, verdict);
    options.onDelivery({
      at,
      eventUid: header(request, "webhook-id"),
      eventId: header(request, "hookd-event-id"),
      webhookId: header(request, "hookd-webhook-id"),
      attempt: header(request, "hookd-attempt"),
      verdict,
      status,
      forwardError: error,
      isGone: response.destroyed,
      contentType: header(request, "content-type"),
      body,
    });
    answer(response, { status, headers, bytes, error });
  }

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    // A sender that hangs up mid-body ends here, and so does a stop; there is nobody left to tell.
    receive(request, response).catch(() => response.destroy());
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listening(server, options);
  return {
    url: urlOf(server.address() as AddressInfo),
    stop: () =>
      new Promise((resolve) => {
        stopping.abort();
        options.forward?.stop();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

type Reply = ForwardAnswer;

function textReply(status: number, text: string): Reply {
  const headers = { "content-type": "text/plain; charset=utf-8" };
  return { status, headers, bytes: Buffer.from(`${text}\n`), error: null };
}

/** An address that stands for all of the machine's is no address to send to. */
function urlOf({ address, family, port }: AddressInfo): string {
  if (address === "0.0.0.0") return `http://127.0.0.1:${port}/`;
  if (address === "::") return `http://[::1]:${port}/`;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}/`;
}

function verify(
  keys: readonly SigningKey[],
  now: number,
  request: IncomingMessage,
  body: Buffer,
): SignatureVerdict {
  if (keys.length === 0) return { kind: "unchecked" };
  const nowSeconds = Math.floor(now / 1000);
  const standard = verifyStandard(
    keys.map(({ bytes }) => bytes),
    {
      id: header(request, "webhook-id") ?? undefined,
      timestamp: header(request, "webhook-timestamp") ?? undefined,
      signature: header(request, "webhook-signature") ?? undefined,
    },
    body,
    nowSeconds,
  );
  if (!standard.ok) return { kind: "refused", reason: `webhook-signature ${standard.reason}` };
  const older = header(request, "x-signature") ?? undefined;
  const texts = keys.map(({ text }) => text);
  const legacy = verifyLegacy(texts, older, body, nowSeconds);
  // Other senders of Standard Webhooks have no x-signature; where there is one it must be right.
  if (!legacy.ok && older !== undefined) return { kind: "refused", reason: `x-signature ${legacy.reason}` };
  return { kind: "verified" };
}

async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  if (Number(request.headers["content-length"]) > BODY_BYTES_MAX) return null;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function header(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === "string" ? value : null;
}

function answer(response: ServerResponse, { status, headers, bytes }: Reply): void {
  response.writeHead(status, headers).end(bytes);
}

function listening(server: Server, { host, port }: ReceiverOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
}
