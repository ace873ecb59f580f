import { classifyStatus } from "../domain/classify.ts";
import type { Verdict } from "../domain/delivery.ts";
import type { Clock } from "../lib/clock.ts";
import type { Connection, Exchange } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { Deadlines, Watched } from "./deadlines.ts";
import { SendFailure } from "./failure.ts";
import type { Outcome, SendOrder } from "./port.ts";
import { ResponseRecord } from "./response.ts";
import type { ReadyTarget } from "./target.ts";

/** What all attempts of a sender share. */
export interface AttemptContext {
  readonly clock: Clock;
  readonly connections: Connections;
  readonly deadlines: Deadlines;
  excerptBytes: number;
  /** Called exactly once per attempt, at the latest when the deadline is seen. */
  readonly settle: (outcome: Outcome, failure: SendFailure | null) => void;
}

/**
 * One request and what comes of it:
 *
 *   begun --status line and header lines--> answered --end of body--> settled
 *     +---- failure, limit or deadline: from each of them -------------->+
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
export class Attempt implements Exchange, Watched {
  watchIndex = -1;
  readonly head: string;
  readonly body: Uint8Array;
  readonly response: ResponseRecord;
  readonly #context: AttemptContext;
  readonly #order: SendOrder;
  readonly #target: ReadyTarget;
  readonly #startedAt: number;
  readonly #startedMono: number;
  readonly #deadlineMono: number;
  #connection: Connection | null = null;
  #isSettled = false;

  constructor(
    context: AttemptContext,
    order: SendOrder,
    target: ReadyTarget,
    head: string,
    startedAt: number,
  ) {
    this.head = head;
    this.body = order.payload;
    this.response = new ResponseRecord(context.excerptBytes);
    this.#context = context;
    this.#order = order;
    this.#target = target;
    this.#startedAt = startedAt;
    this.#startedMono = context.clock.mono();
    this.#deadlineMono = this.#startedMono + target.timeoutMs;
  }

  begin(): void {
    this.#context.deadlines.add(this);
    this.#request(this.#context.connections.take(this.#target.endpoint));
  }

  check(nowMono: number): void {
    if (nowMono < this.#deadlineMono) return;
    const { endpoint, timeoutMs } = this.#target;
    this.#fail(new SendFailure("timeout", `${endpoint.origin}: no answer within ${timeoutMs} ms`));
  }

  ended(): void {
    const connection = this.#connection;
    this.#connection = null;
    if (connection !== null) this.#context.connections.release(connection);
    this.#settle(null);
  }

  failed(failure: SendFailure): void {
    if (this.#mayTryAgain(failure)) {
      this.#discard();
      this.#request(this.#context.connections.open(this.#target.endpoint));
    } else {
      this.#fail(failure);
    }
  }

  #request(connection: Connection): void {
    this.#connection = connection;
    connection.begin(this);
  }

  /**
   * A close race: on a reused connection, before any byte of an answer came. At most once per attempt, for
   * the connection of the second try is a fresh one.
   */
  #mayTryAgain(failure: SendFailure): boolean {
    const connection = this.#connection;
    if (connection === null || connection.served === 0 || connection.receivedBytes > 0) return false;
    return failure.kind === "reset" && !this.#context.connections.isClosed;
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
    const statusCode = this.response.statusCode;
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
        excerpt: this.response.excerpt,
      },
      retryAfterMs: statusCode === 0 ? null : this.response.retryAfterMs(clock.now()),
    };
    this.#context.settle(outcome, verdict === "success" ? null : failure);
  }

  #verdict(failure: SendFailure | null): Verdict {
    const statusCode = this.response.statusCode;
    if (statusCode !== 0) return classifyStatus(statusCode, this.#target.isPermanent);
    return failure?.kind === "blocked" ? "blocked" : "retry";
  }
}
