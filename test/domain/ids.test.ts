import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatId,
  ID_EPOCH_MS,
  type IdPrefix,
  parseId,
  seqAtTime,
  sequence,
  timeOfSeq,
  uuidOf,
} from "../../src/domain/ids.ts";

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const salts = fc.record({ a: word, b: word });
const seqs = fc.maxSafeNat();
const prefixes = fc.constantFrom<IdPrefix>("evt", "dlv", "wh", "job", "key");
const SALT = { a: 0x1234_5678, b: 0x9abc_def0 };
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

describe("an id", () => {
  test("comes back as its number", () => {
    fc.assert(
      fc.property(prefixes, seqs, salts, (prefix, seq, salt) => {
        const text = formatId(prefix, seq, salt);
        expect(text).toMatch(new RegExp(`^${prefix}_[0-7][0-9a-hjkmnp-tv-z]{25}$`));
        expect(parseId(prefix, text, salt)).toBe(seq);
      }),
      { numRuns: 500 },
    );
  });

  test("sorts as its number does", () => {
    const near = fc.tuple(seqs, fc.integer({ min: 1, max: 10_000 }));
    fc.assert(
      fc.property(near, salts, ([seq, step], salt) => {
        fc.pre(seq + step <= Number.MAX_SAFE_INTEGER);
        expect(formatId("dlv", seq, salt) < formatId("dlv", seq + step, salt)).toBe(true);
      }),
    );
  });

  test("with any one character changed is none", () => {
    fc.assert(
      fc.property(
        seqs,
        salts,
        fc.nat({ max: 25 }),
        fc.constantFrom(...ALPHABET),
        (seq, salt, at, character) => {
          const text = formatId("dlv", seq, salt);
          const tampered = text.slice(0, 4 + at) + character + text.slice(5 + at);
          expect(parseId("dlv", tampered, salt)).toBe(tampered === text ? seq : null);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("of another kind, another installation or another shape is none", () => {
    const text = formatId("dlv", 5_000_000_000_000, SALT);
    expect(parseId("job", text, SALT)).toBe(null);
    expect(parseId("dlv", text, { ...SALT, a: SALT.a ^ 1 })).toBe(null);
    expect(parseId("dlv", text, { ...SALT, b: SALT.b ^ 1 })).toBe(null);
    const shapes = [
      "",
      "dlv_",
      text.slice(0, -1),
      `${text}0`,
      ` ${text}`,
      text.toUpperCase(),
      text.replace("_", "-"),
    ];
    for (const shape of shapes) expect(parseId("dlv", shape, SALT), shape).toBe(null);
    expect(parseId("dlv", `dlv_${"0".repeat(26)}`, SALT)).toBe(null);
    expect(parseId("dlv", `dlv_7${"z".repeat(25)}`, SALT)).toBe(null);
  });

  test("is null or a number that formats to it, for any text whatever", () => {
    const suffixes = fc.stringMatching(/^[0-7][0-9a-hjkmnp-tv-z]{25}$/).map((suffix) => `wh_${suffix}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), suffixes), (text) => {
        const seq = parseId("wh", text, SALT);
        if (seq !== null) expect(formatId("wh", seq, SALT)).toBe(text);
      }),
    );
  });
});

describe("the UUID of an id", () => {
  test("has version 7, the RFC's variant and the Unix time of its making in front", () => {
    fc.assert(
      fc.property(seqs, salts, (seq, salt) => {
        const bytes = uuidOf(seq, salt);
        expect(bytes).toHaveLength(16);
        expect(bytes[6]! >>> 4).toBe(7);
        expect(bytes[8]! >>> 6).toBe(0b10);
        expect(Buffer.from(bytes).readUIntBE(0, 6)).toBe(timeOfSeq(seq));
      }),
    );
  });

  test("has tails that differ from one number to the next", () => {
    const tails = new Set<string>();
    for (let seq = 0; seq < 5000; seq += 1) tails.add(Buffer.from(uuidOf(seq, SALT)).toString("hex", 8));
    expect(tails.size).toBe(5000);
  });
});

describe("a sequence", () => {
  test("rises always, also when the clock stands still, goes back or jumps", () => {
    const clock = fc.array(fc.integer({ min: ID_EPOCH_MS - 10_000, max: Date.UTC(2089, 0, 1) }), {
      maxLength: 50,
    });
    fc.assert(
      fc.property(clock, fc.nat(), (times, last) => {
        const numbers = sequence(last);
        let previous = last;
        for (const now of times) {
          const seq = numbers.next(now);
          expect(seq).toBeGreaterThan(previous);
          expect(seq).toBeGreaterThanOrEqual(seqAtTime(now));
          previous = seq;
        }
      }),
    );
  });

  test("goes on from the largest number in the store", () => {
    const now = Date.UTC(2026, 0, 1);
    const last = seqAtTime(now) + 77;
    expect(sequence(last).next(now - 60_000)).toBe(last + 1);
  });

  test("runs into the next millisecond when one is full", () => {
    const now = Date.UTC(2026, 0, 1);
    const numbers = sequence(0);
    let seq = 0;
    for (let count = 0; count < 4097; count += 1) seq = numbers.next(now);
    expect(seq).toBe(seqAtTime(now + 1));
    expect(timeOfSeq(seq)).toBe(now + 1);
  });

  test("stays a safe integer through the year 2088", () => {
    const end = Date.UTC(2089, 0, 1) - 1;
    const seq = sequence(0).next(end);
    expect(Number.isSafeInteger(seq + 4095)).toBe(true);
    expect(parseId("evt", formatId("evt", seq + 4095, SALT), SALT)).toBe(seq + 4095);
  });
});

describe("the first number of a millisecond", () => {
  test("is the lower bound of what is made at or after it, and tells its time", () => {
    fc.assert(
      fc.property(fc.integer({ min: ID_EPOCH_MS, max: Date.UTC(2089, 0, 1) }), (at) => {
        expect(timeOfSeq(seqAtTime(at))).toBe(at);
        expect(timeOfSeq(seqAtTime(at) + 4095)).toBe(at);
        expect(sequence(0).next(at)).toBeGreaterThanOrEqual(seqAtTime(at));
      }),
    );
  });

  test("is zero before the epoch, and rounds a fraction down", () => {
    expect(seqAtTime(0)).toBe(0);
    expect(seqAtTime(ID_EPOCH_MS + 1.9)).toBe(4096);
  });
});
