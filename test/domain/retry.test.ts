import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attemptsMax, RETRY_DELAY_MAX_MS, retryDelayMs } from "../../src/domain/retry.ts";
import type { RetryPolicy } from "../../src/domain/webhook.ts";

const DEFAULT: RetryPolicy = {
  kind: "list",
  delaysMs: [1e3, 5e3, 30e3, 300e3, 1800e3, 7200e3, 18000e3, 36000e3, 36000e3],
};
const anyNumber = fc.oneof(fc.double(), fc.nat(), fc.constantFrom(0, -1, NaN, Infinity, Number.MAX_VALUE));
const anyPolicy: fc.Arbitrary<RetryPolicy> = fc.oneof(
  fc.record({ kind: fc.constant("list" as const), delaysMs: fc.array(anyNumber, { maxLength: 12 }) }),
  fc.record({
    kind: fc.constant("exponential" as const),
    baseMs: anyNumber,
    factor: anyNumber,
    maxMs: anyNumber,
    attempts: anyNumber,
  }),
);
const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("a retry schedule", () => {
  test("of nine delays makes ten attempts", () => {
    expect(attemptsMax(DEFAULT)).toBe(10);
    expect(retryDelayMs(DEFAULT, 1, 0, () => 0)).toBe(1000);
    expect(retryDelayMs(DEFAULT, 9, 0, () => 0)).toBe(36_000_000);
    expect(retryDelayMs(DEFAULT, 10, 0, () => 0)).toBe(null);
    expect(retryDelayMs(DEFAULT, 11, 0, () => 0)).toBe(null);
  });

  test("without delays makes one attempt and no retry", () => {
    expect(attemptsMax({ kind: "list", delaysMs: [] })).toBe(1);
    expect(retryDelayMs({ kind: "list", delaysMs: [] }, 1, 0.5, () => 0)).toBe(null);
  });

  test("with base 1m and factor 2 waits 1m, 2m, 4m, up to its max", () => {
    const policy: RetryPolicy = { kind: "exponential", baseMs: 60e3, factor: 2, maxMs: 200e3, attempts: 5 };
    const delays = [1, 2, 3, 4, 5].map((failed) => retryDelayMs(policy, failed, 0, () => 0));
    expect(delays).toEqual([60e3, 120e3, 200e3, 200e3, null]);
  });

  test("has one attempt at least, also with a nonsense number of attempts", () => {
    for (const attempts of [0, -3, NaN]) {
      const policy: RetryPolicy = { kind: "exponential", baseMs: 1, factor: 2, maxMs: 10, attempts };
      expect(attemptsMax(policy)).toBe(1);
      expect(retryDelayMs(policy, 1, 0.5, () => 0)).toBe(null);
    }
  });

  test("is clamped to 30 days, jitter included", () => {
    const policy: RetryPolicy = { kind: "list", delaysMs: [RETRY_DELAY_MAX_MS - 1, 1e300] };
    expect(retryDelayMs(policy, 1, 0.5, () => 0.9)).toBe(RETRY_DELAY_MAX_MS);
    expect(retryDelayMs(policy, 2, 0.5, () => 0.9)).toBe(RETRY_DELAY_MAX_MS);
  });

  test("draws every delay from [d, (1 + jitter) d]", () => {
    const delays = fc.array(fc.integer({ min: 0, max: RETRY_DELAY_MAX_MS / 4 }), { minLength: 1 });
    const jitters = fc.double({ min: 0, max: 2, noNaN: true });
    fc.assert(
      fc.property(delays, fc.nat(), jitters, draw, (delaysMs, pick, jitter, drawn) => {
        const index = pick % delaysMs.length;
        const delay = retryDelayMs({ kind: "list", delaysMs }, index + 1, jitter, () => drawn)!;
        expect(delay).toBeGreaterThanOrEqual(delaysMs[index]!);
        expect(delay).toBeLessThanOrEqual(delaysMs[index]! * (1 + jitter));
        expect(Number.isInteger(delay)).toBe(true);
      }),
    );
  });

  test("spreads a delay over all of its interval", () => {
    const policy: RetryPolicy = { kind: "list", delaysMs: [1000] };
    const drawn = [0, 0.5, 0.999].map((value) => retryDelayMs(policy, 1, 0.5, () => value));
    expect(drawn).toEqual([1000, 1250, 1499]);
  });

  test("gives a whole number of milliseconds or null for any policy whatever", () => {
    fc.assert(
      fc.property(anyPolicy, fc.nat({ max: 2000 }), anyNumber, draw, (policy, failed, jitter, drawn) => {
        const delay = retryDelayMs(policy, failed, jitter, () => drawn);
        expect(delay === null).toBe(failed >= attemptsMax(policy));
        if (delay === null) return;
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay >= 0 && delay <= RETRY_DELAY_MAX_MS).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
