/** Characters of a filter: a line's worth. */
export const FILTER_MAX = 200;

/**
 * What somebody typed after `/`: rows that have every word, in any case, and none of the words behind a `!`.
 * `503 !acme` is what was answered with 503, and not acme's.
 */
export function matcherOf(filter: string): (text: string) => boolean {
  const words = filter
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "" && word !== "!");
  if (words.length === 0) return () => true;
  return (text) =>
    words.every((word) => (word.startsWith("!") ? !text.includes(word.slice(1)) : text.includes(word)));
}
