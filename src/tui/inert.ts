import { safeText } from "../lib/safe-text.ts";

/**
 * JSON of the API with every string in it made inert, once and for all: what receivers and publishers wrote must not
 * act on the terminal, whichever screen shows it. Line breaks stay in response excerpts alone, which the detail pane
 * shows as the lines that they are; who shows one in a single line writes them out (`oneLine`).
 */
export function parseInert<T>(json: string): T {
  return JSON.parse(json, (name, value: unknown) => {
    if (typeof value !== "string") return value;
    return name === "response_excerpt" ? value.split(/\r?\n/).map(safeText).join("\n") : safeText(value);
  }) as T;
}

export function oneLine(text: string): string {
  return text.trimEnd().replaceAll("\n", "\\n");
}
