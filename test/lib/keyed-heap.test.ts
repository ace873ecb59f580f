import fc from "fast-check";
import { expect, test } from "vitest";
import { KeyedHeap } from "../../src/lib/keyed-heap.ts";

test("the smallest key is first, however keys are set, changed and taken out again", () => {
  const name = fc.integer({ min: 0, max: 40 });
  const step = fc.oneof(
    fc.record({ do: fc.constant("set" as const), name, key: fc.integer({ min: -20, max: 20 }) }),
    fc.record({ do: fc.constant("delete" as const), name }),
    fc.record({ do: fc.constant("pop" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const heap = new KeyedHeap<number>();
      const model = new Map<number, number>();
      const first = () => Math.min(...model.values());
      for (const one of steps) {
        if (one.do === "set") {
          heap.set(one.name, one.key);
          model.set(one.name, one.key);
        } else if (one.do === "delete") {
          heap.delete(one.name);
          model.delete(one.name);
        } else {
          const popped = heap.pop();
          if (model.size === 0) expect(popped).toBeUndefined();
          else expect(model.get(popped as number)).toBe(first());
          model.delete(popped as number);
        }
        expect(heap.size).toBe(model.size);
        expect(heap.firstKey).toBe(first());
      }
    }),
  );
});
