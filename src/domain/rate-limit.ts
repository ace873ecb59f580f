import type { RateLimit } from "./webhook.ts";

/**
 * A millionth of a token counts as none: sums of fractions must not make a token that is due look missing.
 */
const TOLERANCE = 1e-6;

/**
 * A token bucket on monotonic ms: over any interval of T seconds at most `perSecond * T + burst` tokens are
 * given. It starts full. Between calls it holds a count and a time, so an idle lane costs nothing.
 */
export interface Bucket {
  readonly perSecond: number;
  readonly burst: number;
  tokens: number;
  /** When `tokens` was true, monotonic ms. */
  atMono: number;
}

/** A burst below 1 counts as 1: a bucket that cannot hold one token would never give one. */
export function createBucket(limit: RateLimit, nowMono: number): Bucket {
  const burst = Math.max(1, limit.burst);
  return { perSecond: limit.perSecond, burst, tokens: burst, atMono: nowMono };
}

/** Takes up to `want` whole tokens and says how many. */
export function takeTokens(bucket: Bucket, want: number, nowMono: number): number {
  refill(bucket, nowMono);
  const taken = Math.max(0, Math.min(Math.floor(want), Math.floor(bucket.tokens + TOLERANCE)));
  bucket.tokens -= taken;
  return taken;
}

/**
 * Earliest monotonic time, rounded up to whole ms, at which one token is there; `nowMono` if it is there now.
 */
export function nextTokenAtMono(bucket: Bucket, nowMono: number): number {
  refill(bucket, nowMono);
  const missing = 1 - bucket.tokens;
  return missing <= TOLERANCE ? nowMono : Math.ceil(bucket.atMono + (missing * 1000) / bucket.perSecond);
}

function refill(bucket: Bucket, nowMono: number): void {
  const elapsedMs = nowMono - bucket.atMono;
  if (elapsedMs <= 0) return;
  bucket.tokens = Math.min(bucket.burst, bucket.tokens + (elapsedMs * bucket.perSecond) / 1000);
  bucket.atMono = nowMono;
}
