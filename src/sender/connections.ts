import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Client } from "undici";
import type { Dial, Dialer, Endpoint } from "./connector.ts";

/**
 * An idle connection is closed after this, or a second before the time the receiver named in `Keep-Alive`.
 */
const IDLE_MS = 30_000;
const IDLE_MARGIN_MS = 1_000;
/** Bytes of a response's header lines; undici closes the connection at more. */
const HEADER_BYTES_MAX = 16 * 1_024;

/** Everything explicit: a default of undici's must not decide (its HTTP/2 default changed in version 8). */
const CLIENT_OPTIONS = {
  allowH2: false,
  pipelining: 1,
  maxHeaderSize: HEADER_BYTES_MAX,
  // Attempts count body bytes themselves, and one hard deadline of their own bounds all phases. undici's
  // timeouts do not: drips and floods run past them.
  maxResponseSize: -1,
  headersTimeout: 0,
  bodyTimeout: 0,
  strictContentLength: true,
  keepAliveTimeout: IDLE_MS,
  keepAliveMaxTimeout: IDLE_MS,
  keepAliveTimeoutThreshold: IDLE_MARGIN_MS,
} as const;

/**
 * One undici client, so at most one socket at a time. It is either taken by one attempt, or idle, or closed.
 */
export class Connection {
  readonly endpoint: Endpoint;
  readonly client: Client;
  /** The open socket; null before the first is dialled, and between two. */
  socket: Socket | null = null;
  /** Responses read to their end from `socket`. */
  served = 0;
  isIdle = false;
  isClosed = false;
  readonly #dialer: Dialer;
  #dial: Dial | null = null;

  constructor(endpoint: Endpoint, dialer: Dialer, onIdleLost: (connection: Connection) => void) {
    this.endpoint = endpoint;
    this.#dialer = dialer;
    this.client = new Client(endpoint.origin, {
      ...CLIENT_OPTIONS,
      connect: (_options, callback) => {
        this.#connect((error, socket) =>
          socket === null ? callback(error as Error, null) : callback(null, socket),
        );
      },
    });
    this.client.on("disconnect", () => {
      this.socket = null;
      this.served = 0;
      if (this.isIdle) onIdleLost(this);
    });
    // undici emits this when a handler throws. Ours do not; and if, the attempt still has its deadline.
    const emitter: EventEmitter = this.client;
    emitter.on("error", () => {});
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.#dial?.cancel();
    return this.client.destroy();
  }

  #connect(callback: (error: Error | null, socket: Socket | null) => void): void {
    this.#dial = this.#dialer.dial(this.endpoint, (failure, socket) => {
      this.#dial = null;
      this.socket = socket;
      callback(failure, socket);
    });
  }
}

/**
 * The connections of all origins. Taking never waits: with none idle a new one is opened, for lanes bound
 * concurrency upstream. Idle ones of an origin are a stack, so that few stay busy and the rest time out; over
 * all origins the longest idle one is closed when there are more than the limit.
 */
export class Connections {
  isClosed = false;
  readonly #dialer: Dialer;
  readonly #idleMax: number;
  readonly #idleByOrigin = new Map<string, Connection[]>();
  /** In the order in which they became idle. */
  readonly #idle = new Set<Connection>();
  readonly #taken = new Set<Connection>();
  readonly #onIdleLost = (connection: Connection): void => this.#closeIdle(connection);

  constructor(dialer: Dialer, idleMax: number) {
    this.#dialer = dialer;
    this.#idleMax = idleMax;
  }

  get idleCount(): number {
    return this.#idle.size;
  }

  get takenCount(): number {
    return this.#taken.size;
  }

  /** Origins with idle connections: nothing is kept for the others. */
  get originCount(): number {
    return this.#idleByOrigin.size;
  }

  /** The connection that became idle last, or a new one. */
  take(endpoint: Endpoint): Connection {
    const stack = this.#idleByOrigin.get(endpoint.origin);
    const connection = stack?.pop();
    if (stack === undefined || connection === undefined) return this.open(endpoint);
    if (stack.length === 0) this.#idleByOrigin.delete(endpoint.origin);
    this.#idle.delete(connection);
    connection.isIdle = false;
    this.#taken.add(connection);
    return connection;
  }

  /** A new one, whatever is idle. */
  open(endpoint: Endpoint): Connection {
    const connection = new Connection(endpoint, this.#dialer, this.#onIdleLost);
    this.#taken.add(connection);
    return connection;
  }

  /** For a connection whose response was read to its end. */
  release(connection: Connection): void {
    this.#taken.delete(connection);
    connection.served += 1;
    connection.isIdle = true;
    this.#idle.add(connection);
    const stack = this.#idleByOrigin.get(connection.endpoint.origin);
    if (stack === undefined) this.#idleByOrigin.set(connection.endpoint.origin, [connection]);
    else stack.push(connection);
    if (this.#idle.size > this.#idleMax) this.#closeOldest();
  }

  /** For a taken connection that is not fit for another request. */
  discard(connection: Connection): void {
    this.#taken.delete(connection);
    void connection.close();
  }

  /** For good: nothing may be taken or opened afterwards. */
  async closeAll(): Promise<void> {
    this.isClosed = true;
    const all = [...this.#idle, ...this.#taken];
    this.#idle.clear();
    this.#taken.clear();
    this.#idleByOrigin.clear();
    for (const connection of all) connection.isIdle = false;
    await Promise.all(all.map((connection) => connection.close()));
  }

  #closeOldest(): void {
    for (const oldest of this.#idle) {
      this.#closeIdle(oldest);
      return;
    }
  }

  #closeIdle(connection: Connection): void {
    connection.isIdle = false;
    this.#idle.delete(connection);
    const stack = this.#idleByOrigin.get(connection.endpoint.origin);
    const index = stack?.lastIndexOf(connection) ?? -1;
    if (index >= 0) stack?.splice(index, 1);
    if (stack?.length === 0) this.#idleByOrigin.delete(connection.endpoint.origin);
    void connection.close();
  }
}
