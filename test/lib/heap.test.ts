import fc from "fast-check";
import { expect, test } from "vitest";
import { Heap } from "../../src/lib/heap.ts";

test("an empty heap has no first key and nothing to take", () => {
  const heap = new Heap<string>();
  expect([heap.size, heap.firstKey, heap.pop()]).toEqual([0, Number.POSITIVE_INFINITY, undefined]);
});

test("things come out in order of their keys, however they went in", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer(), fc.constant("pop" as const)), { maxLength: 300 }),
      (steps) => {
        const heap = new Heap<{ key: number }>();
        let model: number[] = [];
        for (const step of steps) {
          if (step === "pop") {
            const [first, ...rest] = model;
            expect(heap.pop()?.key).toBe(first);
            model = rest;
          } else {
            heap.push(step, { key: step });
            model = [...model, step].sort((a, b) => a - b);
          }
          expect(heap.size).toBe(model.length);
          expect(heap.firstKey).toBe(model[0] ?? Number.POSITIVE_INFINITY);
        }
      },
    ),
  );
});
