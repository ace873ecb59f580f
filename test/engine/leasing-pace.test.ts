import { expect, test } from "vitest";
import { LeasingPace } from "../../src/engine/leasing-pace.ts";

const FEW = 100;
const MANY = 20_000;

test("a cycle without a commit leases for some milliseconds, however many events wait", () => {
  const pace = new LeasingPace();
  for (const waiting of [0, FEW, MANY]) {
    expect(pace.maxMs(null, waiting)).toBeGreaterThan(0);
    expect(pace.maxMs(null, waiting)).toBeLessThan(10);
  }
});

test("while few events wait, what waits to be delivered gets more time than the commit before took", () => {
  const pace = new LeasingPace();
  expect(pace.maxMs(20, FEW)).toBeGreaterThan(20);
  expect(pace.maxMs(0.1, FEW)).toBe(pace.maxMs(null, FEW));
});

test("once publishers are near being refused, taking in goes first, and deliveries go on now and then", () => {
  const pace = new LeasingPace();
  const given = Array.from({ length: 240 }, () => pace.maxMs(6, MANY));
  const leasing = given.filter((ms) => ms > 0);
  expect(leasing.length).toBeGreaterThanOrEqual(10);
  expect(leasing.reduce((sum, ms) => sum + ms, 0)).toBeLessThan(0.1 * 240 * 6);
});
