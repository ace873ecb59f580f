/**
 * What is known outside of the daemon, event by event: offered, acknowledged or refused, and how often its
 * receiver took it. Shared by all threads, 15 bytes an event. The memory of a range that is never used costs
 * nothing: the system gives pages when they are written.
 */
export interface LedgerMemory {
  readonly capacity: number;
  readonly due: SharedArrayBuffer;
  readonly state: SharedArrayBuffer;
  readonly uid: SharedArrayBuffer;
  readonly taken: SharedArrayBuffer;
  readonly turnedAway: SharedArrayBuffer;
}

/** An event's state as its publisher knows it. */
export const STATE = { none: 0, offered: 1, acknowledged: 2, refused: 3, unknown: 4 } as const;
export type State = (typeof STATE)[keyof typeof STATE];

export interface Tally {
  /** Sent to the daemon. */
  readonly offered: number;
  /** Answered with a 202. */
  readonly accepted: number;
  /** Answered with anything else. */
  readonly refused: number;
  /** Sent, and the connection was lost before the answer. */
  readonly unknown: number;
  /** Different events that a receiver took (2xx). */
  readonly delivered: number;
  /** Delivered although nobody saw a 202: that is allowed, after a lost connection. */
  readonly recovered: number;
  /** Accepted, and no receiver took it. */
  readonly missing: number;
  /** Of these: for webhooks that were made to fail, so that nobody could have taken it. */
  readonly owed: number;
  /** Taken again, after the first time. */
  readonly duplicated: number;
  /** Taken although never offered, or although refused. */
  readonly unexpected: number;
  /** Requests that receivers answered otherwise, or not at all. */
  readonly turnedAway: number;
}

const COUNT_MAX = 255;

export function createLedgerMemory(capacity: number): LedgerMemory {
  return {
    capacity,
    due: new SharedArrayBuffer(capacity * 8),
    state: new SharedArrayBuffer(capacity),
    uid: new SharedArrayBuffer(capacity * 4),
    taken: new SharedArrayBuffer(capacity),
    turnedAway: new SharedArrayBuffer(capacity),
  };
}

export class Ledger {
  readonly capacity: number;
  readonly #due: Float64Array;
  readonly #state: Uint8Array;
  readonly #uid: Uint32Array;
  readonly #taken: Uint8Array;
  readonly #turnedAway: Uint8Array;

  constructor(memory: LedgerMemory) {
    this.capacity = memory.capacity;
    this.#due = new Float64Array(memory.due);
    this.#state = new Uint8Array(memory.state);
    this.#uid = new Uint32Array(memory.uid);
    this.#taken = new Uint8Array(memory.taken);
    this.#turnedAway = new Uint8Array(memory.turnedAway);
  }

  /** Before it is sent: whoever receives it sees this. */
  offered(seq: number, dueMono: number): void {
    this.#due[seq] = dueMono;
    Atomics.store(this.#state, seq, STATE.offered);
  }

  answered(seq: number, state: State): void {
    Atomics.store(this.#state, seq, state);
  }

  /** A receiver took it; true: for the first time. */
  took(seq: number): boolean {
    return this.#count(this.#taken, seq) === 0;
  }

  turnedAway(seq: number): void {
    this.#count(this.#turnedAway, seq);
  }

  /** When it was due, monotonic ms; 0: never offered. */
  dueMono(seq: number): number {
    return this.#due[seq] ?? 0;
  }

  stateOf(seq: number): State {
    return (this.#state[seq] ?? STATE.none) as State;
  }

  takenCount(seq: number): number {
    return this.#taken[seq] ?? 0;
  }

  /** Publisher and receivers each say which uid they saw: false where two of them differ. */
  matchesUid(seq: number, hash: number): boolean {
    const seen = Atomics.compareExchange(this.#uid, seq, 0, hash);
    return seen === 0 || seen === hash;
  }

  /** Accepted and not yet taken, from `from` to before `to`; those that `isOwed` names aside. */
  openCount(from: number, to: number, isOwed: (seq: number) => boolean): number {
    let count = 0;
    for (let seq = from; seq < to; seq += 1) {
      if (this.#state[seq] === STATE.acknowledged && this.#taken[seq] === 0 && !isOwed(seq)) count += 1;
    }
    return count;
  }

  /**
   * The first event from `from` on that is accepted and not yet taken, or not yet answered; `to`: there is
   * none.
   */
  firstOpen(from: number, to: number): number {
    let seq = from;
    for (; seq < to; seq += 1) {
      const state = this.#state[seq];
      if (state === STATE.offered || state === STATE.none) break;
      if (state === STATE.acknowledged && this.#taken[seq] === 0) break;
    }
    return seq;
  }

  tally(from: number, to: number, isOwed: (seq: number) => boolean): Tally {
    const counts = [0, 0, 0, 0, 0];
    let [delivered, recovered, missing, owed, duplicated, unexpected, turnedAway] = [0, 0, 0, 0, 0, 0, 0];
    for (let seq = from; seq < to; seq += 1) {
      const state = this.#state[seq] ?? STATE.none;
      const taken = this.#taken[seq] ?? 0;
      turnedAway += this.#turnedAway[seq] ?? 0;
      counts[state] = (counts[state] ?? 0) + 1;
      if (taken > 0) {
        delivered += 1;
        duplicated += taken - 1;
        if (state === STATE.none || state === STATE.refused) unexpected += 1;
        if (state === STATE.unknown || state === STATE.offered) recovered += 1;
      } else if (state === STATE.acknowledged) {
        missing += 1;
        if (isOwed(seq)) owed += 1;
      }
    }
    const [, waiting = 0, accepted = 0, refused = 0, lost = 0] = counts;
    return {
      offered: waiting + accepted + refused + lost,
      accepted,
      refused,
      unknown: waiting + lost,
      delivered,
      recovered,
      missing,
      owed,
      duplicated,
      unexpected,
      turnedAway,
    };
  }

  /** The count before. It stays at its highest rather than to begin anew. */
  #count(counts: Uint8Array, seq: number): number {
    const before = Atomics.add(counts, seq, 1);
    if (before === COUNT_MAX) Atomics.store(counts, seq, COUNT_MAX);
    return before;
  }
}

/** FNV-1a over ASCII, never 0 (which means: not yet known). */
export function hashBytes(bytes: Uint8Array, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let index = from; index < to; index += 1) {
    hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  }
  return hash >>> 0 || 1;
}
