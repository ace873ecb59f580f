import fc from "fast-check";
import { expect, test } from "vitest";
import type { DedupeKey } from "../../src/domain/dedupe.ts";
import { UidFilter } from "../../src/store/sqlite/uid-filter.ts";
import { type Round, YoungUids } from "../../src/store/sqlite/young-uids.ts";

const half = fc.integer({ min: 0, max: 2 ** 52 - 1 });
const keys = fc.record({ uidHigh: half, uidLow: half, content: fc.constant(0) });

test("says yes to all that was added, and no to most that was not", () => {
  fc.assert(
    fc.property(
      fc.array(keys, { maxLength: 200 }),
      fc.array(keys, { minLength: 50, maxLength: 50 }),
      (added, others) => {
        const filter = new UidFilter();
        for (const key of added) filter.add(key);
        for (const key of added) expect(filter.mayHave(key)).toBe(true);
        expect(others.filter((key) => filter.mayHave(key)).length).toBeLessThan(10);
      },
    ),
  );
});

/** Trees as sets, of which rounds carry a stretch of the ring into the next one; out of the last one they are gone. */
class Trees {
  readonly trees: Set<number>[];
  readonly rounds: { laps: number; at: number }[];
  readonly #ring: number;

  constructor(at: readonly number[], ring: number) {
    this.trees = at.map(() => new Set());
    this.rounds = at.map((one) => ({ laps: 0, at: one }));
    this.#ring = ring;
  }

  carry(index: number, length: number): void {
    const round = this.rounds[index] as { laps: number; at: number };
    const end = Math.min(this.#ring, round.at + length);
    for (const high of [...(this.trees[index] as Set<number>)]) {
      if (high < round.at || high >= end) continue;
      this.trees[index]?.delete(high);
      this.trees[index + 1]?.add(high);
    }
    round.at = end === this.#ring ? 0 : end;
    if (end === this.#ring) round.laps += 1;
  }
}

const RING = 100;
const places = fc.integer({ min: 0, max: RING - 1 });
const steps = fc.array(
  fc.oneof(
    fc.record({ add: places }),
    fc.record({ round: fc.constantFrom(0, 1), length: fc.integer({ min: 1, max: 120 }) }),
  ),
  { maxLength: 120, size: "max" },
);
const keyOf = (place: number): DedupeKey => ({ uidHigh: place, uidLow: place * 7_919, content: 0 });

test("what lies in a young tree is never denied, wherever the rounds are and however far they go at once", () => {
  fc.assert(
    fc.property(places, places, steps, (first, second, steps) => {
      const model = new Trees([first, second], RING);
      const young = new YoungUids(model.rounds as readonly Round[], true);
      for (const step of steps) {
        if ("add" in step) {
          young.add(keyOf(step.add));
          model.trees[0]?.add(step.add);
        } else {
          model.carry(step.round, step.length);
          young.moved();
        }
        for (const tree of model.trees)
          for (const place of tree) expect(young.mayHave(keyOf(place))).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});

test("what both rounds have gone over twice is denied, and so is what was there before only from then on", () => {
  const model = new Trees([30, 60], RING);
  const young = new YoungUids(model.rounds, false);
  young.add(keyOf(5));
  const answers: boolean[] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    answers.push(young.mayHave(keyOf(5)), young.mayHave(keyOf(77)));
    for (const round of [0, 1]) {
      for (let step = 0; step < 10; step += 1) {
        model.carry(round, RING / 10);
        young.moved();
      }
    }
  }
  answers.push(young.mayHave(keyOf(5)), young.mayHave(keyOf(77)));
  expect(answers).toEqual([true, true, true, false, false, false, false, false]);
});
