import type { Verdict } from "./delivery.ts";

/** Tells whether an HTTP status ends a delivery at once. */
export type IsPermanent = (status: number) => boolean;

const STATUS_MIN = 300;
const STATUS_MAX = 599;
const RULE = /^!?(?:([345])xx|([345]\d\d)(?:-([345]\d\d))?)$/;

/** Beyond so many different lists it begins anew. */
const LISTS_MAX = 1_000;
/** By their text: nearly all webhooks have the same list, and a table of their own would be 900 bytes for each. */
const compiled = new Map<string, IsPermanent>();

/**
 * One entry of `retry.permanent`: a class (`4xx`), a status (`404`), a range with both ends (`400-404`), or
 * one of these negated (`!408`). Only 300-599: a 2xx is success and the rest is never permanent, so a rule
 * would do nothing.
 */
export function isPermanentRule(text: string): boolean {
  return parseRule(text) !== null;
}

/**
 * The function that a `retry.permanent` list stands for. Entries apply in order, so later ones win; what none
 * names is tried again. One table look-up per call; equal lists share one. Throws an Error that names an
 * invalid entry.
 */
export function compilePermanent(list: readonly string[]): IsPermanent {
  const text = JSON.stringify(list);
  const known = compiled.get(text);
  if (known) return known;
  const rules = compile(list);
  if (compiled.size >= LISTS_MAX) compiled.clear();
  compiled.set(text, rules);
  return rules;
}

function compile(list: readonly string[]): IsPermanent {
  const table = new Uint8Array(STATUS_MAX - STATUS_MIN + 1);
  for (const entry of list) {
    const rule = parseRule(entry);
    if (rule === null) {
      throw new Error(
        `"${entry}" is no rule for permanent statuses: use 4xx, 404, 400-404, or one of these with ! in front`,
      );
    }
    table.fill(rule.isPermanent ? 1 : 0, rule.first - STATUS_MIN, rule.last - STATUS_MIN + 1);
  }
  return (status) => table[status - STATUS_MIN] === 1;
}

/**
 * What a final status line means for its delivery (docs/state-machine.md). 2xx is success and 410 is `gone`,
 * whatever the list says; then the list; all else is tried again, 3xx (never followed), a final 1xx and 600
 * upwards included.
 */
export function classifyStatus(status: number, isPermanent: IsPermanent): Verdict {
  if (status >= 200 && status <= 299) return "success";
  if (status === 410) return "gone";
  return isPermanent(status) ? "permanent" : "retry";
}

function parseRule(text: string): { first: number; last: number; isPermanent: boolean } | null {
  const parts = RULE.exec(text);
  if (parts === null) return null;
  const isPermanent = !text.startsWith("!");
  if (parts[1] !== undefined) {
    const first = Number(parts[1]) * 100;
    return { first, last: first + 99, isPermanent };
  }
  const first = Number(parts[2]);
  const last = Number(parts[3] ?? parts[2]);
  return first <= last ? { first, last, isPermanent } : null;
}

/** Bounds of what a receiver may ask for: at least 1 s, at most 24 h (docs/state-machine.md). */
export const RETRY_AFTER_MIN_MS = 1000;
export const RETRY_AFTER_MAX_MS = 24 * 60 * 60 * 1000;

/**
 * Longer than the longest date (`Wednesday, 09-Nov-94 08:49:37 GMT`, 34): what exceeds it is junk, unread.
 */
const TEXT_MAX = 64;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS = /^\d+$/;
/** `Sun, 06 Nov 1994 08:49:37 GMT` */
const IMF_FIXDATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;
/** `Sunday, 06-Nov-94 08:49:37 GMT` */
const RFC_850 =
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/;
/** `Sun Nov  6 08:49:37 1994` */
const ASCTIME = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;

/**
 * The wait that a `Retry-After` header asks for (RFC 9110 section 10.2.3), in ms from `nowMs` (wall clock),
 * clamped to 1 s ... 24 h. Whole seconds, or a date in any of the three forms of RFC 9110 section 5.6.7; the
 * weekday is not checked against the date. `0` asks for a retry soon: 1 s. Null, "nothing was asked", for
 * junk and for a date that is not in the future: the receiver's clock may be behind ours, and the schedule is
 * the better guess.
 */
export function parseRetryAfter(value: string, nowMs: number): number | null {
  if (value.length > TEXT_MAX) return null;
  const text = value.trim();
  if (SECONDS.test(text)) return clampWaitMs(Number(text) * 1000);
  const at = parseHttpDate(text, nowMs);
  if (at === null) return null;
  const waitMs = at - nowMs;
  return waitMs > 0 ? clampWaitMs(waitMs) : null;
}

/** Epoch ms of an HTTP-date; null for anything else, dates that do not exist (31 Feb) included. */
function parseHttpDate(text: string, nowMs: number): number | null {
  const fixed = IMF_FIXDATE.exec(text);
  if (fixed !== null) return dateOf(Number(fixed[3]), fixed[2], fixed[1], fixed[4], fixed[5], fixed[6]);
  const old = RFC_850.exec(text);
  if (old !== null) return dateOf(fullYear(Number(old[3]), nowMs), old[2], old[1], old[4], old[5], old[6]);
  const asc = ASCTIME.exec(text);
  if (asc !== null) return dateOf(Number(asc[6]), asc[1], asc[2], asc[3], asc[4], asc[5]);
  return null;
}

/** A two-digit year that looks more than 50 years ahead means the past century (RFC 9110 section 5.6.7). */
function fullYear(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  return year > thisYear + 50 ? year - 100 : year;
}

function dateOf(
  year: number,
  monthName = "",
  dayText = "",
  hourText = "",
  minuteText = "",
  secondText = "",
): number | null {
  const month = MONTHS.indexOf(monthName);
  const [day, hour, minute, second] = [
    Number(dayText),
    Number(hourText),
    Number(minuteText),
    Number(secondText),
  ];
  // Second 60 is a leap second, which Date.UTC takes as the next minute's first.
  if (month < 0 || hour > 23 || minute > 59 || second > 60) return null;
  const midnight = Date.UTC(year, month, day);
  const date = new Date(midnight);
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return null;
  return midnight + (hour * 3600 + minute * 60 + second) * 1000;
}

function clampWaitMs(ms: number): number {
  return Math.min(Math.max(ms, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS);
}
