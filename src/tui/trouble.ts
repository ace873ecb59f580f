import type { WebhookBody } from "../http-api.ts";

export const SORTS = ["trouble", "backlog", "oldest", "success", "p99", "rate"] as const;
export type Sort = (typeof SORTS)[number];

/** Attempts a second, by webhook. */
export type Rates = ReadonlyMap<string, number>;

/** Due for longer than this is late, and not just waiting for its turn. */
export const LATE_MS = 10_000;
const SUCCESS_MIN = 0.9;

/** What a webhook is doing, in a word. */
export function stateOf({ is_active, is_paused, disabled_reason, live }: WebhookBody): string {
  if (!is_active)
    return disabled_reason === "gone" || disabled_reason === "failing" ? disabled_reason : "off";
  if (is_paused) return "paused";
  return live?.breaker === "open" ? "open" : "ok";
}

/** How long its oldest open delivery has been due, ms; negative: not yet. Null: nothing is open. */
export function waitingMs({ live }: WebhookBody, now: number): number | null {
  const dueAt = live?.oldest_due_at ?? null;
  return dueAt === null ? null : now - Date.parse(dueAt);
}

/** The worst first; where two are alike, the one in more trouble, and then always in the same order. */
export function sortedBy(
  webhooks: readonly WebhookBody[],
  sort: Sort,
  rates: Rates,
  now: number,
): readonly WebhookBody[] {
  const keyed = webhooks.map((webhook) => ({ webhook, keys: keysOf(webhook, sort, rates, now) }));
  keyed.sort((a, b) => compare(b.keys, a.keys) || (a.webhook.id < b.webhook.id ? -1 : 1));
  return keyed.map(({ webhook }) => webhook);
}

/** Greater is worse. */
function keysOf(webhook: WebhookBody, sort: Sort, rates: Rates, now: number): readonly number[] {
  const { live } = webhook;
  const backlog = live?.backlog ?? 0;
  const oldest = waitingMs(webhook, now) ?? Number.NEGATIVE_INFINITY;
  const failures = 1 - (live?.success_rate ?? 1);
  const rate = rates.get(webhook.id) ?? 0;
  const trouble = [rankOf(webhook, now), Math.max(0, oldest), backlog, failures, rate];
  switch (sort) {
    case "trouble":
      return trouble;
    case "backlog":
      return [backlog, ...trouble];
    case "oldest":
      return [oldest, ...trouble];
    case "success":
      return [live?.success_rate === null ? -1 : failures, ...trouble];
    case "p99":
      return [live?.p99_ms ?? -1, ...trouble];
    case "rate":
      return [rate, ...trouble];
  }
}

function rankOf(webhook: WebhookBody, now: number): number {
  const state = stateOf(webhook);
  const { live } = webhook;
  if (state === "open") return 5;
  if (state === "ok" && (waitingMs(webhook, now) ?? 0) > LATE_MS) return 4;
  if (live !== undefined && live.success_rate !== null && live.success_rate < SUCCESS_MIN) return 3;
  if (state === "gone" || state === "failing") return 2;
  return (live?.backlog ?? 0) > 0 ? 1 : 0;
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index] ?? 0;
    if (value !== other) return value < other ? -1 : 1;
  }
  return 0;
}
