import { expect, test } from "vitest";
import { medianOf, millisOf, playPairs, ratiosOf } from "../../src/bench/pairs.ts";
import { runFigures } from "./results.ts";

function playing() {
  const played: string[] = [];
  const play = async (title: string) => {
    played.push(title);
    return runFigures({ title });
  };
  return { played, halves: { without: play, withIt: play } };
}

test("pairs begin with either half in turn, and tell in which order they were made", async () => {
  const { played, halves } = playing();
  const pairs = await playPairs(3, halves);
  expect(played).toEqual([
    "pair 1, with",
    "pair 1, without",
    "pair 2, without",
    "pair 2, with",
    "pair 3, with",
    "pair 3, without",
  ]);
  expect(pairs.flatMap(({ runs }) => runs.map(({ title }) => title))).toEqual(played);
  expect(pairs.map(({ without, withIt }) => [without.title, withIt.title])).toEqual([
    ["pair 1, without", "pair 1, with"],
    ["pair 2, without", "pair 2, with"],
    ["pair 3, without", "pair 3, with"],
  ]);
});

test("a ratio is of the half with it to the half without", () => {
  const without = runFigures({ drainSeconds: 2 });
  const withIt = runFigures({ drainSeconds: 3 });
  const pair = { without, withIt, runs: [withIt, without] } as const;
  expect(ratiosOf([pair], (run) => run.drainSeconds)).toEqual([1.5]);
  expect(millisOf([pair, pair], (run) => run.drainSeconds)).toBe("2.0 -> 3.0 ms, 2.0 -> 3.0 ms");
});

test.each([
  [[3], 3],
  [[9, 1, 2], 2],
  [[4, 1, 3, 2], 2],
  [[1, 1, 50], 1],
])("the median of %j is %d", (values, median) => {
  expect(medianOf(values)).toBe(median);
});

test("no values have no median", () => {
  expect(medianOf([])).toBeNaN();
});
