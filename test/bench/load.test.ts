import { describe, expect, it } from "vitest";
import { dueMono, hasOwnUid, type Load, targetOf, userOf } from "../../src/bench/load.ts";
import { originOf } from "../../src/bench/names.ts";

const open: Pick<Load, "startMono" | "ratePerSecond" | "batch"> = {
  startMono: 5_000,
  ratePerSecond: 1_000,
  batch: 1,
};

describe("the schedule", () => {
  it("makes event n due n / rate after the start", () => {
    expect([0, 1, 500, 1_000].map((index) => dueMono(open, index))).toEqual([5_000, 5_001, 5_500, 6_000]);
  });

  it("keeps to the rate for hours: nothing adds up", () => {
    expect(dueMono({ ...open, ratePerSecond: 12_000 }, 12_000 * 7_200)).toBe(5_000 + 7_200_000);
  });

  it("makes all events of a batch due with its last one", () => {
    const batched = { ...open, batch: 10 };
    expect([0, 5, 9].map((index) => dueMono(batched, index))).toEqual([5_009, 5_009, 5_009]);
    expect(dueMono(batched, 10)).toBe(5_019);
  });

  it("goes to all webhooks in turn", () => {
    const target = { first: 100, count: 3, isScattered: false };
    expect([0, 1, 2, 3].map((index) => targetOf(target, index))).toEqual([100, 101, 102, 100]);
  });

  it("scatters over all webhooks, alike in every thread", () => {
    const target = { first: 10, count: 1_000, isScattered: true };
    const seen = Array.from({ length: 20_000 }, (_, index) => targetOf(target, index));
    expect(Math.min(...seen)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...seen)).toBeLessThan(1_010);
    expect(new Set(seen).size).toBeGreaterThan(900);
    expect(targetOf(target, 7)).toBe(seen[7]);
  });

  it("gives every second event a uid of the publisher's", () => {
    expect([0, 1, 2, 3].map(hasOwnUid)).toEqual([true, false, true, false]);
  });

  it("deals webhooks out to users, one by one or in blocks", () => {
    expect([0, 1, 2, 3].map((webhook) => userOf(webhook, { users: 3, webhooksEach: 1 }))).toEqual([
      0, 1, 2, 0,
    ]);
    expect([0, 1, 2, 3].map((webhook) => userOf(webhook, { users: 2, webhooksEach: 2 }))).toEqual([
      0, 0, 1, 1,
    ]);
  });

  it("has an origin for each number, all of them on loopback", () => {
    expect([0, 255, 256, 65_536].map((number) => originOf(number, 80))).toEqual([
      "http://127.1.0.0:80",
      "http://127.1.0.255:80",
      "http://127.1.1.0:80",
      "http://127.2.0.0:80",
    ]);
  });
});
