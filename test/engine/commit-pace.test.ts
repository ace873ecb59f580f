import { expect, test } from "vitest";
import { CommitPace } from "../../src/engine/commit-pace.ts";

test("while few publish, every commit is made at once", () => {
  const pace = new CommitPace();
  expect(pace.waitMs(1, 0, 0)).toBeLessThanOrEqual(0);
  pace.begin(5, 100);
  expect(pace.waitMs(1, 0, 100)).toBeLessThanOrEqual(0);
});

/** A pace that has seen so many events and outcomes a millisecond for 200 ms, in commits so far apart. */
function paceAfter(perMs: number, everyMs: number): CommitPace {
  const pace = new CommitPace();
  for (let at = everyMs; at <= 200; at += everyMs) pace.begin(perMs * everyMs, at);
  pace.begin(perMs * everyMs, 200 + everyMs);
  return pace;
}

test("under load a commit gathers for some milliseconds after the last one, and no longer", () => {
  const pace = paceAfter(24, 1);
  const waitMs = pace.waitMs(30, 0, 201);
  expect(waitMs).toBeGreaterThan(0);
  expect(waitMs).toBeLessThan(10);
  expect(pace.waitMs(30, 0, 201 + waitMs)).toBeLessThanOrEqual(0);
});

test("whether there is load says the rate, and not how large the last commit came to be", () => {
  for (const everyMs of [0.5, 1, 2, 3]) {
    expect(paceAfter(12, everyMs).waitMs(30, 0, 200 + everyMs)).toBe(0);
    expect(paceAfter(20, everyMs).waitMs(30, 0, 200 + everyMs)).toBeGreaterThan(0);
  }
});

test("one large commit is no load", () => {
  const pace = new CommitPace();
  pace.begin(200, 100);
  expect(pace.waitMs(30, 0, 100)).toBe(0);
});

test("what is already large waits for nothing but the disk", () => {
  const pace = new CommitPace();
  pace.begin(1_000, 100);
  expect(pace.waitMs(2_000, 0, 100)).toBeLessThanOrEqual(0);
  expect(pace.waitMs(2_000, 1, 100)).toBeLessThanOrEqual(0);
  expect(pace.waitMs(2_000, 2, 200)).toBe(Number.POSITIVE_INFINITY);
});

test("beside a commit on its way a small one waits for it", () => {
  const pace = new CommitPace();
  pace.begin(3, 100);
  expect(pace.waitMs(3, 1, 200)).toBe(Number.POSITIVE_INFINITY);
});

test("a commit takes what the slots turn over, and more for the time that the disk kept the events waiting", () => {
  const pace = new CommitPace();
  const usual = pace.eventsMax(false);
  pace.wasIdle(10);
  const more = pace.eventsMax(false);
  pace.wasIdle(10);
  expect([more > usual, pace.eventsMax(false) > more]).toEqual([true, true]);
  pace.wasIdle(60_000);
  expect(pace.eventsMax(false)).toBe(2_000);
  pace.begin(2_000, 100);
  expect(pace.eventsMax(false)).toBe(usual);
  expect(pace.eventsMax(true)).toBe(2_000);
});
