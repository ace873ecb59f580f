import { formatId, type IdSalt } from "../domain/ids.ts";
import type { OperationalEventId, WaitsFor } from "../domain/operational-event.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { LongestWait } from "./behind-watch.ts";
import type { DeathCount } from "./death-reports.ts";
import type { ToldState } from "./told-states.ts";

/**
 * The payloads of hookd's own events, in the API's words (api/operational-schemas.ts has their schemas, and a test holds
 * the two together).
 */
export type OperationalData = Readonly<Record<string, unknown>>;

/** As Standard Webhooks has it. */
export function payloadOf(eventId: OperationalEventId, at: number, data: OperationalData): Uint8Array {
  return Buffer.from(JSON.stringify({ type: eventId, timestamp: timeText(at), data }));
}

/** No callback URL: it may carry a token of its receiver, and these events go to third parties. */
export function webhookData(webhook: Webhook, salt: IdSalt): OperationalData {
  return {
    id: formatId("wh", webhook.id, salt),
    user_id: webhook.userId,
    event_id: webhook.eventId,
    host: new URL(webhook.callbackUrl).host,
  };
}

export function deadData(count: DeathCount, webhook: Webhook | null, salt: IdSalt): OperationalData {
  const { delivery } = count;
  return {
    webhook: webhook && webhookData(webhook, salt),
    reason: count.reason,
    count: count.count,
    since: timeText(count.since),
    delivery: delivery && {
      id: formatId("dlv", delivery.id, salt),
      event_id: delivery.eventId,
      event_uid: delivery.eventUid ?? formatId("evt", delivery.event, salt),
      attempts: delivery.attemptCount,
      status_code: delivery.statusCode,
      error: delivery.error,
    },
  };
}

export function behindData(
  waitsFor: WaitsFor,
  { isOn, since }: ToldState,
  wait: LongestWait | null,
  now: number,
  salt: IdSalt,
): OperationalData {
  return {
    is_behind: isOn,
    waiting_for: waitsFor,
    since: timeText(since),
    waiting_seconds: wait ? Math.floor((now - wait.since) / 1000) : 0,
    oldest_due_at: wait ? timeText(wait.dueAt) : null,
    webhook: wait && webhookData(wait.webhook, salt),
    webhooks_behind: wait?.webhooks ?? 0,
  };
}

export function timeText(at: number): string {
  return new Date(at).toISOString();
}

export function timeTextOrNull(at: number | null): string | null {
  return at === null ? null : timeText(at);
}
