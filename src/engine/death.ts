import type { DeadReason, Delivery } from "../domain/delivery.ts";
import type { WebhookId } from "../domain/ids.ts";
import type { NewDelivery, NewEvent, Settlement } from "../store/port.ts";
import type { Flight } from "./flights.ts";

/** What is told of a delivery that died. `eventUid` is null where hookd named the event. */
export type DeadDelivery = Pick<
  Delivery,
  "id" | "event" | "eventUid" | "eventId" | "attemptCount" | "statusCode" | "error"
>;

/** Deliveries of one webhook that ended without success, for one reason. */
export interface Death {
  readonly webhookId: WebhookId;
  readonly reason: DeadReason;
  readonly count: number;
  /** One of them, where they were looked at one by one. */
  readonly delivery: DeadDelivery | null;
}

/** Its webhook was off, or its lane full: it was stored dead. */
export function deathAtArrival(
  { seq, uid, eventId }: NewEvent,
  { id, webhookId }: NewDelivery,
  reason: DeadReason,
): Death {
  const delivery = { id, event: seq, eventUid: uid, eventId, attemptCount: 0, statusCode: null, error: null };
  return { webhookId, reason, count: 1, delivery };
}

export function deathInFlight(
  { id, event, eventUid, eventId }: Flight,
  { webhookId, attemptCount, attempt }: Settlement,
  reason: DeadReason,
): Death {
  const statusCode = attempt?.statusCode ?? null;
  const error = attempt?.error ?? null;
  const delivery = { id, event, eventUid, eventId, attemptCount, statusCode, error };
  return { webhookId, reason, count: 1, delivery };
}
