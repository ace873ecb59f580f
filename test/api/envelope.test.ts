import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BATCH_ITEMS_MAX,
  checkJson,
  type Envelope,
  parseBatch,
  parseEnvelope,
} from "../../src/api/envelope.ts";
import { JSON_DEPTH_MAX } from "../../src/api/json-scan.ts";
import { Problem } from "../../src/domain/problem.ts";

/** A JSON text of any value, with white space, number spellings and escapes that JSON.stringify never writes. */
const space = fc.string({ unit: fc.constantFrom(" ", "\n", "\t", "\r"), maxLength: 3 });
const numberText = fc.oneof(
  fc.constantFrom("1.0", "-0", "0.10", "1e5", "1E+05", "-1.5e-10", "12345678901234567890", "0e0"),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
);
const escaped = fc.constantFrom(
  "\\n",
  "\\u0041",
  "\\ud83d\\ude00",
  "\\/",
  "\\\\",
  '\\"',
  "\\u00e9",
  "\\ud800",
);
const stringText = fc
  .array(
    fc.oneof(
      fc.string({ unit: "grapheme" }).map((text) => JSON.stringify(text).slice(1, -1)),
      escaped,
    ),
    { maxLength: 4 },
  )
  .map((parts) => `"${parts.join("")}"`);
const { jsonText } = fc.letrec<{ jsonText: string; list: string; object: string }>((tie) => ({
  jsonText: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom("true", "false", "null"),
    numberText,
    stringText,
    tie("list"),
    tie("object"),
  ),
  list: fc
    .array(fc.tuple(space, tie("jsonText"), space), { maxLength: 4 })
    .map((items) => `[${items.map((item) => item.join("")).join(",")}]`),
  object: fc
    .array(fc.tuple(space, stringText, space, space, tie("jsonText"), space), { maxLength: 4 })
    .map(
      (members) =>
        `{${members.map(([a, key, b, c, value, d]) => `${a}${key}${b}:${c}${value}${d}`).join(",")}}`,
    ),
}));

function problemOf(read: () => unknown): Problem {
  try {
    read();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const nested = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

describe("an envelope", () => {
  test("gives the payload's bytes exactly as they came, whatever their formatting", () => {
    fc.assert(
      fc.property(
        jsonText,
        space,
        space,
        fc.shuffledSubarray(["event_id", "payload", "event_uid", "user_id"], { minLength: 4 }),
        (payload, before, after, order) => {
          const values: Record<string, string> = {
            event_id: '"a.b"',
            payload,
            event_uid: '"u-1"',
            user_id: '"acme"',
          };
          const members = order.map((key) => `${before}"${key}"${after}:${before}${values[key]}${after}`);
          const envelope = parseEnvelope(Buffer.from(`${before}{${members.join(",")}}${after}`));
          expect(envelope.payload.toString()).toBe(payload);
          expect(envelope).toMatchObject({ eventId: "a.b", eventUid: "u-1", userId: "acme" });
        },
      ),
    );
  });

  test("keeps 1.0, 20 digits, key order and white space", () => {
    const payload = '{ "b": 1.0,\n "a":12345678901234567890, "a": 1e2 }';
    expect(parseEnvelope(Buffer.from(`{"event_id":"x","payload":${payload}}`)).payload.toString()).toBe(
      payload,
    );
  });

  test("reads keys and names that are written with escapes", () => {
    const envelope = parseEnvelope(Buffer.from('{"event\\u005fid":"us\\u0065r","payload":1}'));
    expect(envelope).toMatchObject({ eventId: "user", eventUid: null, userId: null });
  });

  test.each([
    ["", "invalid_json"],
    ["{", "invalid_json"],
    ['{"event_id":"x","payload":1}x', "invalid_json"],
    ['{"event_id":"x","payload":01}', "invalid_json"],
    ['{"event_id":"x","payload":1.}', "invalid_json"],
    ['{"event_id":"x","payload":}', "invalid_json"],
    ['{"event_id":"x","payload":"\u0001"}', "invalid_json"],
    ['{"event_id":"x","payload":1,}', "invalid_json"],
    ['{"event_id":"x" "payload":1}', "invalid_json"],
    ['\ufeff{"event_id":"x","payload":1}', "invalid_json"],
    ["[]", "invalid_field"],
    ['"text"', "invalid_field"],
    ["{}", "invalid_field"],
    ['{"event_id":"x"}', "invalid_field"],
    ['{"payload":1}', "invalid_field"],
    ['{"event_id":1,"payload":1}', "invalid_field"],
    ['{"event_id":"x","payload":1,"user_id":null}', "invalid_field"],
    ['{"event_id":"x","payload":1,"payload":1}', "invalid_field"],
    ['{"event_id":"x","event\\u005fid":"y","payload":1}', "invalid_field"],
    ['{"event_id":"x","payload":1,"__proto__":{}}', "unknown_field"],
    ['{"event_id":"x","payload":1,"constructor":{}}', "unknown_field"],
  ])("refuses %j with %s", (text, code) => {
    expect(problemOf(() => parseEnvelope(Buffer.from(text))).code).toBe(code);
  });

  test("names the field that was probably meant", () => {
    const problem = problemOf(() => parseEnvelope(Buffer.from('{"eventId":"x","payload":1}')));
    expect(problem.details).toEqual({ field: "eventId", did_you_mean: "event_id" });
    expect(problem.message).toContain("did you mean event_id?");
  });

  test("refuses bytes that are no UTF-8, in the payload too", () => {
    const body = Buffer.concat([
      Buffer.from('{"event_id":"x","payload":"'),
      Buffer.of(0xff),
      Buffer.from('"}'),
    ]);
    expect(problemOf(() => parseEnvelope(body)).code).toBe("invalid_json");
  });

  test(`takes a payload of ${JSON_DEPTH_MAX} levels and refuses one more, and 100,000`, () => {
    const bodyOf = (levels: number) => Buffer.from(`{"event_id":"x","payload":${nested(levels)}}`);
    expect(parseEnvelope(bodyOf(JSON_DEPTH_MAX)).payload.length).toBe(2 * JSON_DEPTH_MAX);
    expect(problemOf(() => parseEnvelope(bodyOf(JSON_DEPTH_MAX + 1))).message).toContain("nested deeper");
    expect(problemOf(() => parseEnvelope(bodyOf(100_000))).code).toBe("invalid_json");
  });
});

describe("the scanner", () => {
  test("takes what JSON.parse takes and refuses what it refuses", () => {
    const mangled = fc
      .tuple(jsonText, fc.nat(), fc.constantFrom("", '"', "{", "]", ",", "0", "-", "\\", "e", " "))
      .map(([text, at, put]) => {
        const place = at % (text.length + 1);
        return text.slice(0, place) + put + text.slice(place + 1);
      });
    fc.assert(
      fc.property(fc.oneof(jsonText, mangled, fc.string()), (text) => {
        const bytes = Buffer.from(text);
        // What is no text (half of a surrogate pair) does not survive becoming bytes.
        fc.pre(bytes.toString() === text);
        expect(isTaken(() => checkJson(bytes))).toBe(isTaken(() => JSON.parse(text)));
      }),
      { numRuns: 2_000 },
    );
  });
});

function isTaken(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

describe("a batch", () => {
  const item = (n: number) => `{"event_id":"e${n}","payload": ${n}.0 }`;
  const idsOf = (items: (Envelope | Problem)[]) =>
    items.map((one) => (one instanceof Problem ? one.code : one.eventId));

  test("is an array, or one event per line", () => {
    expect(idsOf(parseBatch(Buffer.from(` [ ${item(1)} , ${item(2)} ] `)))).toEqual(["e1", "e2"]);
    expect(idsOf(parseBatch(Buffer.from(`${item(1)}\r\n\n${item(2)}\n`)))).toEqual(["e1", "e2"]);
    expect(idsOf(parseBatch(Buffer.from("[]")))).toEqual([]);
  });

  test("keeps each payload's bytes", () => {
    const [first] = parseBatch(Buffer.from(`[${item(1)}]`)) as Envelope[];
    expect(first?.payload.toString()).toBe("1.0");
  });

  test("reports an item that is no event in its place", () => {
    const items = parseBatch(
      Buffer.from(`[${item(1)},{"event_id":"x","payload":1,"extra":[1,{}]},7,${item(2)}]`),
    );
    expect(idsOf(items)).toEqual(["e1", "unknown_field", "invalid_field", "e2"]);
  });

  test("is refused as a whole where the array is broken, and line by line where lines are", () => {
    expect(problemOf(() => parseBatch(Buffer.from(`[${item(1)},{]`))).code).toBe("invalid_json");
    expect(problemOf(() => parseBatch(Buffer.from(`[${item(1)}] x`))).code).toBe("invalid_json");
    expect(idsOf(parseBatch(Buffer.from(`${item(1)}\n{broken\n${item(2)}`)))).toEqual([
      "e1",
      "invalid_json",
      "e2",
    ]);
  });

  test(`holds ${BATCH_ITEMS_MAX} items and not one more`, () => {
    const items = Array.from({ length: BATCH_ITEMS_MAX + 1 }, (_, n) => item(n));
    expect(parseBatch(Buffer.from(`[${items.slice(1).join()}]`)).length).toBe(BATCH_ITEMS_MAX);
    expect(problemOf(() => parseBatch(Buffer.from(`[${items.join()}]`))).code).toBe("bad_request");
    expect(problemOf(() => parseBatch(Buffer.from(items.join("\n")))).code).toBe("bad_request");
  });
});
