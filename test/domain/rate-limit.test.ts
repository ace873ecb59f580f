import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBucket, nextTokenAtMono, takeTokens } from "../../src/domain/rate-limit.ts";

const limits = fc.record({
  perSecond: fc.oneof(fc.integer({ min: 1, max: 20_000 }), fc.double({ min: 0.01, max: 100, noNaN: true })),
  burst: fc.integer({ min: 1, max: 1000 }),
});
const starts = fc.oneof(
  fc.constant(0),
  fc.integer({ min: 0, max: 1e10 }),
  fc.double({ min: 0, max: 1e9, noNaN: true }),
);

describe("a token bucket", () => {
  test("starts full, gives its burst at once and then its rate", () => {
    const bucket = createBucket({ perSecond: 10, burst: 5 }, 1000);
    expect(takeTokens(bucket, 100, 1000)).toBe(5);
    expect(takeTokens(bucket, 1, 1000)).toBe(0);
    expect(nextTokenAtMono(bucket, 1000)).toBe(1100);
    expect(takeTokens(bucket, 1, 1099)).toBe(0);
    expect(takeTokens(bucket, 100, 1100)).toBe(1);
    expect(takeTokens(bucket, 100, 1350)).toBe(2);
    expect(nextTokenAtMono(bucket, 1350)).toBe(1400);
  });

  test("gives no more than is wanted, and keeps the rest", () => {
    const bucket = createBucket({ perSecond: 1, burst: 10 }, 0);
    expect(takeTokens(bucket, 3, 0)).toBe(3);
    expect(takeTokens(bucket, 0, 0)).toBe(0);
    expect(takeTokens(bucket, -5, 0)).toBe(0);
    expect(takeTokens(bucket, 100, 0)).toBe(7);
  });

  test("does not fill beyond its burst while idle", () => {
    const bucket = createBucket({ perSecond: 100, burst: 5 }, 0);
    expect(takeTokens(bucket, 1000, 1e9)).toBe(5);
  });

  test("with a burst below one still gives single tokens", () => {
    const bucket = createBucket({ perSecond: 2, burst: 0 }, 0);
    expect(takeTokens(bucket, 5, 0)).toBe(1);
    expect(nextTokenAtMono(bucket, 0)).toBe(500);
  });

  test("says now when a token is there", () => {
    const bucket = createBucket({ perSecond: 2, burst: 3 }, 7);
    expect(nextTokenAtMono(bucket, 7.5)).toBe(7.5);
  });

  test("gives at most perSecond * T + burst in any interval", () => {
    const steps = fc.array(
      fc.tuple(
        fc.oneof(fc.constant(0), fc.nat({ max: 20 }), fc.double({ min: 0, max: 2000, noNaN: true })),
        fc.nat({ max: 1500 }),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(limits, starts, steps, (limit, start, calls) => {
        const bucket = createBucket(limit, start);
        const given: { at: number; taken: number }[] = [];
        let now = start;
        for (const [elapsed, want] of calls) {
          now += elapsed;
          const taken = takeTokens(bucket, want, now);
          expect(Number.isInteger(taken) && taken >= 0 && taken <= want).toBe(true);
          given.push({ at: now, taken });
        }
        for (let from = 0; from < given.length; from += 1) {
          let sum = 0;
          for (let to = from; to < given.length; to += 1) {
            sum += given[to]!.taken;
            const seconds = (given[to]!.at - given[from]!.at) / 1000;
            expect(sum).toBeLessThanOrEqual(limit.perSecond * seconds + limit.burst + 1e-5);
          }
        }
      }),
    );
  });

  test("gives a token at the time it names, and none more than a millisecond before", () => {
    fc.assert(
      fc.property(limits, starts, fc.nat({ max: 5000 }), (limit, start, elapsed) => {
        const bucket = createBucket(limit, start);
        takeTokens(bucket, 1e9, start);
        takeTokens(bucket, 1e9, start + elapsed);
        const at = nextTokenAtMono(bucket, start + elapsed);
        // The bucket's tolerance of a millionth of a token, as time.
        const before = at - 1 - 0.002 / limit.perSecond;
        if (before > start + elapsed) expect(takeTokens({ ...bucket }, 1, before)).toBe(0);
        expect(takeTokens(bucket, 1, at)).toBe(1);
      }),
      { numRuns: 500 },
    );
  });
});
