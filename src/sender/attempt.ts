import type { Socket } from "node:net";
import type { Dispatcher } from "undici";
import { classifyStatus } from "../domain/classify.ts";
import type { Verdict } from "../domain/delivery.ts";
import type { Clock } from "../lib/clock.ts";
import type { Connection, Connections } from "./connections.ts";
import type { Deadlines, Watched } from "./deadlines.ts";
import { requestFailure, SendFailure } from "./failure.ts";
import type { Outcome, SendOrder } from "./port.ts";
import { BODY_BYTES_MAX, ResponseRecord } from "./response.ts";
import type { ReadyTarget } from "./target.ts";

/** Bytes of a socket in one attempt, header lines, interim responses and chunk extensions included. */
const SOCKET_BYTES_MAX = 256 * 1_024;

/** What all attempts of a sender share. */
export interface AttemptContext {
  readonly clock: Clock;
  readonly connections: Connections;
  readonly deadlines: Deadlines;
  readonly excerptBytes: number;
  /** Called exactly once per attempt, at the latest when the deadline is seen. */
  readonly settle: (outcome: Outcome, failure: SendFailure | null) => void;
}

/**
 * One request, and the handler of its response:
 *
 *   waiting --connected, written--> written --status line--> answered --end of body--> settled
 *      +---------- failure, byte cap or deadline: from each of them ------------------->+
 *
 * Once the status line is in, it alone decides the verdict: a body that is cut off, too large or never ends
 * changes nothing but the connection, which is closed. The one hard deadline runs from `begin` to the last
 * byte.
 *
 * A reused connection may be closed by the receiver at the moment it is written to. When no byte has come
 * back, the request is made once more at once on a fresh connection, as part of the same attempt. The
 * receiver may then have seen it twice: delivery is at least once and `webhook-id` is the same. To wait for a
 * retry instead would fail a healthy receiver's deliveries whenever its idle timeout meets our next event.
 */
export class Attempt implements Dispatcher.DispatchHandler, Watched {
  watchIndex = -1;
  readonly #context: AttemptContext;
  readonly #order: SendOrder;
  readonly #target: ReadyTarget;
  readonly #headers: string[];
  readonly #startedAt: number;
  readonly #startedMono: number;
  readonly #deadlineMono: number;
  readonly #response = new ResponseRecord();
  #connection: Connection | null = null;
  /** The socket that the request was written to, and its byte count then. */
  #socket: Socket | null = null;
  #bytesBefore = 0;
  #isSettled = false;

  constructor(
    context: AttemptContext,
    order: SendOrder,
    target: ReadyTarget,
    headers: string[],
    startedAt: number,
  ) {
    this.#context = context;
    this.#order = order;
    this.#target = target;
    this.#headers = headers;
    this.#startedAt = startedAt;
    this.#startedMono = context.clock.mono();
    this.#deadlineMono = this.#startedMono + target.timeoutMs;
  }

  begin(): void {
    this.#context.deadlines.add(this);
    this.#dispatch(this.#context.connections.take(this.#target.endpoint));
  }

  check(nowMono: number): void {
    if (nowMono >= this.#deadlineMono) {
      this.#fail(
        new SendFailure(
          "timeout",
          `${this.#target.endpoint.origin}: no answer within ${this.#target.timeoutMs} ms`,
        ),
      );
    } else if (this.#socket !== null && this.#socket.bytesRead - this.#bytesBefore > SOCKET_BYTES_MAX) {
      this.#fail(
        new SendFailure("too_large", `${this.#target.endpoint.origin}: more than ${SOCKET_BYTES_MAX} bytes`),
      );
    }
  }

  /** undici calls this just before it writes the request. */
  onRequestStart(): void {
    this.#socket = this.#connection?.socket ?? null;
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
  }

  onResponseStart(
    _controller: unknown,
    statusCode: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (!this.#isSettled) this.#response.start(statusCode, headers);
  }

  onResponseData(_controller: unknown, chunk: Uint8Array): void {
    if (this.#isSettled) return;
    this.#response.add(chunk, this.#context.excerptBytes);
    if (this.#response.bodyBytes <= BODY_BYTES_MAX) return;
    this.#fail(
      new SendFailure(
        "too_large",
        `${this.#target.endpoint.origin}: a body of more than ${BODY_BYTES_MAX} bytes`,
      ),
    );
  }

  onResponseEnd(): void {
    if (this.#isSettled) return;
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) this.#context.connections.release(connection);
    this.#settle(null);
  }

  onResponseError(_controller: unknown, error: unknown): void {
    if (this.#isSettled) return;
    if (this.#mayTryAgain(error)) this.#tryAgain();
    else this.#fail(requestFailure(error));
  }

  #dispatch(connection: Connection): void {
    this.#connection = connection;
    try {
      connection.client.dispatch(
        {
          path: this.#target.path,
          method: "POST",
          headers: this.#headers,
          body: this.#order.payload,
          blocking: false,
          idempotent: false,
        },
        this,
      );
    } catch (error) {
      this.onResponseError(null, error);
    }
  }

  /**
   * A close race: on a reused connection, before the request was written or before any byte of an answer
   * came. At most once per attempt, for the connection of the second try is a fresh one.
   */
  #mayTryAgain(error: unknown): boolean {
    if (this.#context.connections.isClosed || (this.#connection?.served ?? 0) === 0) return false;
    if (error instanceof SendFailure || requestFailure(error).kind !== "reset") return false;
    return this.#socket === null || this.#socket.bytesRead === this.#bytesBefore;
  }

  #tryAgain(): void {
    this.#socket = null;
    this.#discard();
    this.#dispatch(this.#context.connections.open(this.#target.endpoint));
  }

  #fail(failure: SendFailure): void {
    if (this.#isSettled) return;
    this.#settle(failure);
    this.#discard();
  }

  #discard(): void {
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) this.#context.connections.discard(connection);
  }

  #settle(failure: SendFailure | null): void {
    this.#isSettled = true;
    this.#context.deadlines.remove(this);
    const { clock } = this.#context;
    const statusCode = this.#response.statusCode;
    const verdict = this.#verdict(failure);
    const outcome = {
      deliveryId: this.#order.deliveryId,
      token: this.#order.token,
      webhookId: this.#order.webhookId,
      attempt: {
        number: this.#order.attemptNumber,
        startedAt: this.#startedAt,
        durationMs: Math.round(clock.mono() - this.#startedMono),
        verdict,
        statusCode: statusCode === 0 ? null : statusCode,
        error: verdict === "success" ? null : (failure?.kind ?? null),
        excerpt: this.#response.excerpt,
      },
      retryAfterMs: statusCode === 0 ? null : this.#response.retryAfterMs(clock.now()),
    };
    this.#context.settle(outcome, verdict === "success" ? null : failure);
  }

  #verdict(failure: SendFailure | null): Verdict {
    const statusCode = this.#response.statusCode;
    if (statusCode !== 0) return classifyStatus(statusCode, this.#target.isPermanent);
    return failure?.kind === "blocked" ? "blocked" : "retry";
  }
}
