import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { safeJson, safeText } from "../../src/lib/safe-text.ts";

const ACTIVE = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u;
const anyText = fc.string({ unit: "binary", maxLength: 50 });
const nastyText = fc.array(
  fc.constantFrom(
    "a",
    "\u001b[2J",
    "\u009b31m",
    "\u0007",
    "\u202e",
    "\u2066",
    "\n",
    "\r",
    "\0",
    "\ud800",
    "é",
    "🙂",
  ),
);

describe("text from outside", () => {
  it.each([
    ["\u001b]0;pwned\u0007", "\\x1b]0;pwned\\x07"],
    ["\u009b31mred", "\\x9b31mred"],
    ["a\r\nb\tc", "a\\r\\nb\\tc"],
    ["https://good.test/\u202emoc.live", "https://good.test/\\u202emoc.live"],
    ["x\u2028y\u0085z\u007f", "x\\u2028y\\x85z\\x7f"],
    ["half \ud800", "half \\ud800"],
    ["plain, é, 日本, 🙂", "plain, é, 日本, 🙂"],
  ])("%j becomes %s", (text, inert) => {
    expect(safeText(text)).toBe(inert);
  });

  it("has nothing left that a terminal acts on, and is one line", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          nastyText.map((parts) => parts.join("")),
        ),
        (text) => !ACTIVE.test(safeText(text)),
      ),
    );
  });

  it("in JSON keeps its value, and has nothing left but JSON's own white space", () => {
    fc.assert(
      fc.property(nastyText, (parts) => {
        const json = JSON.stringify({ text: parts.join("") }, null, 1);
        const safe = safeJson(json);
        expect(JSON.parse(safe)).toEqual(JSON.parse(json));
        expect(safe.replaceAll("\n", "")).not.toMatch(ACTIVE);
      }),
    );
  });
});
