import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { crockfordDecode, crockfordEncode } from "../../src/domain/typeid.ts";

const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
const hex = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("hex"));

describe("a TypeID suffix", () => {
  test.each([
    ["00000000000000000000000000", "00000000-0000-0000-0000-000000000000"],
    ["00000000000000000000000001", "00000000-0000-0000-0000-000000000001"],
    ["0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"],
    ["7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    ["0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"],
  ])("%s is the UUID %s, as in the specification", (text, uuid) => {
    const digits = uuid.replaceAll("-", "");
    expect(crockfordEncode(Buffer.from(digits, "hex"))).toBe(text);
    expect(hex(crockfordDecode(text))).toBe(digits);
  });

  test("is refused above 128 bits, in another length, or in another alphabet", () => {
    const good = "0123456789abcdefghjkmnpqrs";
    const bad = [
      "8zzzzzzzzzzzzzzzzzzzzzzzzz",
      "80000000000000000000000000",
      "",
      good.slice(1),
      `${good}0`,
      good.toUpperCase(),
      good.replace("a", "i"),
      good.replace("a", "l"),
      good.replace("a", "o"),
      good.replace("a", "u"),
      good.replace("a", "-"),
      good.replace("ab", "😀"),
    ];
    for (const text of bad) expect(crockfordDecode(text), text).toBe(null);
  });

  test("comes back as the same bytes, and sorts as they do", () => {
    fc.assert(
      fc.property(sixteen, sixteen, (one, other) => {
        const [text, otherText] = [crockfordEncode(one), crockfordEncode(other)];
        expect(hex(crockfordDecode(text))).toBe(hex(one));
        expect(Math.sign(Buffer.compare(one, other))).toBe(text < otherText ? -1 : text > otherText ? 1 : 0);
      }),
    );
  });

  test("is the only text of its bytes", () => {
    const suffixes = fc.stringMatching(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/);
    fc.assert(
      fc.property(suffixes, (text) => {
        expect(crockfordEncode(crockfordDecode(text)!)).toBe(text);
      }),
    );
  });
});
