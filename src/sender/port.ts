import type { Attempt } from "../domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../domain/ids.ts";

/** Where to send: what a sender must know of one version of a webhook. Told once, then named by its id. */
export interface Target {
  readonly webhookId: WebhookId;
  /** `wh_...`, for the header. */
  readonly publicId: string;
  readonly callbackUrl: string;
  readonly timeoutMs: number;
  /** `SealedParts` (domain/webhook.ts), still encrypted. */
  readonly sealed: Uint8Array;
  /** Statuses that end a delivery at once: `retry.permanent`'s language. */
  readonly permanent: readonly string[];
}

/** One attempt to make. `token` is the lease's: it comes back with the outcome. */
export interface SendOrder {
  readonly deliveryId: DeliveryId;
  readonly token: number;
  readonly webhookId: WebhookId;
  readonly attemptNumber: number;
  /** The `webhook-id` header. */
  readonly eventUid: string;
  readonly eventId: string;
  readonly contentType: string;
  readonly payload: Uint8Array;
  /** The header of that name; null: none is sent. */
  readonly traceparent: string | null;
}

/** What became of an order. Every order gets exactly one outcome, by its deadline, unless the sender dies. */
export interface Outcome {
  readonly deliveryId: DeliveryId;
  readonly token: number;
  readonly webhookId: WebhookId;
  readonly attempt: Attempt;
  /** What a 429 or 503 asked for, in ms from the end of the attempt, clamped to 24 h. */
  readonly retryAfterMs: number | null;
}

/**
 * Makes attempts. Knows nothing of lanes, retries or stores; holds no state that matters: a sender that dies loses
 * only outcomes, and their leases end. Targets are put before the first order that names them.
 */
export interface Sender {
  putTarget(target: Target): void;
  dropTarget(webhookId: WebhookId): void;
  send(orders: readonly SendOrder[]): void;
  /** Aborts what is in flight (no outcome is reported for it) and closes every connection. */
  stop(): Promise<void>;
}
