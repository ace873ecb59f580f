import { isIP } from "node:net";
import { resolve } from "node:path";
import type { RetryPolicy } from "../domain/webhook.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "../lib/units.ts";
import { retryPolicyOf, retrySpecOf } from "./retry-schedule.ts";

/** What a key's value may be. */
export interface Kind<T> {
  /** Ends the sentence "... is not": `a duration from 100ms to 30s`. */
  readonly expects: string;
  /** The bounds, or the choices, for the example file; empty where its value says it all. */
  readonly range: string;
  readonly example: string;
  /** Its values are never shown (secrets.ts). */
  readonly isSecret?: boolean;
  /** A value that is wrong is not repeated: it may hold what should not be shown. */
  readonly isHiddenInFaults?: boolean;
  /** The value of what YAML gave (or `fromText`); undefined where it is not of this kind. */
  parse(raw: unknown): T | undefined;
  /** An environment variable's text in the form that YAML would have given. */
  fromText(text: string): unknown;
}

/** Where the daemon listens. Port 0: any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const LIST_MAX = 200;

/** Milliseconds. */
export function duration(example: string, min: string, max: string): Kind<number> {
  const minMs = parseDuration(min) ?? 0;
  const maxMs = parseDuration(max) ?? 0;
  return {
    expects: `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)} (a number with ms, s, m, h or d)`,
    range: `${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
    example,
    parse: (raw) => within(typeof raw === "string" ? parseDuration(raw) : null, minMs, maxMs),
    fromText: sameText,
  };
}

/** Bytes. */
export function size(example: string, min: number, max: number): Kind<number> {
  return {
    expects: `a size from ${formatSize(min)} to ${formatSize(max)} (a number of bytes, or with KiB, MiB or GiB)`,
    range: `${formatSize(min)} to ${formatSize(max)}`,
    example,
    parse: (raw) =>
      within(typeof raw === "string" || isNumber(raw) ? parseSize(String(raw)) : null, min, max),
    fromText: sameText,
  };
}

export function integer(example: string, min: number, max: number): Kind<number> {
  return {
    expects: `a whole number from ${min} to ${max}`,
    range: `${min} to ${max}`,
    example,
    parse(raw) {
      const value = isNumber(raw) ? raw : null;
      return value !== null && Number.isSafeInteger(value) ? within(value, min, max) : undefined;
    },
    fromText: numberOrText,
  };
}

export function number(example: string, min: number, max: number): Kind<number> {
  return {
    expects: `a number from ${min} to ${max}`,
    range: `${min} to ${max}`,
    example,
    parse: (raw) => within(isNumber(raw) ? raw : null, min, max),
    fromText: numberOrText,
  };
}

export function boolean(): Kind<boolean> {
  return {
    expects: "true or false",
    range: "",
    example: "true",
    parse: (raw) => (typeof raw === "boolean" ? raw : undefined),
    fromText: (text) => (text === "true" ? true : text === "false" ? false : text),
  };
}

export function choice<const T extends string>(...values: readonly T[]): Kind<T> {
  return {
    expects: values.length === 1 ? `"${values[0]}"` : `one of ${values.join(", ")}`,
    range: values.join(", "),
    example: values[0] ?? "",
    parse: (raw) => values.find((value) => value === raw),
    fromText: sameText,
  };
}

/** One of several kinds, the first that takes it. */
export function either<A, B>(first: Kind<A>, second: Kind<B>): Kind<A | B> {
  return {
    expects: `${first.expects}, or ${second.expects}`,
    range: `${first.range}, or ${second.range}`,
    example: first.example,
    parse(raw) {
      const value = first.parse(raw);
      return value === undefined ? second.parse(raw) : value;
    },
    fromText(text) {
      const raw = first.fromText(text);
      return first.parse(raw) === undefined ? second.fromText(text) : raw;
    },
  };
}

/** A list of texts that each pass `isItem`. */
export function list(
  what: string,
  example: string,
  isItem: (text: string) => boolean,
): Kind<readonly string[]> {
  return {
    expects: `a list of ${what}`,
    range: "",
    example,
    parse(raw) {
      if (!Array.isArray(raw) || raw.length > LIST_MAX) return undefined;
      const items = raw.map((item) => (isNumber(item) ? String(item) : item));
      return items.every((item) => typeof item === "string" && isItem(item)) ? items : undefined;
    },
    fromText: (text) =>
      text
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
  };
}

/** A path, made absolute from the working directory; `null` where none is set. */
export function optionalPath(example: string): Kind<string | null> {
  const required = path(example);
  return {
    expects: "a path, or null",
    range: "",
    example,
    parse: (raw) => (raw === null ? null : required.parse(raw)),
    fromText: nullOrText,
  };
}

/** A path, made absolute from the working directory. */
export function path(example: string): Kind<string> {
  return {
    expects: "a path",
    range: "",
    example,
    parse: (raw) => (typeof raw === "string" && raw !== "" && !raw.includes("\0") ? resolve(raw) : undefined),
    fromText: sameText,
  };
}

export function listenAddress(example: string): Kind<ListenAddress> {
  return {
    expects: "host:port (an IPv6 address in brackets)",
    range: "",
    example,
    parse: (raw) => (typeof raw === "string" ? parseListen(raw) : undefined),
    fromText: sameText,
  };
}

/** A list of delays, or `{base, factor, max, attempts}`. */
export function retrySchedule(example: string): Kind<RetryPolicy> {
  return {
    expects: "a list of at most 50 durations up to 30d, or base, factor, max and attempts",
    range: "",
    example,
    parse: retryPolicyOf,
    fromText: (text) => retrySpecOf(text) ?? text,
  };
}

/** `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`. */
export function isDnsServer(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null) return false;
  const family = isIP(match[1] ?? match[2] ?? "");
  return family === (match[1] === undefined ? 4 : 6) && isPort(match[3] ?? "") && match[3] !== "0";
}

export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function parseListen(text: string): ListenAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})$/.exec(text);
  if (match === null || !isPort(match[3] ?? "")) return undefined;
  const host = match[1] ?? match[2] ?? "";
  if (match[1] !== undefined && isIP(host) !== 6) return undefined;
  // What is all digits and dots was meant as an address.
  if (/^[\d.]+$/.test(host) && isIP(host) === 0) return undefined;
  return { host, port: Number(match[3]) };
}

function isPort(text: string): boolean {
  return Number(text) <= 65_535;
}

function isNumber(raw: unknown): raw is number {
  return typeof raw === "number" && Number.isFinite(raw);
}

function within(value: number | null, min: number, max: number): number | undefined {
  return value !== null && value >= min && value <= max ? value : undefined;
}

function sameText(text: string): string {
  return text;
}

/** Of what may be `null`, as it is written in a file. */
export function nullOrText(text: string): string | null {
  return text === "null" ? null : text;
}

function numberOrText(text: string): unknown {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
