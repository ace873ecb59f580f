import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRamp, rampRecover, rampReset, rampSuccess, rampTimeout } from "../../src/domain/ramp.ts";

const MAX = 128;

/** A lane whose limit has grown to `limit` by successes alone. */
function setup(limit = 2) {
  const state = createRamp();
  while (state.limit < limit) rampSuccess(state, MAX, 0);
  return state;
}

describe("a ramp", () => {
  test("starts at two, unproven, and is proven by a success only", () => {
    const state = setup();
    expect(state.limit).toBe(2);
    rampTimeout(state);
    expect(state.isProven).toBe(false);
    rampSuccess(state, MAX, 0);
    expect(state.isProven).toBe(true);
    rampTimeout(state);
    expect(state.isProven).toBe(true);
  });

  test("grows by one with each success until the first timeout, up to its max", () => {
    const state = setup();
    rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(3);
    for (let count = 0; count < 500; count += 1) rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(MAX);
  });

  test("halves once for attempts that timed out together", () => {
    const state = setup(16);
    for (let count = 0; count < 16; count += 1) rampTimeout(state);
    expect(state.limit).toBe(8);
    rampTimeout(state);
    expect(state.limit).toBe(4);
  });

  test("grows by one per window of successes after a timeout", () => {
    const state = setup(8);
    for (let count = 0; count < 8; count += 1) rampTimeout(state);
    for (let count = 0; count < 3; count += 1) rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(4);
    rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(5);
    for (let count = 0; count < 5; count += 1) rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(6);
  });

  test("never goes below one, and comes back from there", () => {
    const state = setup();
    for (let count = 0; count < 50; count += 1) rampTimeout(state);
    expect(state.limit).toBe(1);
    rampSuccess(state, MAX, 0);
    expect(state.limit).toBe(2);
  });

  test("comes down at once to a max that was lowered", () => {
    const state = setup(100);
    rampSuccess(state, 10, 0);
    expect(state.limit).toBe(10);
    rampSuccess(state, 0, 0);
    expect(state.limit).toBe(1);
  });

  test("reset is as new", () => {
    const state = setup(50);
    rampTimeout(state);
    rampReset(state);
    expect(state).toEqual(createRamp());
  });

  test("climbs from one to 128 over 10.5 s after a breaker closed, however fast the successes come", () => {
    const state = setup(64);
    rampRecover(state, 1_000);
    const limits = new Map<number, number>();
    for (let mono = 1_000; mono <= 15_000; mono += 10) {
      for (let count = 0; count < 20; count += 1) rampSuccess(state, MAX, mono);
      limits.set(mono, state.limit);
    }
    expect([1_000, 2_490, 2_500, 4_000, 10_100].map((mono) => limits.get(mono))).toEqual([1, 1, 2, 4, 64]);
    expect([11_490, 11_600, 15_000].map((mono) => limits.get(mono))).toEqual([64, 128, 128]);
    rampTimeout(state);
    expect(state.limit).toBe(64);
  });

  test("keeps an integer limit within bounds, and halves at most once per window of outcomes", () => {
    const outcomes = fc.array(fc.boolean(), { maxLength: 400 });
    fc.assert(
      fc.property(outcomes, fc.integer({ min: 2, max: 64 }), (successes, max) => {
        const state = createRamp();
        let sinceHalving = Infinity;
        let window = 0;
        for (const isSuccess of successes) {
          const before = state.limit;
          sinceHalving += 1;
          if (isSuccess) rampSuccess(state, max, 0);
          else rampTimeout(state);
          expect(Number.isInteger(state.limit) && state.limit >= 1 && state.limit <= max).toBe(true);
          if (isSuccess) expect(state.limit - before === 0 || state.limit - before === 1).toBe(true);
          if (state.limit >= before) continue;
          expect(state.limit).toBe(Math.max(1, Math.floor(before / 2)));
          expect(sinceHalving).toBeGreaterThanOrEqual(window);
          sinceHalving = 0;
          window = before;
        }
      }),
    );
  });
});
