import type { Key as InkKey } from "ink";
import { expect, test } from "vitest";
import { keysOf } from "../../src/tui/keys.ts";

test.each([
  ["a character", "a", {}, ["a"]],
  ["several at once", "a\u{1f600}b", {}, ["a", "\u{1f600}", "b"]],
  ["a line that was pasted", "one\rtwo\n", {}, ["o", "n", "e", "enter", "t", "w", "o", "enter"]],
  ["escape", "", { escape: true }, ["escape"]],
  ["escape and a character at once", "q", { meta: true }, ["escape", "q"]],
  ["escape twice at once", "", { escape: true, meta: true }, ["escape", "escape"]],
  ["an arrow", "", { upArrow: true }, ["up"]],
  ["ctrl and c", "c", { ctrl: true }, ["ctrl-c"]],
  ["the backspace key, as most terminals send it", "", { delete: true }, ["backspace"]],
  ["control characters that nothing types", "\u0000\u0001x\u009b", {}, ["x"]],
])("%s", (_, input, key, expected) => {
  expect(keysOf(input, key as InkKey)).toEqual(expected);
});
