import type { RetryPolicy } from "./webhook.ts";

/**
 * Longest delay, ms: 30 days. Longer than any `delivery.age_max` in use, and no sum of times overflows by it.
 */
export const RETRY_DELAY_MAX_MS = 30 * 24 * 60 * 60 * 1000;

/** How many attempts one round of a delivery may use; 1 at least. */
export function attemptsMax(policy: RetryPolicy): number {
  if (policy.kind === "list") return policy.delaysMs.length + 1;
  return policy.attempts >= 1 ? Math.floor(policy.attempts) : 1;
}

/**
 * Whole milliseconds to wait after `attemptsInRound` failed attempts, or null when they are used up. Drawn
 * evenly from [d, (1 + jitter) d], d being the schedule's delay rounded up to whole milliseconds: jitter
 * never makes a retry early. Clamped to 30 days after the draw. `random` gives [0, 1).
 */
export function retryDelayMs(
  policy: RetryPolicy,
  attemptsInRound: number,
  jitter: number,
  random: () => number,
): number | null {
  if (attemptsInRound >= attemptsMax(policy)) return null;
  const index = Math.max(0, attemptsInRound - 1);
  const delayMs = Math.ceil(clampMs(scheduledMs(policy, index)));
  const spread = jitter > 0 ? jitter * random() : 0;
  return Math.floor(clampMs(delayMs + delayMs * spread));
}

function scheduledMs(policy: RetryPolicy, index: number): number {
  if (policy.kind === "list") return policy.delaysMs[index] ?? 0;
  if (policy.baseMs <= 0) return 0;
  return Math.min(policy.baseMs * policy.factor ** index, policy.maxMs);
}

/** What is no number waits longest: a damaged policy must not hammer a receiver. */
function clampMs(ms: number): number {
  return ms <= RETRY_DELAY_MAX_MS ? Math.max(0, ms) : RETRY_DELAY_MAX_MS;
}
