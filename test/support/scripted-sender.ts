import { classifyStatus, compilePermanent } from "../../src/domain/classify.ts";
import type { AttemptError, Verdict } from "../../src/domain/delivery.ts";
import type { WebhookId } from "../../src/domain/ids.ts";
import type { Outcome, Sender, SendOrder, Target } from "../../src/sender/port.ts";
import type { FakeTime } from "./fake-clock.ts";

/** How a receiver takes one attempt. Later than the attempt's timeout is a timeout. */
export interface Answer {
  /** 0: in a turn of its own, without time passing. */
  readonly afterMs?: number;
  readonly status?: number;
  readonly error?: AttemptError;
  readonly retryAfterMs?: number;
}

export type Behaviour = Answer | ((order: SendOrder) => Answer);

/** Never answers: the attempt ends by its deadline. */
export const HANGS: Answer = { afterMs: Number.POSITIVE_INFINITY };

/** An attempt as it was made, and how it ended. */
export interface SeenAttempt {
  readonly order: SendOrder;
  readonly target: Target;
  readonly sender: number;
  /** Wall clock. */
  readonly at: number;
  readonly atMono: number;
  endedAtMono: number | null;
  verdict: Verdict | null;
}

/** Receivers behind scripted senders, by webhook: what each does, and all that came to it. */
export class Receivers {
  readonly #behaviours = new Map<WebhookId, Behaviour>();
  readonly attempts: SeenAttempt[] = [];
  readonly inFlight = new Map<WebhookId, number>();
  readonly inFlightPeak = new Map<WebhookId, number>();
  otherwise: Behaviour = {};
  onAttempt: (attempt: SeenAttempt) => void = () => {};

  set(webhookId: WebhookId, behaviour: Behaviour): void {
    this.#behaviours.set(webhookId, behaviour);
  }

  behaviourOf(webhookId: WebhookId): Behaviour {
    return this.#behaviours.get(webhookId) ?? this.otherwise;
  }

  of(webhookId: WebhookId): SeenAttempt[] {
    return this.attempts.filter(({ order }) => order.webhookId === webhookId);
  }

  get inFlightInAll(): number {
    return [...this.inFlight.values()].reduce((sum, count) => sum + count, 0);
  }

  count(webhookId: WebhookId, by: 1 | -1): void {
    const count = (this.inFlight.get(webhookId) ?? 0) + by;
    this.inFlight.set(webhookId, count);
    this.inFlightPeak.set(webhookId, Math.max(count, this.inFlightPeak.get(webhookId) ?? 0));
  }
}

/** A sender without sockets: every attempt ends as its receiver's behaviour says. */
export class ScriptedSender implements Sender {
  readonly #time: FakeTime;
  readonly #receivers: Receivers;
  readonly #index: number;
  readonly #report: (outcomes: readonly Outcome[]) => void;
  readonly targets = new Map<WebhookId, Target>();
  #cancels = new Set<() => void>();

  constructor(
    time: FakeTime,
    receivers: Receivers,
    index: number,
    report: (outcomes: readonly Outcome[]) => void,
  ) {
    this.#time = time;
    this.#receivers = receivers;
    this.#index = index;
    this.#report = report;
  }

  putTarget(target: Target): void {
    this.targets.set(target.webhookId, target);
  }

  dropTarget(webhookId: WebhookId): void {
    this.targets.delete(webhookId);
  }

  send(orders: readonly SendOrder[]): void {
    for (const order of orders) this.#attempt(order);
  }

  async stop(): Promise<void> {
    this.die();
  }

  /** Nothing that is in flight is ever reported, and what it was told is forgotten. */
  die(): void {
    for (const cancel of [...this.#cancels]) cancel();
    this.targets.clear();
  }

  #attempt(order: SendOrder): void {
    const target = this.targets.get(order.webhookId);
    if (!target) throw new Error(`the sender was not told of webhook ${order.webhookId}`);
    const behaviour = this.#receivers.behaviourOf(order.webhookId);
    const answer = typeof behaviour === "function" ? behaviour(order) : behaviour;
    const afterMs = answer.afterMs ?? 1;
    const seen: SeenAttempt = {
      order,
      target,
      sender: this.#index,
      at: this.#time.now(),
      atMono: this.#time.mono(),
      endedAtMono: null,
      verdict: null,
    };
    this.#receivers.attempts.push(seen);
    this.#receivers.count(order.webhookId, 1);
    this.#receivers.onAttempt(seen);
    const isLate = afterMs > target.timeoutMs;
    const cancelTimer = this.#time.after(isLate ? target.timeoutMs : afterMs, () => {
      this.#cancels.delete(cancel);
      this.#receivers.count(order.webhookId, -1);
      this.#end(seen, isLate ? { error: "timeout" } : answer);
    });
    const cancel = () => {
      cancelTimer();
      this.#cancels.delete(cancel);
      this.#receivers.count(order.webhookId, -1);
    };
    this.#cancels.add(cancel);
  }

  #end(seen: SeenAttempt, answer: Answer): void {
    const { order, target } = seen;
    const statusCode = answer.error === undefined ? (answer.status ?? 200) : null;
    seen.endedAtMono = this.#time.mono();
    seen.verdict = verdictOf(answer, target);
    this.#report([
      {
        deliveryId: order.deliveryId,
        token: order.token,
        webhookId: order.webhookId,
        retryAfterMs: answer.retryAfterMs ?? null,
        attempt: {
          number: order.attemptNumber,
          startedAt: seen.at,
          durationMs: seen.endedAtMono - seen.atMono,
          verdict: seen.verdict,
          statusCode,
          error: answer.error ?? null,
          excerpt: null,
        },
      },
    ]);
  }
}

function verdictOf(answer: Answer, target: Target): Verdict {
  if (answer.error === "blocked") return "blocked";
  if (answer.error !== undefined) return "retry";
  return classifyStatus(answer.status ?? 200, compilePermanent(target.permanent));
}
