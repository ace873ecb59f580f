import { RETRY_DELAY_MAX_MS } from "../domain/retry.ts";
import type { RetryPolicy } from "../domain/webhook.ts";
import { parseDuration } from "../lib/units.ts";

/** A retry schedule as YAML and the API's JSON write it. */
export type RetrySpec =
  | readonly string[]
  | {
      readonly base: string;
      readonly factor?: number;
      readonly max?: string;
      readonly attempts: number;
    };

const DELAYS_MAX = 50;
const ATTEMPTS_MAX = 100;
const FACTOR_MAX = 100;
const NAMES = ["base", "factor", "max", "attempts"];

/**
 * A schedule from one line of text, as the environment and the command line give it: `1s,2s`, or
 * `base=1m,factor=2,max=1h,attempts=8`. Null where it is neither.
 */
export function retrySpecOf(text: string): RetrySpec | null {
  const parts = text.split(",").map((part) => part.trim());
  const spec = text.includes("=") ? exponentialSpec(parts) : parts;
  return spec !== null && retryPolicyOf(spec) !== undefined ? spec : null;
}

/** Checks a RetrySpec of unknown origin; undefined where it is none. `factor` is 2 and `max` 30 days if left out. */
export function retryPolicyOf(raw: unknown): RetryPolicy | undefined {
  if (Array.isArray(raw)) return listPolicy(raw);
  if (typeof raw !== "object" || raw === null) return undefined;
  if (Object.keys(raw).some((name) => !NAMES.includes(name))) return undefined;
  const { base, factor = 2, max, attempts } = raw as Record<string, unknown>;
  const baseMs = delayMs(base);
  const maxMs = max === undefined ? RETRY_DELAY_MAX_MS : delayMs(max);
  if (baseMs === null || maxMs === null || maxMs < baseMs) return undefined;
  if (typeof factor !== "number" || !(factor >= 1 && factor <= FACTOR_MAX)) return undefined;
  if (typeof attempts !== "number" || !Number.isInteger(attempts)) return undefined;
  if (attempts < 1 || attempts > ATTEMPTS_MAX) return undefined;
  return { kind: "exponential", baseMs, factor, maxMs, attempts };
}

function listPolicy(raw: readonly unknown[]): RetryPolicy | undefined {
  const delaysMs: number[] = [];
  for (const item of raw) {
    const ms = delayMs(item);
    if (ms === null) return undefined;
    delaysMs.push(ms);
  }
  return delaysMs.length <= DELAYS_MAX ? { kind: "list", delaysMs } : undefined;
}

function exponentialSpec(parts: readonly string[]): RetrySpec | null {
  const fields = new Map<string, string>();
  for (const part of parts) {
    const [name = "", value = "", ...rest] = part.split("=");
    if (!NAMES.includes(name) || fields.has(name) || rest.length > 0) return null;
    fields.set(name, value);
  }
  const factor = fields.get("factor");
  const max = fields.get("max");
  return {
    base: fields.get("base") ?? "",
    ...(factor === undefined ? {} : { factor: Number(factor) }),
    ...(max === undefined ? {} : { max }),
    attempts: Number(fields.get("attempts")),
  };
}

function delayMs(raw: unknown): number | null {
  const ms = typeof raw === "string" ? parseDuration(raw) : null;
  return ms !== null && ms <= RETRY_DELAY_MAX_MS ? ms : null;
}
