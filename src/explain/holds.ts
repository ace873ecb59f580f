import { retryPolicyOf } from "../config/retry-schedule.ts";
import { attemptsMax } from "../domain/retry.ts";
import type { DeliveryBody, PauseBody, WebhookBody } from "../http-api.ts";
import { formatTime, plural } from "../lib/format.ts";
import { formatDuration } from "../lib/units.ts";
import { offWords } from "./words.ts";

/** Something that keeps an open delivery from being sent. */
export interface Hold {
  readonly kind: "deleted" | "off" | "hookd_paused" | "paused" | "breaker" | "parked" | "full" | "order";
  readonly text: string;
  readonly fix: { readonly text: string; readonly command: string } | null;
}

/**
 * What holds an open delivery back at or after its due time, by what its webhook's lane says, and by whether
 * hookd sends at all (`pause`); often nothing.
 */
export function holdsOf(
  delivery: DeliveryBody,
  webhook: WebhookBody | null,
  pause: PauseBody | null,
  now: number,
): Hold[] {
  if (delivery.is_leased) return [];
  if (webhook === null) {
    const text = "Its webhook has been deleted: hookd is about to end it as dead (disabled).";
    return [{ kind: "deleted", text, fix: null }];
  }
  if (!webhook.is_active) return [offHold(webhook)];
  const isDue = delivery.next_retry_at === null || Date.parse(delivery.next_retry_at) <= now;
  const holds = [
    allPausedHold(pause, now),
    pauseHold(webhook),
    breakerHold(webhook, now),
    parkHold(delivery, webhook, now),
  ];
  // Who else is before it matters only once it is due.
  if (isDue) holds.push(fullHold(webhook), orderHold(webhook));
  return holds.filter((hold) => hold !== null);
}

function offHold(webhook: WebhookBody): Hold {
  return {
    kind: "off",
    text:
      `Its webhook is off (${offWords(webhook.disabled_reason)}): hookd is about to ` +
      "end it as dead (disabled).",
    fix: {
      text: "Switch the webhook on, and replay what ended because it was off:",
      command: `hookd webhooks enable ${webhook.id} --replay`,
    },
  };
}

function allPausedHold(pause: PauseBody | null, now: number): Hold | null {
  if (pause === null) return null;
  const why =
    pause.reason === "restored"
      ? "it was restored from a backup, and the hookd that was backed up may still send"
      : "somebody paused it";
  return {
    kind: "hookd_paused",
    text:
      `hookd as a whole is paused since ${formatTime(pause.since, now)} (${why}): nothing is sent to any ` +
      "webhook until `hookd resume`.",
    fix: { text: "Let hookd send again, everything that is due:", command: "hookd resume" },
  };
}

function pauseHold({ id, is_paused }: WebhookBody): Hold | null {
  if (!is_paused) return null;
  return {
    kind: "paused",
    text: "Its webhook is paused: nothing is sent until it is resumed.",
    fix: { text: "Let it go on:", command: `hookd webhooks resume ${id}` },
  };
}

function breakerHold({ id, live }: WebhookBody, now: number): Hold | null {
  if (live?.breaker !== "open") return null;
  const probe = live.parked_until === null ? "now" : formatTime(live.parked_until, now);
  return {
    kind: "breaker",
    text:
      "Its webhook's breaker is open: so much failed that hookd sends single probes only, until " +
      `one is taken. The next probe goes ${probe}.`,
    fix: {
      text: "Once the receiver is mended, close the breaker instead of waiting for the next probe:",
      command: `hookd webhooks enable ${id}`,
    },
  };
}

function parkHold(delivery: DeliveryBody, { rate_limit, live }: WebhookBody, now: number): Hold | null {
  const until = live?.parked_until ?? null;
  if (until === null || live?.breaker === "open") return null;
  // What ends before the delivery is due does not hold it back.
  if (delivery.next_retry_at !== null && Date.parse(until) <= Date.parse(delivery.next_retry_at)) return null;
  const limit = rate_limit === null ? null : `its rate limit of ${rate_limit.per_second} a second`;
  const asked = "the receiver asked for a pause with Retry-After";
  const hung = "the last attempt timed out, and receivers that hang are tried again one after the other";
  const reason = live?.last_error?.error === "timeout" ? `${hung}; or ${asked}` : asked;
  const why = limit === null ? reason : `by ${limit}, or because ${reason}`;
  return {
    kind: "parked",
    text: `Its webhook is held back until ${formatTime(until, now)}: ${why}.`,
    fix: null,
  };
}

function fullHold({ live }: WebhookBody): Hold | null {
  if (live === undefined) return null;
  const most = Math.floor(live.concurrency);
  if (live.in_flight === 0 || live.in_flight < most) return null;
  const text =
    `${plural(live.in_flight, "attempt")} of its webhook ${live.in_flight === 1 ? "is" : "are"} in flight, ` +
    `as many as may be now; ${plural(live.backlog, "delivery waits", "deliveries wait")} for their turn.`;
  return { kind: "full", text, fix: null };
}

function orderHold({ ordering, live }: WebhookBody): Hold | null {
  if (ordering !== "fifo" || live === undefined || live.backlog < 2) return null;
  const text = "Its webhook wants its events in order (fifo): those accepted before it go first.";
  return { kind: "order", text, fix: null };
}

/** The delay that comes after a failed attempt, and where it is set. */
export function scheduleText(webhook: WebhookBody | null): string {
  const retry = webhook?.retry ?? null;
  const { permanent: _, schedule, ...exponential } = retry ?? {};
  const policy = retryPolicyOf(schedule ?? exponential);
  if (policy === undefined) return "the delay of the configured schedule (retry.schedule), with its jitter";
  const attempts = plural(attemptsMax(policy), "attempt");
  const delays =
    policy.kind === "list"
      ? policy.delaysMs.map(formatDuration).join(", ")
      : `${formatDuration(policy.baseMs)}, each ${policy.factor} times the one before, ` +
        `${formatDuration(policy.maxMs)} at most`;
  return `the delay of its webhook's own schedule (${delays}; ${attempts} in a round), with jitter`;
}
