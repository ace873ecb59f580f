import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isEventId } from "../../src/domain/names.ts";
import { matchCandidates, mostSpecific, patternMatches } from "../../src/domain/routing.ts";

/** Few letters and many dots, so that ids and patterns meet. */
const eventIds = fc
  .tuple(
    fc.constantFrom("a", "b", "hookd", "hookd."),
    fc.string({ unit: fc.constantFrom("a", "b", ".", "."), maxLength: 8 }),
  )
  .map(([head, tail]) => head + tail)
  .filter(isEventId);
const patterns = fc.oneof(
  eventIds,
  eventIds.map((id) => `${id}.*`),
  fc.constant("*"),
);

/** Straight from the definition: exact beats prefixes, longer prefixes beat shorter ones, `*` comes last. */
function oracle(list: readonly string[], eventId: string): string | null {
  if (list.includes(eventId)) return eventId;
  for (let length = eventId.length; length > 0; length -= 1) {
    const prefix = `${eventId.slice(0, length)}.*`;
    if (eventId[length] === "." && list.includes(prefix)) return prefix;
  }
  return list.includes("*") && !eventId.startsWith("hookd.") ? "*" : null;
}

describe("the candidates of an event id", () => {
  test("go from the exact name by shorter prefixes to the star", () => {
    expect(matchCandidates("a.b.c")).toEqual(["a.b.c", "a.b.*", "a.*", "*"]);
    expect(matchCandidates("a")).toEqual(["a", "*"]);
    expect(matchCandidates("a..b")).toEqual(["a..b", "a..*", "a.*", "*"]);
    expect(matchCandidates("a.")).toEqual(["a.", "a.*", "*"]);
  });

  test("of hookd's own events do not include the star", () => {
    expect(matchCandidates("hookd.webhook.disabled")).toEqual([
      "hookd.webhook.disabled",
      "hookd.webhook.*",
      "hookd.*",
    ]);
  });

  test("are all patterns that match, and no other pattern matches", () => {
    fc.assert(
      fc.property(eventIds, patterns, (eventId, pattern) => {
        const candidates = matchCandidates(eventId);
        expect(candidates.every((candidate) => patternMatches(candidate, eventId))).toBe(true);
        expect(candidates.includes(pattern)).toBe(patternMatches(pattern, eventId));
      }),
      { numRuns: 500 },
    );
  });
});

describe("the most specific match", () => {
  test("is the exact name, then the longest prefix, then the star", () => {
    const list = ["*", "a.*", "a.b.*", "a.b.c"];
    expect(mostSpecific(list, "a.b.c")).toBe("a.b.c");
    expect(mostSpecific(list, "a.b.d")).toBe("a.b.*");
    expect(mostSpecific(list, "a.c")).toBe("a.*");
    expect(mostSpecific(list, "b")).toBe("*");
    expect(mostSpecific(["a.*"], "ab")).toBe(null);
    expect(mostSpecific(["*"], "hookd.test")).toBe(null);
    expect(mostSpecific(["*", "hookd.*"], "hookd.test")).toBe("hookd.*");
  });

  test("agrees with a naive oracle, and with the first candidate that is there", () => {
    fc.assert(
      fc.property(fc.array(patterns, { maxLength: 8 }), eventIds, (list, eventId) => {
        const best = mostSpecific(list, eventId);
        expect(best).toBe(oracle(list, eventId));
        expect(best).toBe(matchCandidates(eventId).find((candidate) => list.includes(candidate)) ?? null);
      }),
      { numRuns: 1000 },
    );
  });

  test("does not depend on the order of the patterns", () => {
    fc.assert(
      fc.property(fc.array(patterns, { maxLength: 6 }), eventIds, (list, eventId) => {
        expect(mostSpecific(list.toReversed(), eventId)).toBe(mostSpecific(list, eventId));
      }),
    );
  });
});
