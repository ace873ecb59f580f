import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Deadlines, TICK_MS, type Watched } from "../../src/sender/deadlines.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Things that end at the first check, each of which takes a millisecond. */
function setup(count: number) {
  const clock = { at: 0, now: () => clock.at, mono: () => clock.at };
  const deadlines = new Deadlines(clock);
  const ended: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const item: Watched = {
      watchIndex: -1,
      check() {
        clock.at += 1;
        ended.push(index);
        deadlines.remove(item);
      },
    };
    deadlines.add(item);
  }
  return { deadlines, ended };
}

test("what ends together is ended over several turns, so that others have theirs in between", async () => {
  const { deadlines, ended } = setup(10);
  const sizes: number[] = [];
  vi.advanceTimersByTime(TICK_MS);
  for (let turns = 0; deadlines.size > 0 && turns < 10; turns += 1) {
    sizes.push(deadlines.size);
    await turn();
  }
  expect(sizes).toEqual([6, 2]);
  expect(ended.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(deadlines.isTicking).toBe(false);
});

test("a tick that comes while the last one's are being ended does not begin again", async () => {
  const { ended } = setup(9);
  vi.advanceTimersByTime(TICK_MS * 3);
  expect(ended).toHaveLength(4);
  await turn();
  expect(ended).toHaveLength(8);
  await turn();
  expect(new Set(ended).size).toBe(9);
});

test("a stop in the middle ends nothing more", async () => {
  const { deadlines, ended } = setup(10);
  vi.advanceTimersByTime(TICK_MS);
  deadlines.stop();
  await turn();
  expect(ended).toHaveLength(4);
  expect(deadlines.isTicking).toBe(false);
});
