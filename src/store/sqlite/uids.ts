import type { DedupeKey } from "../../domain/dedupe.ts";
import type { EventSeq } from "../../domain/ids.ts";
import { type KnownUid, UidTable } from "./uid-table.ts";
import type { UidTrees } from "./uid-trees.ts";

/**
 * The uids that publishers gave, for at least the dedupe window. New ones are in memory (the journal makes them
 * durable) until the fold writes them, by hash.
 */
export class UidMemory {
  readonly #windowMs: number;
  readonly #trees: UidTrees;
  #fresh = new UidTable();
  /** Those being folded: still asked first. Written in order of their hash. */
  #frozen = new UidTable();
  #order = new Float64Array(0);
  #next = 0;

  constructor(trees: UidTrees, windowMs: number) {
    this.#trees = trees;
    this.#windowMs = windowMs;
  }

  get hasFresh(): boolean {
    return this.#fresh.size > 0;
  }

  get freshCount(): number {
    return this.#fresh.size;
  }

  /** Of those being folded, the ones that are still to be written. */
  get frozenCount(): number {
    return this.#order.length - this.#next;
  }

  find(key: DedupeKey): KnownUid | null {
    return this.#fresh.find(key) ?? this.#frozen.find(key) ?? this.#trees.find(key);
  }

  remember(key: DedupeKey, event: EventSeq): void {
    this.#fresh.add(key, event);
  }

  /** Events from `at` on go to a generation of their own once the last one is as old as the window. */
  rotate(at: number): void {
    const { generations } = this.#trees;
    const last = generations.at(-1);
    if (last === undefined) generations.push(at);
    else if (at - last >= this.#windowMs) generations.push(Math.max(at, last + 1));
  }

  freeze(): void {
    this.#order = this.#fresh.highs();
    this.#frozen = this.#fresh;
    this.#fresh = new UidTable(this.#frozen.size);
    this.#next = 0;
  }

  /** Writes up to `limit` inside the caller's transaction; the returned function confirms it. */
  foldSlice(limit: number): () => void {
    if (this.#order.length === 0) return nothing;
    const end = Math.min(this.#order.length, this.#next + limit);
    const confirmCarried = this.#write(end);
    return () => {
      confirmCarried();
      this.#next = end;
      if (end < this.#order.length) return;
      this.#order = new Float64Array(0);
      this.#next = 0;
      this.#frozen = new UidTable();
    };
  }

  /** Whether a slice of `limit` writes the last one. */
  isFoldedAfter(limit: number): boolean {
    return this.#next + limit >= this.#order.length;
  }

  /** Deletes up to `limit` of a generation that ended before `before`, inside the caller's transaction. */
  forgetSlice(before: number, limit: number): { hasMore: boolean; confirm: () => void } {
    const { generations } = this.#trees;
    const [oldest, following, third] = generations;
    if (oldest === undefined || following === undefined || following > before) {
      return { hasMore: false, confirm: nothing };
    }
    const isGone = this.#trees.forgetSlice(limit);
    return {
      hasMore: !isGone || (third !== undefined && third <= before),
      confirm: () => {
        if (isGone) generations.shift();
      },
    };
  }

  #write(end: number): () => void {
    this.#trees.beginSlice();
    for (let index = this.#next; index < end; index += 1) {
      const high = this.#order[index] as number;
      // Two that begin alike are told together.
      if (high !== this.#order[index - 1])
        this.#frozen.each(high, (key, event) => this.#trees.add(key, event));
    }
    return this.#trees.carry(end - this.#next);
  }
}

function nothing(): void {}
