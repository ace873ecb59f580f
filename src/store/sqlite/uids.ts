import type { DedupeKey } from "../../domain/dedupe.ts";
import type { EventSeq } from "../../domain/ids.ts";
import type { Db, Statement } from "./database.ts";

interface Remembered {
  readonly key: DedupeKey;
  readonly event: EventSeq;
}

/**
 * The uids that publishers gave, for at least the dedupe window. New ones are in memory (the journal makes them
 * durable) until the fold writes them, by hash. Stored in generations of one window's length: a look-up asks
 * each live generation, and forgetting deletes the oldest in slices.
 */
export class UidMemory {
  readonly #windowMs: number;
  readonly #insert: Statement;
  readonly #find: Statement;
  readonly #following: Statement;
  readonly #deleteSlice: Statement;
  #fresh = new Map<number, Remembered[]>();
  #freshCount = 0;
  /** Those being folded: still asked first. Written in order of their hash. */
  #frozen = new Map<number, Remembered[]>();
  #order = new Float64Array(0);
  #next = 0;
  #generation = 0;
  readonly #live: number[] = [];

  constructor(db: Db, windowMs: number) {
    this.#windowMs = windowMs;
    this.#insert = db.prepare("insert or replace into uid values (?, ?, ?, ?, ?)");
    this.#find = db.prepare("select content, event from uid where generation = ? and high = ? and low = ?");
    this.#following = db.prepare("select min(generation) from uid where generation > ?").pluck();
    this.#deleteSlice = db.prepare(
      "delete from uid where generation = ? and (high, low) in (select high, low from uid where generation = ? limit ?)",
    );
    // From one to the next through the key: a day holds a billion uids.
    for (let at = this.#following.get(-1); typeof at === "number"; at = this.#following.get(at)) {
      this.#live.push(at);
    }
    this.#generation = this.#live.at(-1) ?? 0;
  }

  get hasFresh(): boolean {
    return this.#freshCount > 0;
  }

  get freshCount(): number {
    return this.#freshCount;
  }

  /** Of those being folded, the ones that are still to be written. */
  get frozenCount(): number {
    return this.#order.length - this.#next;
  }

  find(key: DedupeKey): { event: EventSeq; content: number } | null {
    const held = inBucket(this.#fresh, key) ?? inBucket(this.#frozen, key);
    if (held) return { event: held.event, content: held.key.content };
    for (let index = this.#live.length - 1; index >= 0; index -= 1) {
      const row = this.#find.get(this.#live[index], key.uidHigh, key.uidLow) as
        | { content: number; event: number }
        | undefined;
      if (row) return { event: row.event as EventSeq, content: row.content };
    }
    return null;
  }

  remember(key: DedupeKey, event: EventSeq): void {
    const entry = { key, event };
    const bucket = this.#fresh.get(key.uidHigh);
    if (bucket) bucket.push(entry);
    else this.#fresh.set(key.uidHigh, [entry]);
    this.#freshCount += 1;
  }

  /** Events from `at` on go to a generation of their own once the last one is as old as the window. */
  rotate(at: number): void {
    if (this.#generation === 0 || at - this.#generation >= this.#windowMs) {
      this.#generation = Math.max(at, this.#generation + 1);
      this.#live.push(this.#generation);
    }
  }

  freeze(): void {
    this.#order = Float64Array.from(this.#fresh.keys()).sort();
    this.#frozen = this.#fresh;
    this.#fresh = new Map();
    this.#freshCount = 0;
    this.#next = 0;
  }

  /** Writes up to `limit` inside the caller's transaction; the returned function confirms it. */
  foldSlice(limit: number): () => void {
    const end = Math.min(this.#order.length, this.#next + limit);
    for (let index = this.#next; index < end; index += 1) {
      for (const { key, event } of this.#frozen.get(this.#order[index] ?? -1) ?? []) {
        this.#insert.run(this.#generation, key.uidHigh, key.uidLow, key.content, event);
      }
    }
    return () => {
      this.#next = end;
      if (end < this.#order.length) return;
      this.#order = new Float64Array(0);
      this.#next = 0;
      this.#frozen = new Map();
    };
  }

  /** Whether a slice of `limit` writes the last one. */
  isFoldedAfter(limit: number): boolean {
    return this.#next + limit >= this.#order.length;
  }

  /** Deletes up to `limit` of a generation that ended before `before`, inside the caller's transaction. */
  forgetSlice(before: number, limit: number): { hasMore: boolean; confirm: () => void } {
    const [oldest, following, third] = this.#live;
    if (oldest === undefined || following === undefined || following > before) {
      return { hasMore: false, confirm: nothing };
    }
    const isGone = this.#deleteSlice.run(oldest, oldest, limit).changes < limit;
    return {
      hasMore: !isGone || (third !== undefined && third <= before),
      confirm: () => {
        if (isGone) this.#live.shift();
      },
    };
  }
}

function nothing(): void {}

function inBucket(buckets: Map<number, Remembered[]>, key: DedupeKey): Remembered | undefined {
  return buckets.get(key.uidHigh)?.find((entry) => entry.key.uidLow === key.uidLow);
}
