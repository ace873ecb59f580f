import type { Socket } from "node:net";
import type { Dial, Dialer, Endpoint } from "./connector.ts";
import { requestFailure, SendFailure } from "./failure.ts";
import type { RequestWriter } from "./request-writer.ts";
import type { ResponseRecord } from "./response.ts";
import { ResponseParser } from "./response-parser.ts";

/** Bytes that may answer one request, header lines, interim responses and chunk extensions included. */
const ANSWER_BYTES_MAX = 256 * 1_024;

/** One request, and who is told what came of it: either call comes once, and none after `discard`. */
export interface Exchange {
  /** Request line and header lines with the empty line behind them; no character above 0xff. */
  readonly head: string;
  readonly body: Uint8Array;
  readonly response: ResponseRecord;
  /** The response was read to its end. */
  ended(): void;
  failed(failure: SendFailure): void;
}

/**
 * One socket that carries one request at a time:
 *
 *   fresh --begin--> dialling --connected--> busy --response's end--> idle --begin--> busy
 *     any failure, end or surplus byte, or `close`: closed, for good
 *
 * What it has to do with other connections is its owner's business (connections.ts). Bytes that come while it
 * is idle answer no request of ours: the connection is lost, so that they never answer the next.
 */
export class Connection {
  readonly endpoint: Endpoint;
  /** Responses read to their end. */
  served = 0;
  /** Bytes that came since the request was begun. */
  receivedBytes = 0;
  isClosed = false;
  /** The owner's: it is closed when its response was read, whatever the receiver says. */
  isRetired = false;
  /** The owner's: whether it is in its list of idle ones, and next to which. */
  isIdle = false;
  /** The owner's: when it became idle, another one of its origin was. */
  isExtra = false;
  idleBefore: Connection | null = null;
  idleAfter: Connection | null = null;
  /** While idle: monotonic time from which it must not be used. */
  idleUntilMono = 0;
  readonly #dialer: Dialer;
  readonly #writer: RequestWriter;
  readonly #onIdleLost: (connection: Connection) => void;
  readonly #parser = new ResponseParser();
  #exchange: Exchange | null = null;
  #dial: Dial | null = null;
  #socket: Socket | null = null;

  constructor(
    endpoint: Endpoint,
    dialer: Dialer,
    writer: RequestWriter,
    onIdleLost: (connection: Connection) => void,
  ) {
    this.endpoint = endpoint;
    this.#dialer = dialer;
    this.#writer = writer;
    this.#onIdleLost = onIdleLost;
  }

  /** Writes the request, now or when the connection is made. */
  begin(exchange: Exchange): void {
    this.#exchange = exchange;
    this.receivedBytes = 0;
    this.#parser.begin(exchange.response);
    if (this.#socket === null) this.#connect();
    else this.#write(this.#socket, exchange);
  }

  /** After `ended`: whether the receiver takes another request here, and had taken all of this one. */
  get isReusable(): boolean {
    return !this.isClosed && this.#parser.isReusable && this.#socket?.writableLength === 0;
  }

  /** Seconds for which the receiver said it keeps the connection; null if it did not say. */
  get keepAliveSeconds(): number | null {
    return this.#parser.keepAliveSeconds;
  }

  /** For good, and nobody is told. The promise is for the socket's end. */
  close(): Promise<void> {
    this.isClosed = true;
    this.#exchange = null;
    this.#dial?.cancel();
    const socket = this.#socket;
    if (socket === null || socket.closed) return Promise.resolve();
    socket.destroy();
    return new Promise((resolve) => socket.once("close", () => resolve()));
  }

  #connect(): void {
    this.#dial = this.#dialer.dial(
      this.endpoint,
      (failure, socket) => {
        this.#dial = null;
        if (failure !== null) this.#lose(failure);
        else if (socket !== null) this.#connected(socket);
      },
      (buffer, length) => this.#received(buffer, length),
    );
  }

  #connected(socket: Socket): void {
    this.#socket = socket;
    socket.on("end", () => this.#receiverEnded());
    socket.on("error", (error) => this.#lose(requestFailure(error)));
    socket.on("close", () => this.#lose(this.#reset("closed")));
    if (this.#exchange !== null) this.#write(socket, this.#exchange);
  }

  #write(socket: Socket, exchange: Exchange): void {
    this.#writer.write(socket, this.endpoint.isTls, exchange.head, exchange.body);
  }

  #received(buffer: Buffer, length: number): void {
    const exchange = this.#exchange;
    if (exchange === null) {
      this.#lose(this.#reset("bytes that answer no request"));
      return;
    }
    this.receivedBytes += length;
    switch (this.#parser.feed(buffer, length)) {
      case "done":
        this.#done(exchange);
        break;
      case "failed":
        this.#lose(this.#parserFailure());
        break;
      case "more":
        if (this.receivedBytes > ANSWER_BYTES_MAX) {
          this.#lose(
            new SendFailure("too_large", `${this.endpoint.origin}: more than ${ANSWER_BYTES_MAX} bytes`),
          );
        }
        break;
    }
  }

  #receiverEnded(): void {
    const exchange = this.#exchange;
    if (exchange !== null && this.#parser.finish() === "done") this.#done(exchange);
    else this.#lose(this.#reset("closed by the receiver"));
  }

  #done(exchange: Exchange): void {
    this.#exchange = null;
    this.served += 1;
    exchange.ended();
  }

  #lose(failure: SendFailure): void {
    if (this.isClosed) return;
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange !== null) exchange.failed(failure);
    else if (this.isIdle) this.#onIdleLost(this);
  }

  #parserFailure(): SendFailure {
    const failure = this.#parser.failure;
    return new SendFailure(failure?.kind ?? "protocol", `${this.endpoint.origin}: ${failure?.why}`);
  }

  #reset(why: string): SendFailure {
    return new SendFailure("reset", `${this.endpoint.origin}: ${why}`);
  }
}
