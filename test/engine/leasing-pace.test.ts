import { expect, test } from "vitest";
import { LeasingPace } from "../../src/engine/leasing-pace.ts";

test("a cycle that takes nothing in leases, however many publishers waited when they were last heard of", () => {
  const pace = new LeasingPace();
  for (const isPressed of [false, true, true]) expect(pace.share(0, isPressed)).not.toBeNull();
});

test("while few events wait, more goes out than came in with the commit", () => {
  const pace = new LeasingPace();
  for (const committed of [1, 256, 2_000]) expect(pace.share(committed, false)).toBeGreaterThan(committed);
});

test("once publishers are near being refused, taking in goes first, and deliveries go on now and then", () => {
  const pace = new LeasingPace();
  const shares = Array.from({ length: 240 }, () => pace.share(100, true));
  const leasing = shares.filter((share) => share !== null);
  expect(leasing.length).toBeGreaterThanOrEqual(10);
  expect(leasing.length).toBeLessThan(0.2 * 240);
  expect(leasing).toEqual(leasing.map(() => 0));
});
