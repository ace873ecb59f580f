/**
 * Text from outside (response excerpts, URLs, descriptions, error texts) on its way to a terminal. An escape sequence
 * in it could retitle the window, move the cursor over what hookd printed, or fill the clipboard; a bidi override could
 * make a URL read as another. So everything a terminal acts on is written out: C0, DEL and C1 controls, line and
 * paragraph separators, bidi controls, zero-width characters, and halves of surrogate pairs.
 */
const ACTIVE = /[\p{Control}\p{Surrogate}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
const NAMED: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One line of inert text: `\x1b`, `\u202e`, `\n` in place of what would act. */
export function safeText(text: string): string {
  return text.replace(ACTIVE, (character) => NAMED[character] ?? escaped(character));
}

/** JSON as it came, equal in value, with what a terminal would act on in JSON's own escapes. White space stays. */
export function safeJson(json: string): string {
  return json.replace(ACTIVE, (character) => {
    if (character === "\n" || character === "\r" || character === "\t") return character;
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
}
