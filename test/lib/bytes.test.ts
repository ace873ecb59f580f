import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteReader, ByteWriter } from "../../src/lib/bytes.ts";
import { Repeated } from "../../src/lib/interned.ts";

const field = fc.oneof(
  fc.record({ kind: fc.constant("u8" as const), value: fc.integer({ min: 0, max: 0xff }) }),
  fc.record({ kind: fc.constant("u16" as const), value: fc.integer({ min: 0, max: 0xffff }) }),
  fc.record({ kind: fc.constant("u32" as const), value: fc.integer({ min: 0, max: 0xffff_ffff }) }),
  fc.record({ kind: fc.constant("f64" as const), value: fc.double() }),
  fc.record({ kind: fc.constant("text" as const), value: fc.string({ unit: "binary", maxLength: 200 }) }),
  fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 300 }) }),
);

test("what was written is read again, in order, whatever the size it began with", () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 60 }), fc.integer({ min: 0, max: 64 }), (fields, initial) => {
      const writer = new ByteWriter(initial);
      for (const { kind, value } of fields) (writer[kind] as (given: unknown) => void).call(writer, value);
      const { length } = writer;
      const bytes = writer.take();
      expect(bytes.length).toBe(length);
      const reader = new ByteReader(bytes);
      for (const { kind, value } of fields) {
        expect(reader.hasMore).toBe(true);
        const read = reader[kind]();
        if (kind === "bytes") expect(Buffer.compare(read as Uint8Array, value)).toBe(0);
        else expect(read).toBe(value);
      }
      expect(reader.hasMore).toBe(false);
    }),
  );
});

test("taken bytes are nobody else's: the writer begins anew", () => {
  const writer = new ByteWriter(8);
  writer.text("first");
  const first = writer.take();
  writer.text("other");
  const other = writer.take();
  expect(first.buffer).not.toBe(other.buffer);
  expect(new ByteReader(first).text()).toBe("first");
  expect(new ByteReader(other).text()).toBe("other");
});

test("what is mostly the same is read as it was written, and made of its bytes only where it differs", () => {
  const few = fc.constantFrom("", "ok", "on", "okay", "x".repeat(64), "y".repeat(65), "y".repeat(64));
  fc.assert(
    fc.property(fc.array(few, { maxLength: 40 }), (texts) => {
      const writer = new ByteWriter();
      for (const text of texts) {
        writer.text(text);
        writer.bytes(Buffer.from(text));
      }
      const made: string[] = [];
      const last = new Repeated((bytes) => {
        made.push(bytes.toString());
        return bytes.toString();
      });
      const reader = new ByteReader(writer.take());
      for (const text of texts) {
        expect(reader.repeatedText(last)).toBe(text);
        expect(reader.repeatedBytes(last)).toBe(text);
      }
      expect(reader.hasMore).toBe(false);
      const short = made.filter((text) => text.length <= 64);
      short.forEach((text, index) => {
        expect(text).not.toBe(short[index - 1]);
      });
    }),
  );
});

test("bytes that start anywhere in their buffer are read from there", () => {
  const writer = new ByteWriter();
  writer.text("abc");
  const whole = Buffer.concat([Buffer.alloc(3, 9), writer.take()]);
  expect(new ByteReader(whole.subarray(3)).text()).toBe("abc");
});

test("text that is too long, and bytes that end too soon, are errors", () => {
  const writer = new ByteWriter();
  expect(() => writer.text("x".repeat(65_536))).toThrow(RangeError);
  const cut = new ByteWriter();
  cut.u16(7);
  expect(() => new ByteReader(cut.take()).u32()).toThrow(RangeError);
});
