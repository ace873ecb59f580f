import { expect, test } from "vitest";
import { Interned, InternedBytes } from "../../src/lib/interned.ts";

test("a text is what it was, however many others were given before it", () => {
  const interned = new Interned();
  for (let round = 0; round < 3; round += 1) {
    for (let n = 0; n < 12_000; n += 1) expect(interned.of(`user-${n}`)).toBe(`user-${n}`);
  }
});

test("equal short bytes are one array, which is none of those that were given", () => {
  const interned = new InternedBytes();
  const given = Buffer.from("ok");
  const own = interned.of(given);
  given.fill(0);
  expect(Buffer.from(own).toString()).toBe("ok");
  expect(interned.of(Buffer.from("ok"))).toBe(own);
  expect(interned.of(Buffer.from([0x6f, 0xeb]))).toEqual(Uint8Array.of(0x6f, 0xeb));
});

test("long bytes are copied each time", () => {
  const interned = new InternedBytes();
  const long = Buffer.alloc(65, 7);
  expect(interned.of(long)).toEqual(Uint8Array.from(long));
  expect(interned.of(long)).not.toBe(interned.of(long));
});

test("bytes are what they were, however many others were given before them", () => {
  const interned = new InternedBytes();
  for (let n = 0; n < 3_000; n += 1) {
    const text = `answer-${n % 1_500}`;
    expect(Buffer.from(interned.of(Buffer.from(text))).toString()).toBe(text);
  }
});
