import fc from "fast-check";
import { Compile } from "typebox/compile";
import { describe, expect, test } from "vitest";
import { EventPattern } from "../../src/api/schemas.ts";
import { isEventId, isEventUid, isReservedEventId, isUserId } from "../../src/domain/names.ts";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const isIn = (alphabet: string, text: string) => [...text].every((character) => alphabet.includes(character));
/** Text near the border of the grammar: mostly legal characters, some not. */
const nearly = fc.string({
  unit: fc.constantFrom(..."aZ09_-.*", "\n", " ", "é", "\u0000"),
  minLength: 0,
  maxLength: 132,
});

describe("a user id", () => {
  test("may be a UUID, a slug or one character", () => {
    for (const text of ["019a9c1e-7c4b-7000-8000-0123456789ab", "default", "a", "_", "-x", "a".repeat(64)]) {
      expect(isUserId(text), text).toBe(true);
    }
  });

  test("is refused when empty, too long, dotted, or with a line end behind it", () => {
    for (const text of ["", "a".repeat(65), "a.b", "a b", "a\n", "*", "é"])
      expect(isUserId(text), text).toBe(false);
  });
});

describe("an event id", () => {
  test("may have dots, dashes and underscores after a first letter or digit", () => {
    for (const text of ["user.created", "a", "9", "a..b", "a.", "Order_Paid-v2", "x".repeat(128)]) {
      expect(isEventId(text), text).toBe(true);
    }
  });

  test("is refused when empty, too long, a pattern, or begun by anything else", () => {
    for (const text of ["", "x".repeat(129), ".a", "-a", "_a", "a.*", "*", "a b", "a\n", "ä"]) {
      expect(isEventId(text), text).toBe(false);
    }
  });

  test("is reserved exactly under hookd's prefix", () => {
    expect(isReservedEventId("hookd.webhook.disabled")).toBe(true);
    for (const text of ["hookd", "hookdx.a", "a.hookd.b", "Hookd.a"])
      expect(isReservedEventId(text), text).toBe(false);
  });

  test("agrees with a character-by-character reading", () => {
    fc.assert(
      fc.property(nearly, (text) => {
        const expected =
          text.length >= 1 &&
          text.length <= 128 &&
          isIn(`${LETTERS}0123456789_.-`, text) &&
          isIn(`${LETTERS}0123456789`, text[0]!);
        expect(isEventId(text)).toBe(expected);
      }),
    );
  });
});

describe("an event uid", () => {
  test("never holds a dot, which would make two signed texts alike", () => {
    expect(isEventUid("evt_01h455vb4pex5vsknk084sn02q")).toBe(true);
    expect(isEventUid("a.1700000000")).toBe(false);
  });

  test("agrees with a character-by-character reading", () => {
    fc.assert(
      fc.property(nearly, (text) => {
        expect(isEventUid(text)).toBe(
          text.length >= 1 && text.length <= 64 && isIn(`${LETTERS}0123456789_-`, text),
        );
      }),
    );
  });
});

describe("an event pattern, as the API's schema has it", () => {
  const compiled = Compile(EventPattern);
  const isEventPattern = (text: string) => compiled.Check(text);

  test("takes every event id, and every event id with a star behind it", () => {
    fc.assert(
      fc.property(nearly, (text) => {
        const isId = isEventId(text);
        if (text !== "*" && !text.endsWith(".*")) expect(isEventPattern(text)).toBe(isId);
        expect(isEventPattern(`${text}.*`)).toBe(isId);
      }),
    );
  });

  test("is an event id, a prefix with a star, or a star", () => {
    for (const text of ["user.created", "user.*", "*", "a.b.*", "hookd.*"])
      expect(isEventPattern(text), text).toBe(true);
  });

  test("has its star at the end, alone between dots, once", () => {
    for (const text of [
      "",
      "user*",
      "*.created",
      "a.*.b",
      "**",
      ".*",
      "a.*.*",
      "_a.*",
      `${"x".repeat(129)}.*`,
    ]) {
      expect(isEventPattern(text), text).toBe(false);
    }
  });
});
