import fc from "fast-check";
import { expect, test } from "vitest";
import { IdMap } from "../../src/lib/id-map.ts";

/** Neighbours, those at the edges of pages, and ids far away. */
const ids = fc.oneof(
  fc.integer({ min: 0, max: 70 }),
  fc.constantFrom(2 ** 31, 2 ** 31 + 1, 2 ** 40 - 1, 2 ** 40, Number.MAX_SAFE_INTEGER),
);
const steps = fc.array(fc.tuple(fc.constantFrom("set", "delete", "get"), ids), {
  maxLength: 300,
  size: "max",
});

test("holds what a Map holds, whatever is set and deleted in whatever order", () => {
  fc.assert(
    fc.property(steps, (steps) => {
      const map = new IdMap<number, { at: number }>();
      const model = new Map<number, { at: number }>();
      steps.forEach(([step, id], at) => {
        const value = { at };
        if (step === "set") {
          map.set(id, value);
          model.set(id, value);
        } else if (step === "delete") {
          map.delete(id);
          model.delete(id);
        }
        expect(map.get(id)).toBe(model.get(id));
        expect(map.has(id)).toBe(model.has(id));
        expect(map.size).toBe(model.size);
      });
      const byPlace = (a: { at: number }, b: { at: number }) => a.at - b.at;
      expect([...map.values()].sort(byPlace)).toEqual([...model.values()].sort(byPlace));
    }),
  );
});
