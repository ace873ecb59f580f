import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type SigningKey, verifyLegacy, verifyStandard } from "../domain/sign.ts";

export interface ReceiverOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Of any of these keys; none: nothing is verified. */
  readonly keys: readonly SigningKey[];
  /** Of the deliveries with a good signature, the share that is answered 500: 0 to 1. */
  readonly failShare: number;
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
  readonly contentType: string | null;
  readonly body: Buffer;
}

/** `unchecked`: no secret to check with. */
export type SignatureVerdict =
  | { readonly kind: "verified" | "unchecked" }
  | { readonly kind: "refused"; readonly reason: string };

export interface Receiver {
  readonly url: string;
  stop(): Promise<void>;
}

/** Four times what hookd sends at most by default. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Longer than senders keep idle connections, so that it is not the receiver that closes one under a request. */
const KEEP_ALIVE_MS = 75_000;

/** Starts a receiver of webhooks that verifies what it gets. Rejects where it cannot listen. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
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

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== "POST") return answer(response, 405, "hookd listen takes POST requests");
    const body = await readBody(request);
    if (body === null) {
      // The rest of the body is not read, so the connection is of no more use.
      response.setHeader("connection", "close");
      return answer(response, 413, `the body has more than ${BODY_BYTES_MAX} bytes`);
    }
    const verdict = verify(options, request, body);
    const isRefused = verdict.kind === "refused";
    const status = isRefused ? 401 : isFailing() ? 500 : 200;
    options.onDelivery({
      at: options.now(),
      eventUid: header(request, "webhook-id"),
      eventId: header(request, "hookd-event-id"),
      webhookId: header(request, "hookd-webhook-id"),
      attempt: header(request, "hookd-attempt"),
      verdict,
      status,
      contentType: header(request, "content-type"),
      body,
    });
    answer(
      response,
      status,
      isRefused ? `signature refused: ${verdict.reason}` : status === 500 ? "--fail" : "ok",
    );
  }

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    // A sender that hangs up mid-body ends here; there is nobody left to tell.
    receive(request, response).catch(() => response.destroy());
  });
  await listening(server, options);
  const { address, family, port } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${port}/`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function verify({ keys, now }: ReceiverOptions, request: IncomingMessage, body: Buffer): SignatureVerdict {
  if (keys.length === 0) return { kind: "unchecked" };
  const nowSeconds = Math.floor(now() / 1000);
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

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${text}\n`);
}

function listening(server: Server, { host, port }: ReceiverOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve());
  });
}
