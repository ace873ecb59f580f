import type { AttemptBody, DeliveryBody, PauseBody, WebhookBody } from "../http-api.ts";
import { formatMs, formatSpan, formatTime, plural } from "../lib/format.ts";
import { type Hold, holdsOf, scheduleText } from "./holds.ts";
import {
  ERROR_WORDS,
  offWords,
  REASON_WORDS,
  STATUS_WORDS,
  statusCodeWords,
  VERDICT_WORDS,
  type Words,
} from "./words.ts";

/** One delivery told in words. All text may hold what a receiver said: it is untrusted. */
export interface Explanation {
  readonly headline: string;
  readonly happened: readonly string[];
  readonly why: readonly string[];
  readonly next: Next;
  readonly fixes: readonly Fix[];
}

export interface Next {
  readonly kind: "none" | "being_tried" | "scheduled" | "held" | "due";
  /** RFC 3339; null where nothing is planned. */
  readonly at: string | null;
  readonly held_by: readonly Hold["kind"][];
  readonly text: readonly string[];
}

export interface Fix {
  readonly text: string;
  readonly command: string | null;
}

/** A delivery that was replayed again and again may have hundreds. */
const ATTEMPTS_SHOWN = 10;
const EXCERPT_SHOWN = 200;
/** Reasons that say nothing of what the receiver did: its last answer is told too. */
const TOLD_BY_ATTEMPT = ["exhausted", "permanent", "expired"];

/** `webhook`: null where it is deleted. `pause`: of hookd as a whole. `now`: wall clock, epoch ms. */
export function explain(
  delivery: DeliveryBody,
  webhook: WebhookBody | null,
  pause: PauseBody | null,
  now: number,
): Explanation {
  const holds = isOpen(delivery) ? holdsOf(delivery, webhook, pause, now) : [];
  return {
    headline: headlineOf(delivery),
    happened: happenedOf(delivery, webhook, now),
    why: whyOf(delivery, webhook),
    next: nextOf(delivery, webhook, holds, now),
    fixes: fixesOf(delivery, webhook, pause, holds, now),
  };
}

function isOpen({ status }: DeliveryBody): boolean {
  return status === "pending" || status === "retrying";
}

function headlineOf({ id, status, reason, is_leased, attempt_count }: DeliveryBody): string {
  if (is_leased) return `${id} is being tried right now.`;
  if (status === "pending" && attempt_count > 0)
    return `${id} was replayed, and waits for its first attempt since.`;
  return `${id} ${STATUS_WORDS[status]}${reason === null ? "" : ` (${reason})`}.`;
}

function happenedOf(delivery: DeliveryBody, webhook: WebhookBody | null, now: number): string[] {
  const attempts = delivery.attempts ?? [];
  const target = webhook === null ? "since deleted" : webhook.callback_url;
  const told = attempts.slice(-ATTEMPTS_SHOWN).map((attempt) => attemptText(attempt, now));
  const untold = attempts.length - told.length;
  const ended = delivery.completed_at === null ? [] : [`It ended ${formatTime(delivery.completed_at, now)}.`];
  return [
    `${delivery.event_id} (event uid ${delivery.event_uid}) of user ${delivery.user_id} was accepted ` +
      `${formatTime(delivery.created_at, now)}, for webhook ${delivery.webhook_id} (${target}).`,
    ...(untold > 0 ? [`${untold} earlier attempts: hookd deliveries get ${delivery.id}`] : []),
    ...(told.length === 0 ? ["No attempt has been made."] : told),
    ...ended,
  ];
}

function attemptText(attempt: AttemptBody, now: number): string {
  const { number, started_at, duration_ms, status_code, error, verdict, response_excerpt } = attempt;
  const said = (response_excerpt ?? "").trim();
  const excerpt = said.length > EXCERPT_SHOWN ? `${said.slice(0, EXCERPT_SHOWN)}...` : said;
  const answer = status_code ?? error ?? verdictText(verdict);
  return (
    `Attempt ${number}, ${formatTime(started_at, now)}: ${answer} after ${formatMs(duration_ms)}` +
    (excerpt === "" ? "." : `; the receiver said: ${excerpt}`)
  );
}

function whyOf(delivery: DeliveryBody, webhook: WebhookBody | null): string[] {
  const last = delivery.attempts?.at(-1);
  const words = wordsOfLast(delivery);
  const lines: string[] = [];
  if (delivery.status === "dead") {
    lines.push(reasonWords(delivery.reason)?.why ?? `It died: ${delivery.reason}.`);
    if (delivery.reason === "disabled") lines.push(...whyDisabled(webhook));
    if (!TOLD_BY_ATTEMPT.includes(delivery.reason ?? "")) return lines;
  }
  if (words === null)
    return lines.length > 0 ? lines : ["Nothing has gone wrong: no attempt has been made yet."];
  const at = last === undefined || delivery.status === "success" ? "" : `Attempt ${last.number}: `;
  lines.push(`${at}${words.why}`);
  const failed = (delivery.attempts ?? []).filter(({ verdict }) => verdict !== "success").length;
  if (delivery.status === "success" && failed > 0) {
    lines.push(`${plural(failed, "attempt")} failed.`);
  }
  return lines;
}

function whyDisabled(webhook: WebhookBody | null): string[] {
  if (webhook === null) return ["The webhook has been deleted."];
  if (webhook.is_active) return ["The webhook has been switched on again since."];
  return [`The webhook is off: ${offWords(webhook.disabled_reason)}.`];
}

/** What the last attempt came to; null without one. */
function wordsOfLast(delivery: DeliveryBody): Words | null {
  const last = delivery.attempts?.at(-1);
  const error = last === undefined ? delivery.error : last.error;
  const status = last === undefined ? delivery.response_code : last.status_code;
  if (error !== null) return errorWords(error);
  if (status !== null) return statusCodeWords(status);
  return last === undefined ? null : { why: `The attempt was ${verdictText(last.verdict)}.`, fix: "" };
}

function nextOf(
  delivery: DeliveryBody,
  webhook: WebhookBody | null,
  holds: readonly Hold[],
  now: number,
): Next {
  const at = delivery.next_retry_at;
  const held_by = holds.map(({ kind }) => kind);
  if (!isOpen(delivery)) {
    const text =
      delivery.status === "success"
        ? "Nothing: it is delivered."
        : "Nothing, by itself: it stays in the dead-letter queue until it is replayed, purged, or " +
          "older than retention.dead.";
    return { kind: "none", at: null, held_by: [], text: [text] };
  }
  if (delivery.is_leased) {
    return { kind: "being_tried", at, held_by: [], text: ["The attempt in flight ends; then it is known."] };
  }
  const texts = holds.map(({ text }) => text);
  if (at !== null && Date.parse(at) > now) {
    const why = whyThen(delivery, webhook);
    return {
      kind: holds.length > 0 ? "held" : "scheduled",
      at,
      held_by,
      text: [`The next attempt is due ${formatTime(at, now)}. ${why}`.trimEnd(), ...texts],
    };
  }
  const due =
    at === null ? "The next attempt is due." : `The next attempt has been due since ${formatTime(at, now)}.`;
  if (holds.length > 0) return { kind: "held", at, held_by, text: [due, ...texts] };
  return {
    kind: "due",
    at,
    held_by,
    text: [due, "Nothing holds it back: it goes as soon as it is its turn."],
  };
}

/** Why the next attempt is due when it is. */
function whyThen(delivery: DeliveryBody, webhook: WebhookBody | null): string {
  const last = delivery.attempts?.at(-1);
  if (last === undefined || delivery.next_retry_at === null) return "";
  const waitMs = Date.parse(delivery.next_retry_at) - Date.parse(last.started_at) - last.duration_ms;
  const asked =
    last.status_code === 429 || last.status_code === 503
      ? ", or as long as the receiver asked for with Retry-After"
      : "";
  return (
    `That is ${formatSpan(waitMs)} after attempt ${last.number} ended: ` + `${scheduleText(webhook)}${asked}.`
  );
}

function fixesOf(
  delivery: DeliveryBody,
  webhook: WebhookBody | null,
  pause: PauseBody | null,
  holds: readonly Hold[],
  now: number,
): Fix[] {
  const { id, status, reason, webhook_id } = delivery;
  if (status === "success") {
    // Where its webhook takes nothing any more, a replay would only end as dead.
    if (webhook === null || !webhook.is_active) return [];
    return [{ text: "If it is wanted once more:", command: `hookd deliveries replay ${id}` }];
  }
  if (webhook === null) {
    return [
      {
        text:
          "Its webhook is deleted, so it can no longer be delivered. Register one, and publish " +
          "again with a new event uid:",
        command:
          `hookd webhooks add --event ${delivery.event_id} --url https://... --user ` + `${delivery.user_id}`,
      },
    ];
  }
  const told = (text: string) => text.replaceAll("<id>", webhook_id);
  const fixes: Fix[] = holds.flatMap(({ fix }) => (fix === null ? [] : [fix]));
  const isTold = status !== "dead" || TOLD_BY_ATTEMPT.includes(reason ?? "");
  const last = isTold ? (wordsOfLast(delivery)?.fix ?? "") : "";
  if (last !== "") fixes.push({ text: told(last), command: null });
  if (status !== "dead") {
    const isLater = delivery.next_retry_at !== null && Date.parse(delivery.next_retry_at) > now;
    if (isLater) fixes.push({ text: "To try it at once:", command: `hookd deliveries retry ${id} --wait` });
    return fixes;
  }
  const words = reasonWords(reason);
  if (words !== undefined) fixes.push({ text: told(words.fix), command: null });
  return [...fixes, ...replays(delivery, webhook, pause)];
}

/** The commands that bring a dead one back, in the order in which they are needed. */
function replays(delivery: DeliveryBody, webhook: WebhookBody, pause: PauseBody | null): Fix[] {
  const { id, reason, webhook_id } = delivery;
  const one = { text: "Replay this one:", command: `hookd deliveries retry ${id} --wait` };
  const alike = {
    text: "Replay all that died of it at this webhook:",
    command: `hookd dlq replay --webhook ${webhook_id} --reason ${reason}`,
  };
  const resume = resumes(webhook, pause);
  if (webhook.is_active) return [...resume, one, alike];
  if (reason === "disabled") {
    const text = "Switch the webhook on, and replay all that ended because it was off:";
    return [...resume, { text, command: `hookd webhooks enable ${webhook_id} --replay` }];
  }
  const text = `The webhook is off (${offWords(webhook.disabled_reason)}); switch it on first:`;
  return [...resume, { text, command: `hookd webhooks enable ${webhook_id}` }, one, alike];
}

/** What has to go on before anything that is replayed is sent. */
function resumes({ id, is_paused }: WebhookBody, pause: PauseBody | null): Fix[] {
  const all = { text: "hookd is paused; what is replayed waits until:", command: "hookd resume" };
  const one = {
    text: "The webhook is paused; what is replayed waits until:",
    command: `hookd webhooks resume ${id}`,
  };
  return [...(pause === null ? [] : [all]), ...(is_paused ? [one] : [])];
}

// What the API says may be newer than this command line: an unknown word is told as it is.

function reasonWords(reason: string | null): Words | undefined {
  return lookUp(REASON_WORDS, reason ?? "");
}

function errorWords(error: string): Words {
  return lookUp(ERROR_WORDS, error) ?? { why: `It failed: ${error}.`, fix: "" };
}

function verdictText(verdict: string): string {
  return lookUp(VERDICT_WORDS, verdict) ?? verdict;
}

function lookUp<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
