import type { DeliveryStatus } from "../domain/delivery.ts";
import { parseId, type WebhookId } from "../domain/ids.ts";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { DeliveryFilter } from "../domain/query.ts";
import { formatDuration, parseDuration } from "../lib/units.ts";
import { notFound, seenWebhook, userForRead } from "./access.ts";
import type { ApiContext } from "./context.ts";
import type { DeliveryFilterQuery } from "./schemas.ts";

/** RFC 3339 with a zone: what Date.parse takes beside it (dates alone, local times) is ambiguous. */
const TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/** Milliseconds of a duration that lies in [minMs, maxMs]. */
export function durationField(text: string, field: string, minMs: number, maxMs: number): number {
  const ms = parseDuration(text);
  if (ms === null) throw invalid(field, `is no duration: write a number and a unit, like 30s, 5m, 2h`, text);
  if (ms < minMs || ms > maxMs)
    throw invalid(field, `must be from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`, text);
  return ms;
}

/** Epoch milliseconds of an RFC 3339 time. */
export function timeField(text: string, field: string): number {
  const ms = TIME.test(text) ? Date.parse(text.toUpperCase().replace(" ", "T")) : Number.NaN;
  if (Number.isNaN(ms)) throw invalid(field, "is no time: write it like 2026-11-22T08:30:00Z", text);
  return ms;
}

/** Epoch milliseconds of a time, or of an age like `2h`. */
export function timeOrAgeField(text: string, field: string, nowMs: number): number {
  const ageMs = parseDuration(text);
  if (ageMs !== null) return nowMs - ageMs;
  const ms = TIME.test(text) ? Date.parse(text.toUpperCase().replace(" ", "T")) : Number.NaN;
  if (Number.isNaN(ms))
    throw invalid(field, "is neither a time like 2026-11-22T08:30:00Z nor an age like 2h", text);
  return ms;
}

export function invalid(field: string, what: string, value?: unknown): Problem {
  const shown = value === undefined ? "" : `, not ${JSON.stringify(value)}`;
  return new Problem("invalid_field", `${field} ${what}${shown}`, { details: { field } });
}

/** `failed`: not delivered so far, for a failure. */
export function statusesOf(status: NonNullable<DeliveryFilterQuery["status"]>): readonly DeliveryStatus[] {
  return status === "failed" ? ["retrying", "dead"] : [status as DeliveryStatus];
}

/**
 * The engine's filter for what a caller wrote. A webhook that the key may not see is 404, not an empty list: a caller
 * with a wrong id should hear of it.
 */
export async function deliveryFilterOf(
  context: ApiContext,
  key: ApiKey,
  query: Omit<DeliveryFilterQuery, "limit" | "cursor">,
): Promise<DeliveryFilter> {
  const userId = userForRead(key, query.user_id);
  const nowMs = context.clock.now();
  if (query.webhook_id !== undefined)
    await seenWebhook(context, key, query.webhook_id, { withDeleted: true });
  return {
    ...(userId === undefined ? {} : { userId }),
    ...(query.webhook_id === undefined ? {} : { webhookId: webhookIdOf(context, query.webhook_id) }),
    ...(query.event_id === undefined ? {} : { eventId: query.event_id }),
    ...(query.status === undefined ? {} : { statuses: statusesOf(query.status) }),
    ...(query.reason === undefined ? {} : { reason: query.reason }),
    ...(query.since === undefined ? {} : { since: timeOrAgeField(query.since, "since", nowMs) }),
    ...(query.until === undefined ? {} : { until: timeOrAgeField(query.until, "until", nowMs) }),
  };
}

export function webhookIdOf(context: ApiContext, id: string): WebhookId {
  const seq = parseId("wh", id, context.engine.salt);
  if (seq === null) throw notFound("webhook", id);
  return seq as WebhookId;
}
