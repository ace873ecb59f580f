import fc from "fast-check";
import { expect, test } from "vitest";
import { FoldPace } from "../../src/store/sqlite/fold-pace.ts";

test("a small fold is owed whole from the beginning", () => {
  expect(new FoldPace(1_000, 3_000, 50).owed(50)).toBe(1_000);
});

test("a large fold is owed evenly over six tenths of the time that its changes took", () => {
  const pace = new FoldPace(100_000, 3_000, 0);
  expect(pace.owed(0)).toBe(0);
  expect(pace.owed(900)).toBe(50_000);
  pace.did(49_900);
  expect(pace.owed(900)).toBe(0);
  expect(pace.owed(909)).toBe(600);
  expect(pace.owed(1_800)).toBe(50_100);
});

test("a fold whose changes came at once, or from the future, waits for nothing", () => {
  expect(new FoldPace(100_000, 0, 0).owed(0)).toBe(100_000);
  expect(new FoldPace(100_000, -5_000, 0).owed(0)).toBe(100_000);
});

test("whoever does what is owed is through when the time is over, and has never been asked for a tiny slice", () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 200_000 }),
      fc.integer({ min: 0, max: 3_000 }),
      gaps,
      (steps, gathered, waits) => {
        const pace = new FoldPace(steps, gathered, 0);
        let at = 0;
        let done = 0;
        for (const wait of waits) {
          at += wait;
          const owed = pace.owed(at);
          if (at < gathered * 0.6 && steps > 1_000) expect(owed === 0 || owed >= 256).toBe(true);
          pace.did(owed);
          done += owed;
        }
        pace.did(pace.owed(gathered));
        // One at least is owed as long as the fold is not said to be over.
        expect(pace.owed(gathered)).toBe(1);
        expect(done).toBeLessThanOrEqual(steps + waits.length);
      },
    ),
  );
});
