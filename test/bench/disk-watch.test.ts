import { expect, test } from "vitest";
import { parseCounters, StallFinder } from "../../src/bench/disk-watch.ts";

test("a disk stands still while something is on its way and nothing ends", () => {
  const finder = new StallFinder();
  const looks = [
    [0, 10, 1],
    [25, 11, 1],
    [50, 11, 2],
    [75, 11, 2],
    [100, 11, 1],
    [125, 12, 0],
    [150, 12, 0],
    [175, 12, 0],
    [200, 12, 1],
    [225, 12, 1],
    [300, 12, 1],
    [325, 13, 0],
  ] as const;
  for (const [at, ended, inFlight] of looks) finder.look({ ended, inFlight }, at);
  expect(finder.between(0, 1_000)).toEqual({ count: 2, seconds: 0.175, longestMs: 100 });
  expect(finder.between(100, 1_000)).toEqual({ count: 1, seconds: 0.1, longestMs: 100 });
});

test("a disk that is at work, or has nothing to do, does not stand still", () => {
  const finder = new StallFinder();
  for (let at = 0; at < 1_000; at += 25) {
    finder.look({ ended: at < 500 ? Math.floor(at / 50) : 10, inFlight: at < 500 ? 3 : 0 }, at);
  }
  expect(finder.between(0, 1_000)).toEqual({ count: 0, seconds: 0, longestMs: 0 });
});

test("reads, writes, discards and flushes count as ended", () => {
  const stat = "  100  2 3 4  1000  6 7 8  5  10 11  20 13 14 15  7 17\n";
  expect(parseCounters(stat)).toEqual({ ended: 1_127, inFlight: 5 });
});
