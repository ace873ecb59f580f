import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatSecret, parseSecret } from "../../src/domain/secret.ts";

const keys = fc.uint8Array({ minLength: 24, maxLength: 64 });

describe("a secret", () => {
  test("of the specification parses to its bytes", () => {
    const bytes = parseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    expect(Buffer.from(bytes!).toString("hex")).toBe("31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0");
  });

  test("comes back from its text, byte for byte and on its own memory", () => {
    fc.assert(
      fc.property(keys, (bytes) => {
        const parsed = parseSecret(formatSecret(bytes));
        expect(parsed).toEqual(new Uint8Array(bytes));
        expect(parsed?.buffer.byteLength).toBe(bytes.length);
      }),
    );
  });

  test("has 24 to 64 bytes", () => {
    const text = (length: number) => `whsec_${Buffer.alloc(length, 7).toString("base64")}`;
    for (const length of [24, 25, 26, 63, 64])
      expect(parseSecret(text(length)), String(length)).not.toBe(null);
    for (const length of [0, 23, 65, 66, 5000]) expect(parseSecret(text(length)), String(length)).toBe(null);
    expect(() => formatSecret(new Uint8Array(23))).toThrow("24-64");
    expect(() => formatSecret(new Uint8Array(65))).toThrow("24-64");
  });

  test("is refused without its prefix, or with another spelling of the same bytes", () => {
    const good = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    expect(parseSecret(good)).not.toBe(null);
    const spellings = [
      good.slice(6),
      good.toUpperCase(),
      good.replace("whsec_", "whsk_"),
      good.replace("+", "-"),
      ` ${good}`,
      `${good}\n`,
      `${good}=`,
      `${good.slice(0, 20)} ${good.slice(20)}`,
      "",
      "whsec_",
    ];
    for (const text of spellings) expect(parseSecret(text), text).toBe(null);
  });

  test("is refused without padding, and with bits set that padding drops", () => {
    const padded = formatSecret(new Uint8Array(25));
    expect(padded.endsWith("A==")).toBe(true);
    expect(parseSecret(padded)).not.toBe(null);
    expect(parseSecret(padded.slice(0, -2))).toBe(null);
    expect(parseSecret(padded.replace("A==", "B=="))).toBe(null);
  });

  test("has one text only: what parses is what formats", () => {
    const alphabet = fc.constantFrom(..."Aa0+/-_=B ");
    fc.assert(
      fc.property(fc.string({ unit: alphabet, minLength: 30, maxLength: 90 }), (text) => {
        const bytes = parseSecret(`whsec_${text}`);
        if (bytes !== null) expect(formatSecret(bytes)).toBe(`whsec_${text}`);
      }),
    );
  });
});
