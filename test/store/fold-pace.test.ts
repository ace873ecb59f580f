import fc from "fast-check";
import { expect, test } from "vitest";
import { FoldPace } from "../../src/store/sqlite/fold-pace.ts";

test("a small fold is owed whole from the beginning", () => {
  expect(new FoldPace(1_000, 3_000, 50).owed(50, 0)).toBe(1_000);
});

test("a large fold is owed evenly over most of the time that its changes took", () => {
  const pace = new FoldPace(100_000, 3_000, 0);
  expect(pace.owed(0, 0)).toBe(0);
  expect(pace.owed(1_275, 0)).toBe(50_000);
  pace.did(49_900);
  expect(pace.owed(1_275, 0)).toBe(0);
  expect(pace.owed(1_288, 0)).toBe(610);
  expect(pace.owed(2_550, 0)).toBe(50_100);
});

test("a fold whose changes came at once, or from the future, waits for nothing", () => {
  expect(new FoldPace(100_000, 0, 0).owed(0, 0)).toBe(100_000);
  expect(new FoldPace(100_000, -5_000, 0).owed(0, 0)).toBe(100_000);
});

test("a fold is over before the changes that come meanwhile make the next one due, however fast they come", () => {
  const pace = new FoldPace(100_000, 3_000, 0);
  expect(pace.owed(10, 0.425)).toBe(50_000);
  pace.did(50_000);
  expect(pace.owed(11, 0.425)).toBe(0);
  expect(pace.owed(12, 0.85)).toBe(50_000);
  // Where they come slowly, time alone counts.
  expect(pace.owed(2_550, 0.1)).toBe(50_000);
});

test("whoever does what is owed is through when the time is over, and has never been asked for a tiny slice", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 400 });
  const times = fc.integer({ min: 0, max: 3_000 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 200_000 }), times, gaps, (steps, gathered, waits) => {
      const pace = new FoldPace(steps, gathered, 0);
      let at = 0;
      let done = 0;
      for (const wait of waits) {
        at += wait;
        const owed = pace.owed(at, 0);
        expect(owed === 0 || owed >= 256).toBe(true);
        pace.did(owed);
        done += owed;
      }
      expect(done + pace.owed(gathered, 0)).toBeGreaterThanOrEqual(steps);
      // What is done is counted by rows: a fold that is not over by then is never left alone.
      pace.did(pace.owed(gathered, 0));
      expect(pace.owed(gathered, 0)).toBeGreaterThan(0);
    }),
  );
});
