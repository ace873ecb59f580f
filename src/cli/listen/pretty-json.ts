const INDENT = "  ";
/** Deeper than any payload that is meant to be read; what is indented grows with the square of its depth. */
const DEPTH_MAX = 64;

/**
 * JSON text with a line for each member, and every value as it was written: `1.0` and 20-digit numbers stay, which
 * parsing and writing anew would change. Null where it is no JSON, or too deep to be read.
 */
export function prettyJson(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let result = "";
  let depth = 0;
  let before = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g)) {
    const isOpen = before === "{" || before === "[";
    const isEnd = token === "}" || token === "]";
    if (isEnd) depth -= 1;
    // An empty object or array stays on its line.
    if (isOpen !== isEnd || before === ",") result += `\n${INDENT.repeat(depth)}`;
    if (before === ":") result += " ";
    result += token;
    if (token === "{" || token === "[") depth += 1;
    if (depth > DEPTH_MAX) return null;
    before = token;
  }
  return result;
}
