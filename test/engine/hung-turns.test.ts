import fc from "fast-check";
import { expect, test } from "vitest";
import { HungTurns } from "../../src/engine/hung-turns.ts";

const NOW = Date.UTC(2026, 10, 23);

function turnsOf(count: number, now = NOW): number[] {
  const turns = new HungTurns();
  return Array.from({ length: count }, () => turns.next(now));
}

test("one that hangs alone has its turn at once", () => {
  expect(turnsOf(1)).toEqual([NOW]);
});

test("a thousand that hang together take seconds, and are never many at a time", () => {
  const turns = turnsOf(1_000);
  expect((turns.at(-1) as number) - NOW).toBeGreaterThan(5_000);
  turns.slice(2).forEach((at, index) => {
    expect(at - (turns[index] as number)).toBeGreaterThanOrEqual(10);
  });
});

test("however many hang together, each has its turn within 30 seconds, and those of a moment stay few", () => {
  const turns = turnsOf(10_000);
  expect(turns.every((at) => at <= NOW + 30_000)).toBe(true);
  const inTenMs = new Map<number, number>();
  for (const at of turns) inTenMs.set(Math.floor(at / 10), (inTenMs.get(Math.floor(at / 10)) ?? 0) + 1);
  expect(Math.max(...inTenMs.values())).toBeLessThanOrEqual(20);
});

test("turns are in order while the clock goes on, and within 30 seconds of now wherever it is set to", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -120_000, max: 40_000 }), { maxLength: 50 }), (steps) => {
      const turns = new HungTurns();
      let now = NOW;
      let last = 0;
      for (const step of steps) {
        now += step;
        const at = turns.next(now);
        expect(at).toBeGreaterThanOrEqual(now);
        expect(at).toBeLessThanOrEqual(now + 30_000);
        if (step >= 0) expect(at).toBeGreaterThanOrEqual(last);
        last = at;
      }
    }),
  );
});
