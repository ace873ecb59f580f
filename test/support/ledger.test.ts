import { expect, test } from "vitest";
import { Ledger, lineOf, oldestOf, unexplained } from "./ledger.ts";

function copy(uid: string, webhook: string, atMono: number, isAccepted = true) {
  return { uid, webhook, attempt: 1, atMono, isAccepted };
}

test("an acknowledged event that no receiver accepted is lost, a failed attempt at it or not", () => {
  const ledger = new Ledger();
  for (const uid of ["a", "b", "c"]) ledger.attempted(uid, "w");
  for (const uid of ["a", "b"]) ledger.acknowledged(uid, "w");
  ledger.received(copy("a", "w", 1, false));
  expect(ledger.report().lost).toEqual(["a w", "b w"]);
  expect(ledger.openCount).toBe(2);
  ledger.received(copy("a", "w", 2));
  ledger.received(copy("b", "w", 3));
  expect(ledger.report()).toMatchObject({ attempted: 3, acknowledged: 2, received: 2, copies: 3, lost: [] });
  expect(ledger.openCount).toBe(0);
});

test("an event that came before its acknowledgement is not lost", () => {
  const ledger = new Ledger();
  ledger.attempted("a", "w");
  ledger.received(copy("a", "w", 1));
  expect(ledger.report().recovered).toEqual(["a w"]);
  ledger.acknowledged("a", "w");
  ledger.acknowledged("a", "w");
  expect(ledger.report()).toMatchObject({ lost: [], recovered: [] });
  expect(ledger.openCount).toBe(0);
});

test("an event that nobody published, and one at another's receiver, are unexpected", () => {
  const ledger = new Ledger();
  ledger.attempted("a", "w");
  ledger.acknowledged("a", "w");
  ledger.received(copy("a", "x", 1));
  ledger.received(copy("z", "w", 1, false));
  expect(ledger.report()).toMatchObject({ unexpected: ["a x", "z w"], lost: ["a w"] });
});

test("what comes after an accepted copy is a duplicate, what comes after a failed one is a retry", () => {
  const ledger = new Ledger();
  ledger.attempted("a", "w");
  ledger.received(copy("a", "w", 1, false));
  ledger.received(copy("a", "w", 2));
  expect(ledger.report().duplicates).toEqual([]);
  ledger.received(copy("a", "w", 7));
  ledger.received(copy("a", "w", 9, false));
  expect(ledger.report().duplicates).toEqual([
    { uid: "a", webhook: "w", atMono: 7, earlierAtMono: 2 },
    { uid: "a", webhook: "w", atMono: 9, earlierAtMono: 7 },
  ]);
});

test("a kill explains a duplicate whose earlier copy came shortly before it, and no other", () => {
  const kills = [{ atMono: 10_000, endMono: 10_100 }];
  const duplicate = (earlierAtMono: number, atMono: number) => ({
    uid: "a",
    webhook: "w",
    earlierAtMono,
    atMono,
  });
  const explained = [duplicate(9_001, 11_000), duplicate(10_050, 10_900)];
  const others = [duplicate(8_999, 11_000), duplicate(10_101, 11_000), duplicate(9_500, 9_900)];
  expect(unexplained([...explained, ...others], kills, 1_000)).toEqual(others);
  expect(unexplained(explained, [], 1_000)).toEqual(explained);
});

test("how long before its kill an earlier copy came is told, for the one that came earliest", () => {
  const ledger = new Ledger();
  const kills = [
    { atMono: 1_000, endMono: 1_100 },
    { atMono: 5_000, endMono: 5_100 },
  ];
  for (const [uid, earlierAt, at] of [
    ["a", 900, 2_000],
    ["b", 4_700, 6_000],
    ["c", 1_050, 2_000],
  ] as const) {
    ledger.received(copy(uid, "w", earlierAt));
    ledger.received(copy(uid, "w", at));
  }
  expect(oldestOf(ledger.report(), kills)).toBe("earlier copies 300 ms before a kill at most");
  expect(oldestOf(new Ledger().report(), kills)).toBe("no duplicates");
});

test("the ledger is told in one line", () => {
  expect(lineOf(new Ledger().report())).toContain("attempted 0, acknowledged 0, received 0 (0 requests)");
});
