import { InvalidArgumentError } from "commander";
import { type RetrySpec, retrySpecOf } from "../config/retry-schedule.ts";
import { parseSecret } from "../domain/secret.ts";
import type { SigningKey } from "../domain/sign.ts";
import { parseDuration } from "../lib/units.ts";

/** Readers of option values: each throws commander's InvalidArgumentError, which ends the command with exit code 2. */

/** The word that sets a limit of a webhook back to the configured default. */
export const DEFAULT_WORD = "default";

export function wholeNumber(min: number, max: number) {
  return (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** Milliseconds. */
export function durationOption(text: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new InvalidArgumentError("Expected a number and a unit, like 500ms, 15s, 5m, 24h or 3d.");
  return ms;
}

/** Checked here, sent as it was written. */
export function durationText(text: string): string {
  durationOption(text);
  return text;
}

/** The API's `retry`: `1s,2s`, or `base=1m,factor=2,max=1h,attempts=8`. */
export function retryOption(
  text: string,
): { schedule: readonly string[] } | Exclude<RetrySpec, readonly string[]> {
  const spec = retrySpecOf(text);
  if (spec === null) {
    throw new InvalidArgumentError(
      "Expected delays like 1s,5s,30s (at most 50), or base=1m,factor=2,max=1h,attempts=8.",
    );
  }
  return Array.isArray(spec)
    ? { schedule: spec as readonly string[] }
    : (spec as Exclude<RetrySpec, readonly string[]>);
}

/** The API's `rate_limit`: `10` a second, or `10:50` with a burst of 50. */
export function rateLimitOption(text: string): { per_second: number; burst?: number } {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)(?::(\d{1,9}))?$/.exec(text);
  const perSecond = Number(match?.[1]);
  if (match === null || !(perSecond > 0)) {
    throw new InvalidArgumentError("Expected attempts a second, like 10 or 0.5, or with a burst: 10:50.");
  }
  return { per_second: perSecond, ...(match[2] === undefined ? {} : { burst: Number(match[2]) }) };
}

/** What `read` gives, or the word `default` as it is: commander takes a null for a missing value. */
export function orDefault<T>(read: (text: string) => T) {
  return (text: string): T | typeof DEFAULT_WORD => (text === DEFAULT_WORD ? DEFAULT_WORD : read(text));
}

/** As the API has it: null where `default` was given. */
export function nullIfDefault<T>(value: T | typeof DEFAULT_WORD): T | null {
  return value === DEFAULT_WORD ? null : value;
}

/** `name: value`, once or several times. */
export function headerOption(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { ...before, ...pair(text, ":", "a header like 'x-team: billing'") };
}

/** `name=value`, once or several times. */
export function metadataOption(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { ...before, ...pair(text, "=", "a pair like team=billing") };
}

/** A list with commas, or the option several times. */
export function listOption(text: string, before: readonly string[] = []): string[] {
  const items = text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
  if (items.length === 0) throw new InvalidArgumentError("Expected at least one, separated by commas.");
  return [...before, ...items];
}

/** `20%` or `0.2`, as 0 to 1. */
export function shareOption(text: string): number {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)(%?)$/.exec(text);
  const share = Number(match?.[1]) / (match?.[2] === "%" ? 100 : 1);
  if (match === null || !(share >= 0 && share <= 1)) {
    throw new InvalidArgumentError("Expected a share like 20% or 100%.");
  }
  return share;
}

/** A signing secret in both of its forms. Its text stays out of the errors. */
export function secretKey(text: string): SigningKey {
  const bytes = parseSecret(text);
  if (bytes !== null) return { text, bytes };
  const why = text.startsWith("whsec_")
    ? "what follows whsec_ is not the padded base64 of 24-64 bytes: is it cut, or is there " +
      "something around it?"
    : "it does not begin with whsec_";
  throw new InvalidArgumentError(
    `This is no secret of hookd's: ${why} Expected whsec_ and the base64 of 24-64 bytes.`,
  );
}

function pair(text: string, separator: string, expected: string): Record<string, string> {
  const at = text.indexOf(separator);
  const name = text.slice(0, at).trim();
  if (at <= 0 || name === "") throw new InvalidArgumentError(`Expected ${expected}.`);
  // Own property whatever the name is: `__proto__` would set none.
  return Object.fromEntries([[name, text.slice(at + 1).trim()]]);
}
