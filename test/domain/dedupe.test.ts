import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { dedupeKey, uidKey } from "../../src/domain/dedupe.ts";

const name = fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/);
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.nat(40_000).map((size) => Buffer.alloc(size, 7)),
);

test("payloads of every size are hashed alike: by one call where they are copied, and in two where not", () => {
  fc.assert(
    fc.property(name, name, payload, (eventId, type, bytes) => {
      const digest = createHash("sha256").update(`${eventId}\0${type}\0`).update(bytes).digest();
      const top = (digest.readUInt32BE(0) & 0xfffff) * 0x1_0000_0000 + digest.readUInt32BE(4);
      expect(dedupeKey("u", "1", eventId, type, bytes).content).toBe(top);
    }),
  );
});

test("a name moved from one field to the next is another content", () => {
  const key = (eventId: string, type: string) => dedupeKey("u", "1", eventId, type, Buffer.from("x")).content;
  expect(key("ab", "c")).not.toBe(key("a", "bc"));
});

test("what finds an event by its uid is the same part of the key", () => {
  fc.assert(
    fc.property(name, name, (userId, uid) => {
      const key = dedupeKey(userId, uid, "a", "b", Buffer.from("x"));
      expect(uidKey(userId, uid)).toEqual({ ...key, content: 0 });
      expect(Number.isSafeInteger(key.uidHigh) && Number.isSafeInteger(key.uidLow)).toBe(true);
    }),
  );
});
