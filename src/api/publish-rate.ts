import type { Clock } from "../lib/clock.ts";
import { type Buckets, createBuckets } from "./buckets.ts";
import type { ApiConfig } from "./context.ts";

/** Keys whose rate is kept. */
const KEYS_MAX = 10_000;

export type PublishRate = Pick<Buckets, "take">;

/** `limits.publish_per_key`, as it is now: when it changes, every key begins with a full bucket. */
export function createPublishRate(config: Pick<ApiConfig, "limits">, clock: Clock): PublishRate {
  let perSecond = 0;
  let buckets: Buckets | null = null;
  return {
    take(name, count) {
      if (config.limits.publishPerKey !== perSecond) {
        perSecond = config.limits.publishPerKey;
        buckets =
          perSecond === 0
            ? null
            : createBuckets({ burst: perSecond, perSecond, entriesMax: KEYS_MAX }, clock);
      }
      return buckets?.take(name, count) ?? 0;
    },
  };
}
