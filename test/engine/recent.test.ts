import fc from "fast-check";
import { expect, test } from "vitest";
import { Recent } from "../../src/engine/recent.ts";

const MINUTE_MS = 60_000;

const attempts = fc.array(
  fc.record({
    isSuccess: fc.boolean(),
    durationMs: fc.constantFrom(0.4, 1, 3, 50, 900, 120_000),
    waitMs: fc.constantFrom(0, 1, 5_000, 61_000, 400_000),
  }),
  { maxLength: 80 },
);

/** Of the attempts themselves: a quantile is the upper bound of its bucket, each 1.5 times the one before. */
function expected(held: readonly { isSuccess: boolean; durationMs: number }[]) {
  if (held.length === 0) return { successRate: null, p50Ms: null, p99Ms: null };
  const buckets = held
    .map(({ durationMs }) =>
      durationMs <= 1 ? 0 : Math.min(26, Math.ceil(Math.log(durationMs) / Math.log(1.5))),
    )
    .sort((a, b) => a - b);
  const quantile = (q: number) => Math.round(1.5 ** (buckets[Math.ceil(held.length * q) - 1] as number));
  const successes = held.filter(({ isSuccess }) => isSuccess).length;
  return { successRate: successes / held.length, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

test("tells the attempts of this minute and the four before it, be they few or many", () => {
  fc.assert(
    fc.property(attempts, fc.constantFrom(0, 59_000, 130_000, 600_000), (given, laterMs) => {
      const recent = new Recent();
      const held: { isSuccess: boolean; durationMs: number; minute: number }[] = [];
      const minuteAt = (ms: number) => Math.floor(ms / MINUTE_MS);
      let nowMs = 1_000;
      for (const { waitMs, ...attempt } of given) {
        nowMs += waitMs;
        recent.record(attempt.isSuccess, attempt.durationMs, nowMs);
        held.push({ ...attempt, minute: minuteAt(nowMs) });
        const seen = held.filter(({ minute }) => minute > minuteAt(nowMs) - 5);
        expect(recent.summary(nowMs)).toEqual(expected(seen));
      }
      const laterMinute = minuteAt(nowMs + laterMs);
      const left = held.filter(({ minute }) => minute > laterMinute - 5);
      expect(recent.summary(nowMs + laterMs)).toEqual(expected(left));
    }),
  );
});
