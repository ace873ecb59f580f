import { explain } from "../explain/explanation.ts";
import type { AttemptBody, DeliveryBody, WebhookBody } from "../http-api.ts";
import { formatAgo, formatMs } from "../lib/format.ts";
import type { Detail } from "./detail.ts";
import { dim, EMPTY, type Ink, type Line, type Span, wrap } from "./line.ts";

const NAME_WIDTH = 10;
const INDENT = 4;

/** Everything about one delivery: where it stands, what comes next, what was sent, every attempt with its answer. */
export function detailLines(detail: Detail, columns: number, now: number): Line[] {
  const { delivery, webhook, pause, error, id } = detail;
  if (delivery === null) {
    return [
      [{ text: id, isBold: true }],
      error === null ? [dim("Asking...")] : [{ text: error, ink: "red" }],
    ];
  }
  const { why, next } = explain(delivery, webhook, pause, now);
  return [
    [{ text: delivery.id, isBold: true }, { text: "  " }, statusSpan(delivery)],
    ...(error === null ? [] : [[{ text: error, ink: "red" as const }]]),
    ...field("why", why.join(" "), columns),
    ...field("next", next.text.join(" "), columns),
    ...field("event", `${delivery.event_id}  ${delivery.event_uid}  of ${delivery.user_id}`, columns),
    ...field("webhook", webhookText(delivery, webhook), columns),
    ...field("accepted", timeText(delivery.created_at, now), columns),
    ...(delivery.completed_at === null ? [] : field("ended", timeText(delivery.completed_at, now), columns)),
    ...sentHeaders(delivery, webhook).flatMap((header, index) =>
      field(index === 0 ? "sent" : "", header, columns),
    ),
    ...[...(delivery.attempts ?? [])].reverse().flatMap((attempt) => attemptLines(attempt, columns, now)),
  ];
}

function statusSpan({ status, reason }: DeliveryBody): Span {
  const inks: Readonly<Record<string, Ink>> = { success: "green", retrying: "yellow", dead: "red" };
  return { text: reason === null ? status : `${status}, ${reason}`, ink: inks[status] ?? "cyan" };
}

function field(name: string, text: string, columns: number): Line[] {
  return wrap(text, columns - NAME_WIDTH).map((part, index) => [
    dim((index === 0 ? name : "").padEnd(NAME_WIDTH)),
    { text: part },
  ]);
}

function webhookText({ webhook_id }: DeliveryBody, webhook: WebhookBody | null): string {
  if (webhook === null) return `${webhook_id}  (deleted)`;
  const { live, is_active, is_paused, disabled_reason } = webhook;
  const state = !is_active
    ? `off, ${disabled_reason}`
    : is_paused
      ? "paused"
      : `breaker ${live?.breaker ?? "-"}`;
  const backlog = live === undefined ? "" : `, ${live.backlog.toLocaleString("en-US")} waiting`;
  return `${webhook_id}  ${webhook.callback_url}  (${state}${backlog})`;
}

/** The headers that say what it is. The values of a webhook's own are secrets. */
function sentHeaders(delivery: DeliveryBody, webhook: WebhookBody | null): string[] {
  const { event_uid, event_id, webhook_id, attempt_count } = delivery;
  return [
    `webhook-id: ${event_uid}`,
    `hookd-event-id: ${event_id}`,
    `hookd-webhook-id: ${webhook_id}`,
    `hookd-attempt: ${attempt_count > 1 ? `1 to ${attempt_count}` : "1"}`,
    "webhook-timestamp, webhook-signature, x-signature: new with each attempt",
    ...Object.keys(webhook?.headers ?? {}).map((name) => `${name}: ***`),
  ];
}

function attemptLines(attempt: AttemptBody, columns: number, now: number): Line[] {
  const { number, started_at, duration_ms, verdict, status_code, error, response_excerpt } = attempt;
  const ink = verdict === "success" ? "green" : verdict === "retry" || verdict === "lost" ? "yellow" : "red";
  const answer = status_code ?? error ?? "no answer";
  const body = response_excerpt?.trimEnd() ?? "";
  return [
    EMPTY,
    [
      { text: `attempt ${number}`, isBold: true },
      { text: `  ${verdict}  ${answer}`, ink },
      { text: `  took ${formatMs(duration_ms)}` },
      dim(`  ${timeText(started_at, now)}`),
    ],
    ...(body === "" ? [] : body.split("\n"))
      .flatMap((line) => wrap(line, columns - INDENT))
      .map((line): Line => [{ text: " ".repeat(INDENT) }, dim(line)]),
  ];
}

function timeText(time: string, now: number): string {
  return `${time} (${formatAgo(time, now)})`;
}
