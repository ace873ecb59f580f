import { isReservedEventId } from "./names.ts";

/**
 * Every pattern that matches an event id, most specific first: `a.b.c` gives `a.b.c`, `a.b.*`, `a.*`, `*`. A
 * user has at most one webhook per pattern, so routing is a look-up of each in turn. hookd's own names are
 * never matched by `*`: who wants them says so (`hookd.*`).
 */
export function matchCandidates(eventId: string): readonly string[] {
  const candidates = [eventId];
  for (let dot = eventId.lastIndexOf("."); dot > 0; dot = eventId.lastIndexOf(".", dot - 1)) {
    candidates.push(`${eventId.slice(0, dot)}.*`);
  }
  if (!isReservedEventId(eventId)) candidates.push("*");
  return candidates;
}

/** Whether events named `eventId` match the pattern (an event id, `prefix.*`, or `*`). */
export function patternMatches(pattern: string, eventId: string): boolean {
  if (pattern === "*") return !isReservedEventId(eventId);
  if (!pattern.endsWith(".*")) return pattern === eventId;
  // Up to and with the dot: `order.*` takes `order.paid`, not `orders`.
  const prefixLength = pattern.length - 1;
  return eventId.length >= prefixLength && eventId.startsWith(pattern.slice(0, prefixLength));
}

/** The pattern that wins: the exact name, then the longest prefix, then `*`; null where none matches. */
export function mostSpecific(patterns: Iterable<string>, eventId: string): string | null {
  let best: string | null = null;
  for (const pattern of patterns) {
    if (pattern === eventId) return pattern;
    if (patternMatches(pattern, eventId) && (best === null || pattern.length > best.length)) best = pattern;
  }
  return best;
}
