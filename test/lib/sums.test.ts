import { expect, test } from "vitest";
import { Sums } from "../../src/lib/sums.ts";

test("a key that is back at 0 takes no room", () => {
  const sums = new Sums<string>();
  sums.add("ada", 2);
  sums.add("bob", 1);
  sums.add("ada", -2);
  expect([sums.of("ada"), sums.of("bob"), sums.of("eve"), sums.size]).toEqual([0, 1, 0, 1]);
});

test("a sum may be below 0 for a while", () => {
  const sums = new Sums<string>();
  sums.add("ada", -1);
  expect([sums.of("ada"), sums.size]).toEqual([-1, 1]);
  sums.add("ada", 1);
  expect(sums.size).toBe(0);
});
