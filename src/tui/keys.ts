import type { Key as InkKey } from "ink";

/** A key by its name; what types something is that character. */
export type Key = string;

const NAMED = [
  ["upArrow", "up"],
  ["downArrow", "down"],
  ["leftArrow", "left"],
  ["rightArrow", "right"],
  ["pageUp", "pageup"],
  ["pageDown", "pagedown"],
  ["home", "home"],
  ["end", "end"],
  ["return", "enter"],
  ["escape", "escape"],
  ["tab", "tab"],
  ["backspace", "backspace"],
  // What most terminals send for the backspace key.
  ["delete", "backspace"],
] as const satisfies readonly (readonly [keyof InkKey, Key])[];

const CONTROLS: Readonly<Record<string, Key>> = {
  "\r": "enter",
  "\n": "enter",
  "\t": "tab",
  "\u007f": "backspace",
  "\b": "backspace",
  "\u0003": "ctrl-c",
};

/**
 * One event of Ink as keys: fast typing and pasting come as several characters at once, and a key soon after escape as
 * one with `meta`. Other control characters are dropped: nothing types them.
 */
export function keysOf(input: string, key: InkKey): Key[] {
  if (key.ctrl) return [`ctrl-${input}`];
  const name = NAMED.find(([flag]) => key[flag] === true)?.[1];
  if (name !== undefined && name !== "escape") return [name];
  const typed = [...input].flatMap((character) => {
    const control = CONTROLS[character];
    return control !== undefined ? [control] : /\p{Control}/u.test(character) ? [] : [character];
  });
  return [...(key.meta ? ["escape"] : []), ...(name === "escape" ? ["escape"] : []), ...typed];
}

/** Whether the key types a character. */
export function isTyped(key: Key): boolean {
  return [...key].length === 1;
}
