import fc from "fast-check";
import { expect, test } from "vitest";
import { createCursors } from "../../src/api/cursors.ts";

const cursors = createCursors({ a: 1, b: 2 });
const refused = expect.objectContaining({ code: "invalid_cursor" });

test("a cursor gives back the key it was made of, in another process of the installation too", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.string(), (before, filter) => {
      const cursor = cursors.encode("deliveries", filter, before);
      expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(createCursors({ a: 1, b: 2 }).decode("deliveries", filter, cursor)).toBe(before);
    }),
  );
});

test("a cursor that was changed anywhere is refused", () => {
  const cursor = cursors.encode("deliveries", "{}", 12_345);
  for (let index = 0; index < cursor.length; index += 1) {
    const changed = cursor.slice(0, index) + (cursor[index] === "A" ? "B" : "A") + cursor.slice(index + 1);
    expect(() => cursors.decode("deliveries", "{}", changed)).toThrow(refused);
  }
});

test("junk is refused", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(() => cursors.decode("a", "b", text)).toThrow(refused);
    }),
  );
});

test("a cursor of another list, filter or installation is refused", () => {
  const cursor = cursors.encode("deliveries", "status=dead", 1);
  expect(() => cursors.decode("jobs", "status=dead", cursor)).toThrow(refused);
  expect(() => cursors.decode("deliveries", "status=success", cursor)).toThrow(refused);
  expect(() => createCursors({ a: 1, b: 3 }).decode("deliveries", "status=dead", cursor)).toThrow(refused);
});
