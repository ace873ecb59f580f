import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import { expect, onTestFinished } from "vitest";
import { compileAddressPolicy } from "../../src/domain/address.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { SealedParts } from "../../src/domain/webhook.ts";
import type { Clock } from "../../src/lib/clock.ts";
import type { SendFailure } from "../../src/sender/failure.ts";
import { createSender, type HttpSender, type HttpSenderOptions } from "../../src/sender/http-sender.ts";
import type { Outcome, SendOrder, Target } from "../../src/sender/port.ts";

export const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
export const TIMEOUT_MS = 15_000;

/** Real time, that a test can move on. */
export interface TestClock extends Clock {
  advance(ms: number): void;
}

export function testClock(): TestClock {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    mono: () => performance.now() + offset,
    advance: (ms) => {
      offset += ms;
    },
  };
}

export interface World {
  readonly sender: HttpSender;
  readonly clock: TestClock;
  readonly failures: SendFailure[];
  /** Puts a target and makes one attempt; the promise is its outcome. */
  post(
    url: string,
    order?: Partial<SendOrder>,
    target?: Partial<Target>,
    parts?: Partial<SealedParts>,
  ): Promise<Outcome>;
  /** Makes one attempt to a target that was put before. */
  order(order?: Partial<SendOrder>): Promise<Outcome>;
  target(url: string, target?: Partial<Target>, parts?: Partial<SealedParts>): void;
}

/** A sender that may reach loopback, unless the test says otherwise. */
export function setup(options: Partial<HttpSenderOptions> & { loopback?: boolean } = {}): World {
  const { loopback = true, ...rest } = options;
  const clock = testClock();
  const sealed = new Map<string, SealedParts>();
  const waiting = new Map<number, (outcome: Outcome) => void>();
  const failures: SendFailure[] = [];
  const unexpected: Outcome[] = [];
  const sender = createSender(
    {
      clock,
      version: "1.2.3",
      policy: compileAddressPolicy({ allow: [], allowLoopback: loopback, nat64: false, own: [] }),
      allowHttp: true,
      allowLoopback: loopback,
      dnsServers: [],
      caFile: null,
      excerptBytes: 1_024,
      idleConnectionsMax: 64,
      open: (bytes) => sealed.get(Buffer.from(bytes).toString()) ?? fail("not sealed here"),
      onFailure: (_outcome, failure) => failures.push(failure),
      ...rest,
    },
    (outcome) => {
      const resolve = waiting.get(outcome.deliveryId);
      waiting.delete(outcome.deliveryId);
      if (resolve === undefined) unexpected.push(outcome);
      else resolve(outcome);
    },
  );
  onTestFinished(async () => {
    await sender.stop();
    expect(unexpected, "outcomes that nobody ordered").toEqual([]);
    expect(sender.counts()).toMatchObject({ takenConnections: 0, idleConnections: 0, isTicking: false });
  });

  let nextId = 1;
  const target = (
    callbackUrl: string,
    given: Partial<Target> = {},
    parts: Partial<SealedParts> = {},
  ): void => {
    const webhookId = given.webhookId ?? (1 as WebhookId);
    const key = `sealed ${webhookId} ${nextId}`;
    sealed.set(key, { secrets: [{ secret: SECRET, expiresAt: null }], headers: [], ...parts });
    sender.putTarget({
      webhookId,
      publicId: "wh_test",
      callbackUrl,
      timeoutMs: TIMEOUT_MS,
      sealed: Buffer.from(key),
      permanent: ["4xx", "!408", "!425", "!429"],
      ...given,
    });
  };
  const order = (given: Partial<SendOrder> = {}): Promise<Outcome> => {
    const deliveryId = nextId as DeliveryId;
    nextId += 1;
    return new Promise((resolve) => {
      waiting.set(deliveryId, resolve);
      sender.send([
        {
          deliveryId,
          token: deliveryId + 1_000,
          webhookId: 1 as WebhookId,
          attemptNumber: 1,
          eventUid: `evt_${deliveryId}`,
          eventId: "user.created",
          contentType: "application/json",
          payload: Buffer.from('{"a":1.0}'),
          traceparent: null,
          ...given,
        },
      ]);
    });
  };
  const post: World["post"] = (url, given = {}, targetGiven = {}, parts = {}) => {
    target(
      url,
      { ...(given.webhookId === undefined ? {} : { webhookId: given.webhookId }), ...targetGiven },
      parts,
    );
    return order(given);
  };
  return { sender, clock, failures, post, order, target };
}

export interface Receiver {
  readonly port: number;
  readonly url: string;
  /** Connections accepted so far. */
  readonly connections: number;
  /** The requests read so far, head and body, as text. */
  readonly requests: string[];
  /** Resolves when every connection so far is closed. */
  allClosed(): Promise<void>;
  /** Resolves when that many requests have been read. */
  requested(count: number): Promise<void>;
  readonly sockets: readonly Socket[];
}

export type Respond = (socket: Socket, requestNumber: number) => void;

export interface ReceiverOptions {
  readonly tls?: TlsOptions;
  readonly host?: string;
  readonly port?: number;
  readonly onConnection?: (socket: Socket) => void;
}

/** A receiver made of a bare socket: calls `respond` when it has read a whole request. */
export async function receiver(respond: Respond, options: ReceiverOptions = {}): Promise<Receiver> {
  const { tls, host = "127.0.0.1", port = 0, onConnection } = options;
  const sockets: Socket[] = [];
  const requests: string[] = [];
  const watchers = new Set<() => void>();
  const onSocket = (socket: Socket): void => {
    let text = "";
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = requestEnd(text); end !== null; end = requestEnd(text)) {
        requests.push(text.slice(0, end));
        text = text.slice(end);
        respond(socket, requests.length);
        for (const watcher of watchers) watcher();
      }
    });
    onConnection?.(socket);
  };
  const server: Server = tls === undefined ? createServer(onSocket) : createTlsServer(tls, onSocket);
  server.on("connection", (socket: Socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
  });
  server.listen(port, host);
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${address.port}/hook`,
    requests,
    sockets,
    get connections() {
      return sockets.length;
    },
    allClosed: async () => {
      await Promise.all(sockets.map((socket) => (socket.closed ? undefined : closed(socket))));
    },
    requested: (count) =>
      new Promise((resolve) => {
        const watcher = (): void => {
          if (requests.length < count) return;
          watchers.delete(watcher);
          resolve();
        };
        watchers.add(watcher);
        watcher();
      }),
  };
}

/** Where the first whole request in `text` ends; null if it is not there yet. */
function requestEnd(text: string): number | null {
  const head = text.indexOf("\r\n\r\n");
  if (head < 0) return null;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(text.slice(0, head + 2))?.[1] ?? 0);
  const end = head + 4 + length;
  return text.length >= end ? end : null;
}

/** Listeners on loopback that must not be connected to. */
export async function canaries(): Promise<{ port: number; touched(): number }> {
  const first = await receiver(() => {});
  const second = await receiver(() => {}, { host: "::1", port: first.port });
  return { port: first.port, touched: () => first.connections + second.connections };
}

export const OK_RESPONSE = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
export const answerOk: Respond = (socket) => {
  socket.write(OK_RESPONSE);
};

/** Writes pieces until the socket closes or `max` have been written, each when the last one has left. */
export function drip(
  socket: Socket,
  piece: (index: number) => string | Buffer,
  onPiece: (count: number) => void = () => {},
  max = Number.POSITIVE_INFINITY,
): void {
  let count = 0;
  const next = (): void => {
    if (socket.destroyed || count >= max) return;
    socket.write(piece(count), () => {
      count += 1;
      onPiece(count);
      setImmediate(next);
    });
  };
  next();
}

/** Header lines of a request in the receiver's record, in order. */
export function headerLines(request: string): [name: string, value: string][] {
  const head = request.slice(0, request.indexOf("\r\n\r\n"));
  return head
    .split("\r\n")
    .slice(1)
    .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
}

/** Not `once`: that rejects when an error comes first. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

function fail(message: string): never {
  throw new Error(message);
}
