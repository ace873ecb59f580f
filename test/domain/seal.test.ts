import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createSealer, keyIdOf, open, SealError, seal } from "../../src/domain/seal.ts";

const key = Buffer.alloc(32, 7);
const bytes = (options: fc.IntArrayConstraints) => fc.uint8Array(options);

test("what was sealed opens again", () => {
  fc.assert(
    fc.property(
      bytes({ minLength: 32, maxLength: 32 }),
      bytes({ minLength: 12, maxLength: 12 }),
      bytes({ maxLength: 300 }),
      (k, nonce, plain) => {
        expect(Buffer.from(open(k, seal(k, nonce, plain)))).toEqual(Buffer.from(plain));
      },
    ),
  );
});

test("any changed or missing byte is found, and told without a byte of what was sealed", () => {
  const sealed = seal(key, Buffer.alloc(12, 1), Buffer.from("whsec_topsecret"));
  for (let index = 0; index < sealed.length; index += 1) {
    const changed = Uint8Array.from(sealed);
    changed[index] = (changed[index] ?? 0) ^ 1;
    expect(() => open(key, changed)).toThrow(SealError);
    expect(() => open(key, changed)).not.toThrow(/whsec|topsecret/);
    expect(() => open(key, sealed.subarray(0, index))).toThrow(SealError);
  }
});

test("another master key is told from damage", () => {
  const sealed = seal(key, Buffer.alloc(12, 1), Buffer.from("x"));
  const other = Buffer.alloc(32, 8);
  expect(() => open(other, sealed)).toThrow(expect.objectContaining({ why: "wrong_key" }));
  expect(keyIdOf(other)).not.toBe(keyIdOf(key));
});

test("a sealer seals parts under a fresh nonce each time", () => {
  const sealer = createSealer(key, randomBytes);
  const parts = { secrets: [{ secret: "whsec_a", expiresAt: null }], headers: [["x-a", "b"]] as const };
  const [first, second] = [sealer.seal(parts), sealer.seal(parts)];
  expect(Buffer.from(first)).not.toEqual(Buffer.from(second));
  expect(sealer.open(first)).toEqual(parts);
  expect(Buffer.from(first).includes("whsec")).toBe(false);
});

test("a master key of another length is refused", () => {
  expect(() => createSealer(Buffer.alloc(16), randomBytes)).toThrow("32 bytes");
});
