import { readFileSync } from "node:fs";
import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from "node:net";
import {
  connect as connectTls,
  createSecureContext,
  rootCertificates,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import { LRUCache } from "lru-cache";
import type { AddressPolicy } from "../domain/address.ts";
import type { Clock } from "../lib/clock.ts";
import type { Deadlines, Watched } from "./deadlines.ts";
import { connectFailure, SendFailure } from "./failure.ts";
import { dialled, type NameResolver } from "./resolver.ts";

/**
 * Bounds of the two phases, inside the attempt's own deadline: a receiver that is there answers in far less.
 */
const CONNECT_MS = 5_000;
const TLS_MS = 5_000;
/**
 * How long one of several addresses may take before the next is tried: the first SYN's retransmission comes
 * at 1 s.
 */
const ADDRESS_MS = 1_000;
/** TLS sessions kept for resumption, by origin; the least recently used goes. */
const SESSIONS_MAX = 1_000;
const TCP_KEEP_ALIVE_MS = 60_000;
/** What one read may bring; libuv itself asks for as much. */
const READ_BYTES = 64 * 1_024;

/** Where a connection goes: scheme, host and port of a callback URL. */
export interface Endpoint {
  /** `https://host:port`, also the key of its connections. */
  readonly origin: string;
  /** Without brackets or trailing dot. */
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

export type DialCallback = (failure: SendFailure | null, socket: Socket | null) => void;
/** The first `length` bytes of `buffer` are what came; the buffer is used again when this returns. */
export type BytesCallback = (buffer: Buffer, length: number) => void;

export interface DialerOptions {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly policy: AddressPolicy;
  readonly resolver: NameResolver;
  /** `localhost` is 127.0.0.1, then ::1, without DNS. */
  readonly allowLoopback: boolean;
  /** PEM file of certificates that are trusted besides Node's. */
  readonly caFile: string | null;
}

/**
 * Opens connections, to vetted addresses only. A name is resolved here and the addresses that were checked
 * are the ones dialled: between the check and the use nobody resolves again, so rebinding finds no gap. One
 * forbidden address among many refuses the name. Literals never pass a `lookup`, so they are checked on their
 * own, and the peer of the finished connection is checked once more.
 */
export class Dialer {
  readonly options: DialerOptions;
  readonly secureContext: SecureContext;
  readonly sessions = new LRUCache<string, Buffer>({ max: SESSIONS_MAX });
  /**
   * One for all connections: each read is over before the next begins. A stream makes a buffer for each read
   * and a 'data' event of it, which cost 3-8 us more per attempt.
   */
  readonly readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

  /** Throws if the CA file cannot be read or parsed. */
  constructor(options: DialerOptions) {
    this.options = options;
    const ca =
      options.caFile === null ? {} : { ca: [...rootCertificates, readFileSync(options.caFile, "utf8")] };
    // Made once: with roots of its own, each connection would parse 150 certificates.
    this.secureContext = createSecureContext({ ...ca, minVersion: "TLSv1.2" });
  }

  /**
   * Calls back exactly once, never before it returned; not at all if the dial is cancelled. The bytes that
   * the socket receives go to `onBytes`: it has no 'data' events.
   */
  dial(endpoint: Endpoint, callback: DialCallback, onBytes: BytesCallback): Dial {
    return new Dial(this, endpoint, callback, onBytes);
  }
}

/**
 * One connection being made: resolving -> connecting -> securing -> over. `resolving` has the resolver's
 * deadline, the other two their own here; over comes by success, failure or `cancel`.
 */
export class Dial implements Watched {
  watchIndex = -1;
  readonly #dialer: Dialer;
  readonly #endpoint: Endpoint;
  readonly #callback: DialCallback;
  readonly #onBytes: BytesCallback;
  #phase: "resolving" | "connecting" | "securing" | "over" = "resolving";
  #deadlineMono = Number.POSITIVE_INFINITY;
  #socket: Socket | null = null;

  constructor(dialer: Dialer, endpoint: Endpoint, callback: DialCallback, onBytes: BytesCallback) {
    this.#dialer = dialer;
    this.#endpoint = endpoint;
    this.#callback = callback;
    this.#onBytes = onBytes;
    dialer.options.deadlines.add(this);
    process.nextTick(() => this.#resolve());
  }

  cancel(): void {
    this.#end();
    this.#socket?.destroy();
  }

  check(nowMono: number): void {
    if (nowMono < this.#deadlineMono) return;
    const phase = this.#phase === "securing" ? "tls" : "connect";
    this.#fail(new SendFailure(phase, `${this.#endpoint.origin}: no ${phase} within its time`));
  }

  #resolve(): void {
    if (this.#phase !== "resolving") return;
    const { host } = this.#endpoint;
    const { allowLoopback, resolver } = this.#dialer.options;
    if (isIP(host) !== 0) this.#vet([host]);
    else if (host === "localhost") this.#vet(allowLoopback ? ["127.0.0.1", "::1"] : ["127.0.0.1"]);
    else resolver.resolve(host, (failure, addresses) => this.#resolved(failure, addresses));
  }

  #resolved(failure: SendFailure | null, addresses: readonly string[]): void {
    if (this.#phase !== "resolving") return;
    if (failure === null) this.#vet(addresses);
    else this.#fail(failure);
  }

  #vet(addresses: readonly string[]): void {
    for (const address of addresses) {
      const verdict = this.#dialer.options.policy.check(address);
      if (!verdict.ok) {
        this.#refuse(verdict.why);
        return;
      }
    }
    this.#connect(dialled(addresses));
  }

  #connect(addresses: readonly string[]): void {
    this.#enter("connecting", CONNECT_MS);
    const socket = this.#endpoint.isTls ? this.#openTls(addresses) : connectTcp(this.#tcpOptions(addresses));
    this.#socket = socket;
    socket.once("connect", () => this.#connected(socket));
    // Stays for the socket's life: an error event that nobody hears would end the thread.
    socket.on("error", (error) => this.#socketFailed(error));
    socket.once("close", () => this.#socketFailed(new Error("closed")));
  }

  #openTls(addresses: readonly string[]): Socket {
    const { origin, host } = this.#endpoint;
    const session = this.#dialer.sessions.get(origin);
    const socket = connectTls({
      ...this.#tcpOptions(addresses),
      secureContext: this.#dialer.secureContext,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      ALPNProtocols: ["http/1.1"],
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(session === undefined ? {} : { session }),
    });
    socket.on("session", (fresh) => this.#dialer.sessions.set(origin, fresh));
    socket.once("secureConnect", () => this.#secured(socket));
    return socket;
  }

  /**
   * Several addresses go through `lookup`, which makes Node try them in turn (RFC 8305's order, not its
   * race).
   */
  #tcpOptions(addresses: readonly string[]): TcpNetConnectOpts {
    const { host, port } = this.#endpoint;
    const { readBuffer } = this.#dialer;
    const options = {
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      onread: {
        buffer: readBuffer,
        callback: (length: number) => {
          this.#onBytes(readBuffer, length);
          return true;
        },
      },
    };
    if (addresses.length === 1) return { ...options, host: addresses[0] ?? "", autoSelectFamily: false };
    return {
      ...options,
      host,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: ADDRESS_MS,
      lookup: (_name, _options, callback) =>
        callback(
          null,
          addresses.map((address) => ({ address, family: isIP(address) })),
        ),
    };
  }

  #connected(socket: Socket): void {
    if (this.#phase !== "connecting") return;
    // Cannot differ from what was vetted; if it ever does, nothing is sent.
    const verdict = this.#dialer.options.policy.check(socket.remoteAddress ?? "");
    if (!verdict.ok) this.#refuse(verdict.why);
    else if (socket instanceof TLSSocket) this.#enter("securing", TLS_MS);
    else this.#succeed(socket);
  }

  #secured(socket: TLSSocket): void {
    if (this.#phase !== "securing") return;
    if (socket.authorized) this.#succeed(socket);
    else this.#fail(new SendFailure("tls", `${this.#endpoint.origin}: ${socket.authorizationError}`));
  }

  #socketFailed(error: Error): void {
    if (this.#phase === "over") return;
    this.#fail(connectFailure(this.#phase === "securing" ? "tls" : "connect", error));
  }

  #enter(phase: "connecting" | "securing", limitMs: number): void {
    this.#phase = phase;
    this.#deadlineMono = this.#dialer.options.clock.mono() + limitMs;
  }

  #succeed(socket: Socket): void {
    this.#end();
    this.#callback(null, socket);
  }

  #refuse(why: string): void {
    this.#fail(new SendFailure("blocked", `${this.#endpoint.host}: ${why}`));
  }

  #fail(failure: SendFailure): void {
    if (this.#phase === "over") return;
    if (this.#phase === "securing") this.#dialer.sessions.delete(this.#endpoint.origin);
    this.#end();
    this.#socket?.destroy();
    this.#callback(failure, null);
  }

  #end(): void {
    this.#phase = "over";
    this.#dialer.options.deadlines.remove(this);
  }
}
