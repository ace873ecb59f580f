import type { DeliveryId, EventSeq, WebhookId } from "./ids.ts";

/**
 * States of a delivery:
 *
 *   pending --attempt failed--> retrying --attempt failed--> retrying
 *      |                           |
 *      +---------- 2xx ------------+--> success
 *      +--- see DeadReason --------+--> dead --replay--> pending
 *
 * `retrying` belongs to the round: a replay starts a new round, whose first state is `pending` again. Attempt
 * numbers go on over rounds; `roundStart` is the number of attempts made before the round.
 */
export const STATUSES = ["pending", "retrying", "success", "dead"] as const;
export type DeliveryStatus = (typeof STATUSES)[number];

export const DEAD_REASONS = [
  "exhausted",
  "permanent",
  "expired",
  "disabled",
  "blocked",
  "overflow",
  "cancelled",
] as const;
export type DeadReason = (typeof DEAD_REASONS)[number];

/** Verdict on one attempt; see domain/classify.ts. `lost`: the thread that made it died. */
export const VERDICTS = ["success", "retry", "permanent", "gone", "blocked", "lost"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Class of failure below HTTP, as users see it. Addresses and system errors stay in the operator's log. */
export const ATTEMPT_ERRORS = [
  "timeout",
  "dns",
  "connect",
  "tls",
  "reset",
  "protocol",
  "too_large",
  "blocked",
  "lost",
  "internal",
] as const;
export type AttemptError = (typeof ATTEMPT_ERRORS)[number];

/** What one HTTP request came to, as the sender saw it. */
export interface Attempt {
  /** 1 for the delivery's first attempt; goes on over replays. */
  readonly number: number;
  /** Wall clock, when the request was begun. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly verdict: Verdict;
  /** Null when no status line came. */
  readonly statusCode: number | null;
  readonly error: AttemptError | null;
  /** Begin of the response body, untrusted bytes, `delivery.response_excerpt_bytes` at most. */
  readonly excerpt: Uint8Array | null;
}

/** Of an attempt whose thread died: that it was begun is all that is known of it. `at`: wall clock. */
export function lostAttempt(number: number, at: number): Attempt {
  return {
    number,
    startedAt: at,
    durationMs: 0,
    verdict: "lost",
    statusCode: null,
    error: "lost",
    excerpt: null,
  };
}

/** Of an event's deliveries so many are named where it is answered or shown; of the others the count tells. */
export const DELIVERY_REFS_MAX = 100;

/** A delivery as lists show it. */
export interface Delivery {
  readonly id: DeliveryId;
  readonly event: EventSeq;
  readonly eventUid: string | null;
  readonly eventId: string;
  readonly userId: string;
  readonly webhookId: WebhookId;
  readonly status: DeliveryStatus;
  readonly reason: DeadReason | null;
  readonly attemptCount: number;
  readonly roundStart: number;
  /** Wall clock of the next attempt; null unless open. For a leased one it is the time it was due. */
  readonly dueAt: number | null;
  readonly isLeased: boolean;
  readonly queuedAt: number;
  readonly createdAt: number;
  /** When it became `success` or `dead`. */
  readonly completedAt: number | null;
  readonly statusCode: number | null;
  readonly error: AttemptError | null;
  readonly durationMs: number | null;
}

/** A delivery that has ended, with its event: what cold storage keeps of it. */
export interface EndedDelivery
  extends Omit<
    Delivery,
    "status" | "roundStart" | "dueAt" | "isLeased" | "queuedAt" | "createdAt" | "completedAt"
  > {
  readonly status: "success" | "dead";
  readonly completedAt: number;
  readonly contentType: string;
  readonly payload: Uint8Array;
}
