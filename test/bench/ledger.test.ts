import { describe, expect, it } from "vitest";
import { createLedgerMemory, hashBytes, Ledger, STATE } from "../../src/bench/ledger.ts";

const EVENTS = 10;
const nobody = () => false;

/** Ten events, each offered, acknowledged and taken once. */
function setup() {
  const memory = createLedgerMemory(EVENTS + 5);
  const ledger = new Ledger(memory);
  for (let seq = 0; seq < EVENTS; seq += 1) {
    ledger.offered(seq, 1_000 + seq);
    ledger.answered(seq, STATE.acknowledged);
    ledger.took(seq);
  }
  return { ledger, other: new Ledger(memory), tally: () => ledger.tally(0, ledger.capacity, nobody) };
}

describe("the ledger", () => {
  it("balances when all that was offered was taken once", () => {
    expect(setup().tally()).toEqual({
      offered: 10,
      accepted: 10,
      refused: 0,
      unknown: 0,
      delivered: 10,
      recovered: 0,
      missing: 0,
      owed: 0,
      duplicated: 0,
      unexpected: 0,
      turnedAway: 0,
    });
  });

  it("is one for all threads that share its memory", () => {
    const { other, tally } = setup();
    other.took(3);
    expect(tally().duplicated).toBe(1);
    expect(other.dueMono(3)).toBe(1_003);
  });

  it("finds an event that was acknowledged and never taken", () => {
    const { ledger, tally } = setup();
    ledger.offered(10, 0);
    ledger.answered(10, STATE.acknowledged);
    expect(tally()).toMatchObject({ missing: 1, delivered: 10, accepted: 11 });
    expect(ledger.firstOpen(0, 15)).toBe(10);
    expect(ledger.openCount(0, 15, nobody)).toBe(1);
  });

  it("counts what is owed to a receiver that fails apart", () => {
    const { ledger } = setup();
    ledger.offered(10, 0);
    ledger.answered(10, STATE.acknowledged);
    ledger.turnedAway(10);
    const isOwed = (seq: number) => seq === 10;
    expect(ledger.tally(0, 15, isOwed)).toMatchObject({ missing: 1, owed: 1, turnedAway: 1 });
    expect(ledger.openCount(0, 15, isOwed)).toBe(0);
  });

  it("finds every copy after the first, and does not wrap when there are many", () => {
    const { ledger, tally } = setup();
    expect(ledger.took(4)).toBe(false);
    expect(tally().duplicated).toBe(1);
    for (let copy = 0; copy < 600; copy += 1) ledger.took(4);
    expect(tally()).toMatchObject({ missing: 0, duplicated: 254 });
  });

  it("finds an event that was taken and never offered, or refused before", () => {
    const { ledger, tally } = setup();
    ledger.took(12);
    ledger.offered(13, 0);
    ledger.answered(13, STATE.refused);
    ledger.took(13);
    expect(tally()).toMatchObject({ unexpected: 2, refused: 1 });
  });

  it("does not blame hookd for an event whose answer was lost, taken or not", () => {
    const { ledger, tally } = setup();
    for (const seq of [10, 11]) {
      ledger.offered(seq, 0);
      ledger.answered(seq, STATE.unknown);
    }
    ledger.took(11);
    expect(tally()).toMatchObject({ unknown: 2, recovered: 1, missing: 0, unexpected: 0 });
  });

  it("finds out when publisher and receiver saw different uids, whoever came first", () => {
    const { ledger, other } = setup();
    const [one, two] = ["evt_1", "evt_2"].map((uid) => hashBytes(Buffer.from(uid), 0, uid.length));
    expect(ledger.matchesUid(1, one ?? 0)).toBe(true);
    expect(other.matchesUid(1, one ?? 0)).toBe(true);
    expect(other.matchesUid(1, two ?? 0)).toBe(false);
  });
});
