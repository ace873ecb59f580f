import type { Attempt, Delivery } from "../domain/delivery.ts";
import { type EventSeq, formatId, type IdSalt, type WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import type { DeadGroup } from "../domain/query.ts";
import type { RetryPolicy, Webhook } from "../domain/webhook.ts";
import type { LaneLive, PublishResult, SettledAttempt } from "../engine/port.ts";
import { formatDuration } from "../lib/units.ts";

/** From the inside's words to the API's: snake_case, ids as TypeIDs, times in RFC 3339, durations as text. */
export type Renderer = ReturnType<typeof createRenderer>;

export const MASK = "***";
/** Webhook ids whose text is remembered: each accepted event shows one, and there are few. */
const WEBHOOK_IDS_MAX = 10_000;

export function createRenderer(salt: IdSalt) {
  const webhookIds = new Map<WebhookId, string>();

  function webhookId(id: WebhookId): string {
    let text = webhookIds.get(id);
    if (text === undefined) {
      text = formatId("wh", id, salt);
      if (webhookIds.size >= WEBHOOK_IDS_MAX) webhookIds.clear();
      webhookIds.set(id, text);
    }
    return text;
  }

  /** The uid that receivers see: the publisher's, or the event's own id. */
  function eventUid(event: EventSeq, uid: string | null): string {
    return uid ?? formatId("evt", event, salt);
  }

  function webhook(from: Webhook, extra: { live?: ShownLive | undefined; secret?: string | undefined } = {}) {
    return {
      id: webhookId(from.id),
      user_id: from.userId,
      event_id: from.eventId,
      callback_url: from.callbackUrl,
      description: from.description,
      metadata: from.metadata,
      headers: Object.fromEntries(from.headerNames.map((name) => [name, MASK])),
      is_active: from.isActive,
      disabled_reason: from.disabledReason,
      is_paused: from.isPaused,
      rate_limit: from.rateLimit && { per_second: from.rateLimit.perSecond, burst: from.rateLimit.burst },
      concurrency_max: from.concurrencyMax,
      timeout: from.timeoutMs === null ? null : formatDuration(from.timeoutMs),
      retry: retry(from.retry, from.permanent),
      ordering: from.ordering,
      created_at: time(from.createdAt),
      updated_at: time(from.updatedAt),
      ...(extra.live === undefined ? {} : { live: live(extra.live) }),
      ...(extra.secret === undefined ? {} : { secret: extra.secret }),
    };
  }

  function delivery(from: Delivery) {
    return {
      id: formatId("dlv", from.id, salt),
      event_uid: eventUid(from.event, from.eventUid),
      event_id: from.eventId,
      user_id: from.userId,
      webhook_id: webhookId(from.webhookId),
      status: from.status,
      reason: from.reason,
      attempt_count: from.attemptCount,
      next_retry_at: timeOrNull(from.dueAt),
      is_leased: from.isLeased,
      response_code: from.statusCode,
      error: from.error,
      duration_ms: from.durationMs,
      created_at: time(from.createdAt),
      completed_at: timeOrNull(from.completedAt),
    };
  }

  function job(from: Job) {
    return {
      id: formatId("job", from.id, salt),
      kind: from.spec.kind,
      status: from.status,
      total: from.total,
      done: from.done,
      created_at: time(from.createdAt),
      completed_at: timeOrNull(from.completedAt),
    };
  }

  function key(from: ApiKey) {
    return {
      id: formatId("key", from.id, salt),
      user_id: from.userId,
      is_admin: from.userId === null,
      scopes: from.scopes,
      name: from.name,
      created_at: time(from.createdAt),
      expires_at: timeOrNull(from.expiresAt),
    };
  }

  function deadGroup(from: DeadGroup) {
    return {
      ...(from.webhookId === undefined ? {} : { webhook_id: webhookId(from.webhookId) }),
      ...(from.reason === undefined ? {} : { reason: from.reason }),
      ...(from.eventId === undefined ? {} : { event_id: from.eventId }),
      ...(from.userId === undefined ? {} : { user_id: from.userId }),
      count: from.count,
    };
  }

  function settled(from: SettledAttempt) {
    return {
      delivery_id: formatId("dlv", from.deliveryId, salt),
      webhook_id: webhookId(from.webhookId),
      user_id: from.userId,
      event_id: from.eventId,
      event_uid: from.eventUid,
      status: from.status,
      reason: from.reason,
      next_retry_at: timeOrNull(from.nextRetryAt),
      attempt: attempt(from.attempt),
    };
  }

  /**
   * The 202 of the publish path, as text: every value in it is an id, a number, or a uid of `[A-Za-z0-9_-]`, so
   * nothing needs escaping, and writing it by hand costs a third of JSON.stringify.
   */
  function accepted(result: PublishResult, uid: string | null): string {
    let deliveries = "";
    for (const { id, webhookId: target } of result.deliveries) {
      if (deliveries !== "") deliveries += ",";
      deliveries += `{"id":"${formatId("dlv", id, salt)}","webhook_id":"${webhookId(target)}"}`;
    }
    const fanOut = result.fanOut === null ? "" : `,"fan_out":"${formatId("job", result.fanOut, salt)}"`;
    return (
      `{"event_uid":"${eventUid(result.event, uid)}","delivery_count":${result.deliveryCount},` +
      `"deliveries":[${deliveries}],"duplicate":${result.isDuplicate}${fanOut}}`
    );
  }

  return { webhookId, eventUid, webhook, delivery, attempt, job, key, deadGroup, settled, accepted };
}

/** The 202 of an event that no webhook matched. */
export function acceptedUnmatched(uid: string | null): string {
  const shown = uid === null ? "null" : `"${uid}"`;
  return `{"event_uid":${shown},"delivery_count":0,"deliveries":[],"duplicate":false}`;
}

export function attempt(from: Attempt) {
  return {
    number: from.number,
    started_at: time(from.startedAt),
    duration_ms: from.durationMs,
    verdict: from.verdict,
    status_code: from.statusCode,
    error: from.error,
    response_excerpt: from.excerpt === null ? null : Buffer.from(from.excerpt).toString("utf8"),
  };
}

export function time(atMs: number): string {
  return new Date(atMs).toISOString();
}

export function timeOrNull(atMs: number | null): string | null {
  return atMs === null ? null : time(atMs);
}

type ShownLive = LaneLive & { readonly concurrency: number };

function live(from: ShownLive) {
  return {
    breaker: from.breaker,
    in_flight: from.inFlight,
    backlog: from.backlog,
    oldest_due_at: timeOrNull(from.oldestDueAt),
    concurrency: from.concurrency,
    parked_until: timeOrNull(from.parkedUntil),
    success_rate: from.successRate,
    p50_ms: from.p50Ms,
    p99_ms: from.p99Ms,
    last_error: from.lastError && { at: time(from.lastError.at), error: from.lastError.error },
  };
}

/** The same shape that a request may have. */
function retry(policy: RetryPolicy | null, permanent: readonly string[] | null) {
  if (policy === null && permanent === null) return null;
  return { ...(policy === null ? {} : schedule(policy)), ...(permanent === null ? {} : { permanent }) };
}

function schedule(policy: RetryPolicy) {
  if (policy.kind === "list") return { schedule: policy.delaysMs.map(formatDuration) };
  const { baseMs, factor, maxMs, attempts } = policy;
  return { base: formatDuration(baseMs), factor, max: formatDuration(maxMs), attempts };
}
