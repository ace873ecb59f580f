import fc from "fast-check";
import { expect, test } from "vitest";
import type { DedupeKey } from "../../src/domain/dedupe.ts";
import type { EventSeq } from "../../src/domain/ids.ts";
import { UidTable } from "../../src/store/sqlite/uid-table.ts";

/** Few different ones, many of which begin alike or share a slot: the last 32 bits choose it. */
const halves = fc.constantFrom(0, 1, 2, 1_023, 1_024, 2 ** 32, 2 ** 32 + 1, 2 ** 52 - 1, 2 ** 51 + 1_023);
const keys = fc.record({ uidHigh: halves, uidLow: fc.integer({ min: 0, max: 40 }), content: fc.nat() });

/** A table of 512 uids grows with the next one. */
const added = fc.oneof(
  fc.array(keys, { maxLength: 300 }),
  fc.array(keys, { minLength: 500, maxLength: 1_200, size: "max" }),
);

function textOf({ uidHigh, uidLow }: DedupeKey): string {
  return `${uidHigh} ${uidLow}`;
}

test("finds what was added and nothing else, also where hashes begin alike or share a slot", () => {
  fc.assert(
    fc.property(added, fc.array(keys, { maxLength: 50 }), (added, asked) => {
      const table = new UidTable();
      const model = new Map<string, { event: number; content: number }>();
      added.forEach((key, index) => {
        const event = index + 1;
        table.add(key, event as EventSeq);
        if (!model.has(textOf(key))) model.set(textOf(key), { event, content: key.content });
      });
      expect(table.size).toBe(added.length);
      for (const key of [...added, ...asked]) expect(table.find(key)).toEqual(model.get(textOf(key)) ?? null);
    }),
  );
});

test("tells all of it in order of the hash's first half, each once, with what was added", () => {
  fc.assert(
    fc.property(added, (added) => {
      const table = new UidTable();
      added.forEach((key, index) => {
        table.add(key, (index + 1) as EventSeq);
      });
      const highs = table.highs();
      expect([...highs]).toEqual(added.map(({ uidHigh }) => uidHigh).sort((a, b) => a - b));
      const told: [DedupeKey, number][] = [];
      for (const high of new Set(highs)) table.each(high, (key, event) => told.push([key, event]));
      expect(told.sort(([, a], [, b]) => a - b)).toEqual(added.map((key, index) => [key, index + 1]));
    }),
  );
});

test("grows from any size to tens of thousands and keeps what it has", () => {
  for (const expected of [0, 5_000, 40_000]) {
    const table = new UidTable(expected);
    const keyOf = (n: number) => ({ uidHigh: (n * 2_654_435_761) % 2 ** 52, uidLow: n, content: n * 2 });
    for (let n = 1; n <= 40_000; n += 1) table.add(keyOf(n), n as EventSeq);
    for (let n = 1; n <= 40_000; n += 997) expect(table.find(keyOf(n))).toEqual({ event: n, content: n * 2 });
    expect(table.find(keyOf(40_001))).toBeNull();
  }
});
