import type { AttemptBody, DeliveryBody, SettledBody, WebhookBody } from "../../src/http-api.ts";

/** Answers of the API, for tests of what is made of them. */
export const NOW = Date.parse("2026-11-22T12:00:00Z");
export const DELIVERY = "dlv_01kb8zs5xjf7crc7a9vpz4h3tn";
export const WEBHOOK = "wh_01kb8zs5xjf7crc7a9vpz4h3tn";

export function attemptBody(fields: Partial<AttemptBody> = {}): AttemptBody {
  return {
    number: 1,
    started_at: "2026-11-22T11:59:58.000Z",
    duration_ms: 12,
    verdict: "retry",
    status_code: 503,
    error: null,
    response_excerpt: null,
    ...fields,
  };
}

export function settledBody(
  fields: Partial<SettledBody> = {},
  attempt: Partial<AttemptBody> = {},
): SettledBody {
  return {
    delivery_id: DELIVERY,
    webhook_id: WEBHOOK,
    user_id: "acme",
    event_id: "order.paid",
    event_uid: "evt_1",
    status: "retrying",
    reason: null,
    next_retry_at: "2026-11-22T12:00:05.000Z",
    attempt: attemptBody(attempt),
    ...fields,
  };
}

export function deliveryBody(fields: Partial<DeliveryBody> = {}): DeliveryBody {
  return {
    id: DELIVERY,
    event_uid: "evt_1",
    event_id: "order.paid",
    user_id: "acme",
    webhook_id: WEBHOOK,
    status: "retrying",
    reason: null,
    attempt_count: 1,
    next_retry_at: "2026-11-22T12:00:05.000Z",
    is_leased: false,
    response_code: 503,
    error: null,
    duration_ms: 12,
    created_at: "2026-11-22T11:59:57.000Z",
    completed_at: null,
    attempts: [attemptBody()],
    ...fields,
  };
}

export function webhookBody(
  fields: Partial<WebhookBody> = {},
  live: Partial<NonNullable<WebhookBody["live"]>> = {},
): WebhookBody {
  return {
    id: WEBHOOK,
    user_id: "acme",
    event_id: "order.paid",
    callback_url: "https://acme.test/hooks",
    description: null,
    metadata: {},
    headers: {},
    is_active: true,
    disabled_reason: null,
    is_paused: false,
    rate_limit: null,
    concurrency_max: null,
    timeout: null,
    retry: null,
    ordering: "none",
    created_at: "2026-11-01T00:00:00.000Z",
    updated_at: "2026-11-01T00:00:00.000Z",
    live: {
      breaker: "closed",
      in_flight: 0,
      backlog: 0,
      oldest_due_at: null,
      concurrency: 2,
      parked_until: null,
      success_rate: null,
      p50_ms: null,
      p99_ms: null,
      last_error: null,
      ...live,
    },
    ...fields,
  };
}
