import type { DeadReason, DeliveryStatus } from "../domain/delivery.ts";
import { retryDelayMs } from "../domain/retry.ts";
import type { RetryPolicy } from "../domain/webhook.ts";
import type { Outcome } from "../sender/port.ts";

/** What the director knows of the delivery whose attempt has ended. */
export interface AttemptedDelivery {
  /** Attempts made before this one, over all rounds. */
  readonly attemptCount: number;
  readonly roundStart: number;
  readonly isCancelRequested: boolean;
  /** Its webhook takes deliveries (it is on, and not deleted). */
  readonly isWebhookOn: boolean;
}

export interface NextState {
  readonly status: DeliveryStatus;
  readonly reason: DeadReason | null;
  /** Wall clock of the next attempt; null unless retrying. */
  readonly dueAt: number | null;
}

/**
 * What an attempt's outcome makes of its delivery (docs/state-machine.md). A success wins over everything that happened
 * meanwhile; a failure ends what was cancelled or whose webhook is off, and is retried only while the schedule lasts.
 */
export function settle(
  outcome: Outcome,
  delivery: AttemptedDelivery,
  policy: RetryPolicy,
  jitter: number,
  now: number,
  random: () => number,
): NextState {
  switch (outcome.attempt.verdict) {
    case "success":
      return { status: "success", reason: null, dueAt: null };
    case "permanent":
    case "gone":
      return dead(delivery.isCancelRequested ? "cancelled" : "permanent");
    case "blocked":
      return dead(delivery.isCancelRequested ? "cancelled" : "blocked");
    case "retry":
    case "lost": {
      if (delivery.isCancelRequested) return dead("cancelled");
      if (!delivery.isWebhookOn) return dead("disabled");
      const attemptsInRound = delivery.attemptCount + 1 - delivery.roundStart;
      const delayMs = retryDelayMs(policy, attemptsInRound, jitter, random);
      if (delayMs === null) return dead("exhausted");
      const dueAt = now + Math.max(Math.ceil(delayMs), outcome.retryAfterMs ?? 0);
      return { status: "retrying", reason: null, dueAt };
    }
  }
}

function dead(reason: DeadReason): NextState {
  return { status: "dead", reason, dueAt: null };
}
