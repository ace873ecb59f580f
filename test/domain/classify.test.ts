import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  classifyStatus,
  compilePermanent,
  isPermanentRule,
  parseRetryAfter,
} from "../../src/domain/classify.ts";

const DEFAULT = compilePermanent(["4xx", "!408", "!425", "!429"]);

describe("a status", () => {
  test.each([
    [[200, 201, 204, 226, 299], "success"],
    [[400, 401, 403, 404, 409, 418, 422, 451, 499], "permanent"],
    [[408, 425, 429], "retry"],
    [[500, 502, 503, 504, 599], "retry"],
    [[300, 301, 302, 307, 308, 399], "retry"],
    [[100, 101, 103, 199, 600, 700, 999, 0, -1, Number.NaN], "retry"],
    [[410], "gone"],
  ] as const)("of %j is %s by default", (statuses, verdict) => {
    for (const status of statuses) expect(classifyStatus(status, DEFAULT), String(status)).toBe(verdict);
  });

  test("410 is gone and 2xx is success, whatever the list says", () => {
    fc.assert(
      fc.property(rules(), (list) => {
        const isPermanent = compilePermanent(list);
        expect(classifyStatus(410, isPermanent)).toBe("gone");
        expect(classifyStatus(204, isPermanent)).toBe("success");
      }),
    );
  });
});

describe("a list of permanent statuses", () => {
  test("lets later entries win", () => {
    const isPermanent = compilePermanent(["404", "!4xx", "400-402", "!401", "5xx", "!503", "3xx"]);
    const permanent = [301, 400, 401, 402, 403, 404, 500, 503].filter(isPermanent);
    expect(permanent).toEqual([301, 400, 402, 500]);
  });

  test("when empty makes nothing permanent", () => {
    const isPermanent = compilePermanent([]);
    for (let status = 0; status < 1000; status += 1) expect(isPermanent(status)).toBe(false);
  });

  test("refuses an invalid entry by its name", () => {
    const invalid = [
      "",
      "4x",
      "4XX",
      "xxx",
      "2xx",
      "200",
      "!204",
      "1xx",
      "600",
      "404-400",
      "!!404",
      "404 ",
      "404\n",
      "-404",
      "400-",
    ];
    for (const entry of invalid) {
      expect(isPermanentRule(entry), entry).toBe(false);
      expect(() => compilePermanent(["4xx", entry])).toThrow(`"${entry}"`);
    }
  });

  test("agrees with the last entry that names the status", () => {
    fc.assert(
      fc.property(rules(), fc.integer({ min: 0, max: 700 }), (list, status) => {
        const last = list.findLast((entry) => names(entry, status));
        expect(compilePermanent(list)(status)).toBe(last !== undefined && !last.startsWith("!"));
      }),
      { numRuns: 500 },
    );
  });
});

describe("Retry-After", () => {
  const NOW = Date.UTC(1994, 10, 6, 8, 49, 7);

  test("in seconds is clamped to between 1 s and 24 h", () => {
    expect(parseRetryAfter("120", NOW)).toBe(120_000);
    expect(parseRetryAfter(" 7 ", NOW)).toBe(7000);
    expect(parseRetryAfter("0", NOW)).toBe(1000);
    expect(parseRetryAfter("86401", NOW)).toBe(86_400_000);
    expect(parseRetryAfter("9".repeat(60), NOW)).toBe(86_400_000);
  });

  test("is read in each of the three date forms", () => {
    for (const text of [
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
    ]) {
      expect(parseRetryAfter(text, NOW), text).toBe(30_000);
    }
  });

  test("as a date is clamped to between 1 s and 24 h too", () => {
    expect(parseRetryAfter("Sun, 06 Nov 1994 08:49:08 GMT", NOW + 900)).toBe(1000);
    expect(parseRetryAfter("Fri, 31 Dec 9999 23:59:59 GMT", NOW)).toBe(86_400_000);
  });

  test("as a date that is now or past asks for nothing", () => {
    expect(parseRetryAfter("Sun, 06 Nov 1994 08:49:07 GMT", NOW)).toBe(null);
    expect(parseRetryAfter("Sun, 06 Nov 1988 08:49:37 GMT", NOW)).toBe(null);
  });

  test("takes a two-digit year more than 50 years ahead for one of the past century", () => {
    const now = Date.UTC(2026, 0, 1);
    expect(parseRetryAfter("Sunday, 06-Nov-94 08:49:37 GMT", now)).toBe(null);
    expect(parseRetryAfter("Thursday, 06-Nov-76 08:49:37 GMT", now)).toBe(86_400_000);
  });

  test("that is junk is ignored", () => {
    const junk = [
      "",
      " ",
      "-1",
      "+5",
      "1.5",
      "1e3",
      "0x10",
      "NaN",
      "Infinity",
      "soon",
      "5 s",
      "5, 6",
      "٣",
      "1994-11-06T08:49:37Z",
      "Sun, 06 Nov 1994 08:49:37 CET",
      "Sun, 31 Feb 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:00:00 GMT",
      "Sun, 06 Nov 1994 08:61:37 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT",
      "Sun, 06 nov 1994 08:49:37 GMT",
      "Xyz, 06 Nov 1994 08:49:37 GMT",
      "9".repeat(65),
    ];
    for (const text of junk) expect(parseRetryAfter(text, NOW), text).toBe(null);
  });

  test("reads what toUTCString writes, in any of the years ahead", () => {
    const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
    fc.assert(
      fc.property(seconds, fc.integer({ min: 1, max: 86_400 }), (now, wait) => {
        const text = new Date((now + wait) * 1000).toUTCString();
        expect(parseRetryAfter(text, now * 1000)).toBe(wait * 1000);
      }),
    );
  });

  test("gives null or a time within the bounds for any text whatever", () => {
    const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(..."0123456789 -:,GMTSunNov") }));
    fc.assert(
      fc.property(texts, fc.integer({ min: -1e15, max: 1e15 }), (text, now) => {
        const wait = parseRetryAfter(text, now);
        expect(wait === null || (wait >= 1000 && wait <= 86_400_000)).toBe(true);
      }),
    );
  });
});

function rules(): fc.Arbitrary<string[]> {
  const status = fc.integer({ min: 300, max: 599 });
  const rule = fc.oneof(
    fc.constantFrom("3xx", "4xx", "5xx"),
    status.map(String),
    fc.tuple(status, status).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  );
  return fc.array(
    fc.tuple(fc.constantFrom("", "!"), rule).map(([not, text]) => not + text),
    { maxLength: 8 },
  );
}

function names(entry: string, status: number): boolean {
  const text = entry.replace("!", "");
  if (text.endsWith("xx")) return Math.floor(status / 100) === Number(text[0]);
  const [first, last] = text.split("-").map(Number);
  return status >= first! && status <= (last ?? first!);
}
