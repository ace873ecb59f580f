import fc from "fast-check";
import { expect, test } from "vitest";
import { RecentPayloads } from "../../src/store/sqlite/recent-payloads.ts";

test("what is still kept is what was given; of the newest, half a ring of bytes is", () => {
  const capacity = 1_000;
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 20, maxLength: 400 }), { minLength: 30, maxLength: 60 }),
      (payloads) => {
        const recent = new RecentPayloads(capacity);
        const kept = payloads.map((payload) => recent.keep(payload));
        let newer = 0;
        for (let index = payloads.length - 1; index >= 0; index -= 1) {
          const payload = payloads[index] as Uint8Array;
          const found = recent.get(kept[index]!);
          if (found !== null) expect(Buffer.from(found)).toEqual(Buffer.from(payload));
          newer += payload.length;
          if (newer <= capacity / 2) expect(found).not.toBeNull();
        }
      },
    ),
  );
});

test("a payload that was taken out stays as it is when the ring goes round", () => {
  const recent = new RecentPayloads(64);
  const found = recent.get(recent.keep(Buffer.from("first"))!);
  for (let round = 0; round < 100; round += 1) recent.keep(Buffer.alloc(48, "x"));
  expect(Buffer.from(found!).toString()).toBe("first");
});

test("in quiet times the ring is let go, and what was kept is never mistaken for what is kept later", () => {
  const recent = new RecentPayloads(64);
  const before = [recent.keep(Buffer.from("first"))!, recent.keep(Buffer.from("second"))!];
  recent.rest();
  expect(before.map((kept) => String(recent.get(kept)))).toEqual(["first", "second"]);
  recent.rest();
  expect(before.map((kept) => recent.get(kept))).toEqual([null, null]);
  const later = recent.keep(Buffer.from("later"))!;
  expect([...before, later].map((kept) => String(recent.get(kept)))).toEqual(["null", "null", "later"]);
  recent.rest();
  expect(String(recent.get(later))).toBe("later");
});

test("what is larger than the ring, or than is worth it, is not kept", () => {
  expect(new RecentPayloads(64).keep(Buffer.alloc(65))).toBeNull();
  expect(new RecentPayloads().keep(Buffer.alloc(1_000_000))).toBeNull();
});
