import fc from "fast-check";
import { expect, test } from "vitest";
import { outcomesBeside } from "../../src/engine/commit-parts.ts";

test("a thousand outcomes at once are committed in parts, and few as they are", () => {
  expect(outcomesBeside(0, 1_000)).toBe(256);
  expect(outcomesBeside(0, 10)).toBeGreaterThanOrEqual(10);
});

test("outcomes keep up with events, and with each other however slow the disk is", () => {
  fc.assert(
    fc.property(fc.nat(2_000), fc.nat(100_000), (events, waiting) => {
      const taken = outcomesBeside(events, waiting);
      expect(taken).toBeGreaterThanOrEqual(events);
      expect(taken).toBeGreaterThanOrEqual(waiting / 4);
    }),
  );
});
