import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BreakerPolicy,
  createBreaker,
  exportBreaker,
  importBreaker,
  isProbeDue,
  recordFailure,
  recordPermanent,
  recordSuccess,
  shortenProbe,
  spreadProbe,
} from "../../src/domain/breaker.ts";
import type { DeliveryId } from "../../src/domain/ids.ts";

const POLICY: BreakerPolicy = {
  consecutive: 5,
  window: 20,
  ratio: 0.5,
  probeMs: 30_000,
  probeMaxMs: 300_000,
};
const START = 1_700_000_000_000;
const id = (number: number) => number as DeliveryId;
const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** A lane's breaker with a clock; draws are even (0.5 gives the mean) unless told. */
function setup(policy = POLICY) {
  const state = createBreaker();
  let now = START;
  const world = {
    state,
    at: (time: number) => {
      now = time;
    },
    fail: (delivery: number, drawn = 0.5) => recordFailure(state, policy, id(delivery), now, () => drawn),
    open: () => [1, 2, 3, 4, 5].map((delivery) => world.fail(delivery)).at(-1),
  };
  return world;
}

describe("a closed breaker", () => {
  test("opens when five different deliveries in a row failed", () => {
    const { state, fail } = setup();
    expect([1, 2, 3, 4].map((delivery) => fail(delivery))).toEqual([null, null, null, null]);
    expect(fail(5)).toBe("opened");
    expect(state.isOpen).toBe(true);
    expect(state.probeAt).toBe(START + 30_000);
  });

  test("counts retries of one delivery once, also when they are interleaved", () => {
    const { fail } = setup();
    for (let round = 0; round < 4; round += 1)
      for (const delivery of [1, 2, 3, 4]) expect(fail(delivery)).toBe(null);
    expect(fail(5)).toBe("opened");
  });

  test("starts counting anew after a success", () => {
    const { state, fail } = setup();
    for (const delivery of [1, 2, 3, 4]) fail(delivery);
    expect(recordSuccess(state)).toBe(null);
    for (const delivery of [5, 6, 7, 8]) expect(fail(delivery)).toBe(null);
  });

  test("opens when half of the last 20 failed, and not before there are 20", () => {
    const { state, fail } = setup();
    for (let pair = 0; pair < 9; pair += 1) {
      recordSuccess(state);
      expect(fail(1)).toBe(null);
    }
    recordSuccess(state);
    expect(fail(1)).toBe("opened");
  });

  test("forgets outcomes that left the window", () => {
    const { state, fail } = setup();
    for (let count = 0; count < 10; count += 1) fail(1);
    for (let count = 0; count < 20; count += 1) recordSuccess(state);
    for (let count = 0; count < 9; count += 1) expect(fail(1)).toBe(null);
    expect(fail(1)).toBe("opened");
  });

  test("agrees with a model that keeps every outcome", () => {
    const outcome = fc.option(fc.integer({ min: 1, max: 8 }), { nil: "success" as const, freq: 3 });
    const policies = fc.record({
      consecutive: fc.integer({ min: 1, max: 8 }),
      window: fc.integer({ min: 1, max: 32 }),
      ratio: fc.constantFrom(0.25, 0.5, 0.75, 1),
      probeMs: fc.constant(30_000),
      probeMaxMs: fc.constant(300_000),
    });
    fc.assert(
      fc.property(policies, fc.array(outcome, { maxLength: 80 }), (policy, outcomes) => {
        const { state, fail } = setup(policy);
        const seen: (number | "success")[] = [];
        for (const one of outcomes) {
          seen.push(one);
          const run = seen.slice(seen.lastIndexOf("success") + 1);
          const last = seen.slice(-policy.window);
          const failures = last.filter((value) => value !== "success").length;
          const isFull = seen.length >= policy.window;
          const isOpening =
            new Set(run).size >= policy.consecutive || (isFull && failures >= policy.ratio * policy.window);
          if (one === "success") expect(recordSuccess(state)).toBe(null);
          else expect(fail(one)).toBe(isOpening ? "opened" : null);
          if (state.isOpen) return;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("an open breaker", () => {
  test("waits twice as long after each failed probe, up to five minutes", () => {
    const { state, fail, at, open } = setup();
    open();
    const waits: number[] = [];
    for (let probe = 0; probe < 6; probe += 1) {
      const sentAt = state.probeAt;
      at(sentAt);
      expect(fail(1)).toBe(null);
      waits.push(state.probeAt - sentAt);
    }
    expect(waits).toEqual([60_000, 120_000, 240_000, 300_000, 300_000, 300_000]);
  });

  test("draws each probe from half to one and a half of the mean", () => {
    for (const [drawn, wait] of [
      [0, 15_000],
      [0.5, 30_000],
      [0.9999999, 45_000],
    ] as const) {
      const { state, fail } = setup();
      for (const delivery of [1, 2, 3, 4]) fail(delivery);
      fail(5, drawn);
      expect(state.probeAt - START).toBe(wait);
    }
  });

  test("is not moved by failures of attempts that were in flight when it opened", () => {
    const { state, fail, at, open } = setup();
    open();
    const before = exportBreaker(state);
    at(state.probeAt - 1);
    for (const delivery of [6, 7, 8]) expect(fail(delivery, 0)).toBe(null);
    expect(exportBreaker(state)).toEqual(before);
  });

  test("never has its probe moved earlier by failures, however they come and whatever is drawn", () => {
    const steps = fc.array(fc.tuple(fc.nat({ max: 100_000 }), draw, fc.nat({ max: 50 })), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (failures) => {
        const { state, fail, at, open } = setup();
        open();
        let now = START;
        for (const [elapsed, drawn, delivery] of failures) {
          now += elapsed;
          at(now);
          const before = state.probeAt;
          fail(delivery, drawn);
          expect(state.probeAt).toBeGreaterThanOrEqual(before);
          expect(state.probeAt - Math.max(now, before)).toBeLessThanOrEqual(450_000);
        }
      }),
    );
  });

  test("closes on a success, and then needs a full count to open again", () => {
    const { state, fail, open } = setup();
    expect(open()).toBe("opened");
    expect(recordSuccess(state)).toBe("closed");
    expect(state).toEqual(createBreaker());
    expect([1, 2, 3, 4].map((delivery) => fail(delivery))).toEqual([null, null, null, null]);
    expect(fail(5)).toBe("opened");
    expect(state.probeDelayMs).toBe(30_000);
  });

  test("closes on a permanent answer too, which is no success", () => {
    const { state, open } = setup();
    open();
    expect(recordPermanent(state, START + 1)).toBe("closed");
    expect(state.failingSince).toBe(START);
  });

  test("lets the probe go at its time, or when the wall clock was set back by more than any draw", () => {
    const { state, open } = setup();
    open();
    expect(isProbeDue(state, POLICY, START)).toBe(false);
    expect(isProbeDue(state, POLICY, state.probeAt - 1)).toBe(false);
    expect(isProbeDue(state, POLICY, state.probeAt)).toBe(true);
    expect(isProbeDue(state, POLICY, START - 3_600_000)).toBe(true);
  });
});

describe("failing since", () => {
  test("is the first failure after the last success, also while closed", () => {
    const { state, fail, at } = setup();
    expect(state.failingSince).toBe(null);
    fail(1);
    at(START + 5000);
    fail(2);
    expect(state.failingSince).toBe(START);
    recordSuccess(state);
    expect(state.failingSince).toBe(null);
    fail(3);
    expect(state.failingSince).toBe(START + 5000);
  });

  test("begins with a permanent failure as well", () => {
    const { state } = setup();
    recordPermanent(state, START);
    recordPermanent(state, START + 1);
    expect(state.failingSince).toBe(START);
  });
});

test("a breaker survives a restart through JSON", () => {
  const { state, fail, at, open } = setup();
  open();
  at(state.probeAt);
  fail(9);
  const restored = importBreaker(JSON.parse(JSON.stringify(exportBreaker(state))));
  expect(restored).toEqual(state);
  recordFailure(restored, POLICY, id(1), restored.probeAt, () => 0.5);
  expect(restored.probeDelayMs).toBe(120_000);
});

test("a probe that was due while hookd was down is drawn anew, one that is not due stays", () => {
  const { state, open } = setup();
  open();
  const { probeAt } = state;
  spreadProbe(state, probeAt - 1, 10_000, () => 0.5);
  expect(state.probeAt).toBe(probeAt);
  spreadProbe(state, probeAt, 10_000, () => 0.5);
  expect(state.probeAt).toBe(probeAt + 5_000);
  const closed = createBreaker();
  spreadProbe(closed, START, 10_000, () => 0.5);
  expect(closed).toEqual(createBreaker());
});

describe("a longest wait that was made shorter", () => {
  const shorter = { ...POLICY, probeMs: 1_000, probeMaxMs: 2_000 };

  test("brings a probe that is further ahead forward, drawn from the new wait", () => {
    const { state, open } = setup();
    open();
    shortenProbe(state, shorter, START, () => 0.5);
    expect(state).toMatchObject({ isOpen: true, probeAt: START + 2_000, probeDelayMs: 2_000 });
  });

  test("leaves a probe alone that is no further ahead, and a closed breaker", () => {
    const { state, open } = setup();
    shortenProbe(state, shorter, START, () => 0.5);
    expect(state).toEqual(createBreaker());
    open();
    const before = { ...state };
    shortenProbe(state, POLICY, START, () => 0.9);
    expect(state).toEqual(before);
  });
});
