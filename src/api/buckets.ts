import { LRUCache } from "lru-cache";
import type { Clock } from "../lib/clock.ts";

export interface BucketOptions {
  /** Tokens of a full bucket: what may come at once. */
  readonly burst: number;
  readonly perSecond: number;
  /** Buckets kept. One that is pushed out begins full again. */
  readonly entriesMax: number;
}

export interface Buckets {
  /** Takes tokens: 0 where there were enough, otherwise (and nothing is taken) the milliseconds until there are. */
  take(name: string, count: number): number;
  /** Milliseconds until a bucket has a token; 0 where it has one. */
  wait(name: string): number;
  /** Takes tokens that are not asked for but owed; the debt grows to one bucket at most. */
  charge(name: string, count: number): void;
}

/** Token buckets by name, on the monotonic clock. */
export function createBuckets(options: BucketOptions, clock: Clock): Buckets {
  const { burst, perSecond } = options;
  const buckets = new LRUCache<string, { tokens: number; atMono: number }>({ max: options.entriesMax });

  function fill(name: string): { tokens: number; atMono: number } {
    const nowMono = clock.mono();
    const bucket = buckets.get(name);
    if (bucket === undefined) {
      const full = { tokens: burst, atMono: nowMono };
      buckets.set(name, full);
      return full;
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMono - bucket.atMono) / 1_000) * perSecond);
    bucket.atMono = nowMono;
    return bucket;
  }

  const msUntil = (tokens: number, wanted: number) => Math.ceil(((wanted - tokens) / perSecond) * 1_000);

  return {
    take(name, count) {
      const bucket = fill(name);
      // More than a bucket holds is let through by a full one, which then owes the rest.
      const wanted = Math.min(count, burst);
      if (bucket.tokens < wanted) return msUntil(bucket.tokens, wanted);
      bucket.tokens -= count;
      return 0;
    },
    wait(name) {
      const { tokens } = fill(name);
      return tokens >= 1 ? 0 : msUntil(tokens, 1);
    },
    charge(name, count) {
      const bucket = fill(name);
      bucket.tokens = Math.max(-burst, bucket.tokens - count);
    },
  };
}
