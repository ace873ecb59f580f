import type { DeliveryBody, WebhookBody } from "../cli/api-types.ts";
import { formatAgo, formatSpan } from "../lib/format.ts";

const DEAD: Readonly<Record<string, string>> = {
  exhausted: "All attempts of its schedule are used.",
  permanent: "The answer says that trying again is of no use (retry.permanent).",
  expired: "It was open for longer than delivery.age_max.",
  disabled: "Its webhook is off or deleted.",
  blocked: "hookd may not connect to its address (net.allow, net.allow_http).",
  overflow: "Its webhook had limits.lane_backlog waiting.",
  cancelled: "It was cancelled.",
};

/** What comes next for a delivery, and why: a sentence or two. Its webhook, where it is known, says what holds it. */
export function nextOf(delivery: DeliveryBody, webhook: WebhookBody | null, now: number): string {
  switch (delivery.status) {
    case "success":
      return "Delivered. Nothing more is sent.";
    case "dead":
      return `Dead, ${delivery.reason}. ${DEAD[delivery.reason ?? ""] ?? ""} r replays it, on a fresh schedule.`;
    case "pending":
    case "retrying":
      return `${whenOf(delivery, webhook, now)} ${becauseOf(delivery)}`.trim();
  }
}

function whenOf(delivery: DeliveryBody, webhook: WebhookBody | null, now: number): string {
  if (delivery.is_leased) return "An attempt is under way.";
  if (delivery.next_retry_at === null) return "Waiting for its turn.";
  const dueAt = Date.parse(delivery.next_retry_at);
  const held = heldBy(webhook, Math.max(dueAt, now), now);
  if (dueAt > now) return `Next attempt ${formatAgo(delivery.next_retry_at, now)}.${held}`;
  return `Due for ${formatSpan(now - dueAt)}.${held === "" ? " Waiting for a slot." : held}`;
}

/** What keeps the webhook from sending at `dueAt`. */
function heldBy(webhook: WebhookBody | null, dueAt: number, now: number): string {
  if (webhook === null) return "";
  if (!webhook.is_active) return " Its webhook is off: it ends as dead/disabled.";
  if (webhook.is_paused) return " Its webhook is paused: it waits until that is resumed.";
  const parked = webhook.live?.parked_until ?? null;
  const until = parked !== null && Date.parse(parked) > dueAt ? formatAgo(parked, now) : null;
  if (webhook.live?.breaker === "open") {
    return ` Its webhook's breaker is open: probes only${until === null ? "" : `, the next ${until}`}.`;
  }
  return until === null ? "" : ` Its webhook is held, by rate limit or Retry-After: goes on ${until}.`;
}

function becauseOf(delivery: DeliveryBody): string {
  if (delivery.attempt_count === 0) return "It was not tried yet.";
  const answer = delivery.response_code ?? delivery.error;
  if (delivery.status === "pending") return "It was made due again.";
  return answer === null ? "" : `Attempt ${delivery.attempt_count} came to ${answer}, which may pass.`;
}
