import type { DedupeKey } from "../../domain/dedupe.ts";
import type { EventSeq } from "../../domain/ids.ts";

const SLOTS_MIN = 1_024;
/** Numbers of a slot: the hash's halves, the content's, the event. */
const WIDTH = 4;
const EMPTY = -1;

/** What is remembered of a uid. */
export interface KnownUid {
  readonly event: EventSeq;
  readonly content: number;
}

/**
 * Uids by hash, to be added and asked for only: open addressing in one array of numbers, at most half full. As objects in a
 * Map they took 250 bytes each, tens of thousands of them that the collector copied twice and marked each second.
 */
export class UidTable {
  #slots: Float64Array;
  #mask: number;
  #size = 0;

  /** With room for so many without growing. */
  constructor(expected = 0) {
    let slots = SLOTS_MIN;
    while (slots < expected * 2) slots *= 2;
    this.#slots = new Float64Array(slots * WIDTH).fill(EMPTY);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** Of a uid that is in it already, the first one is found. */
  add(key: DedupeKey, event: EventSeq): void {
    if ((this.#size + 1) * 2 > this.#mask + 1) this.#grow();
    this.#put(key.uidHigh, key.uidLow, key.content, event);
    this.#size += 1;
  }

  find({ uidHigh, uidLow }: DedupeKey): KnownUid | null {
    const slots = this.#slots;
    for (let at = this.#first(uidHigh); slots[at] !== EMPTY; at = this.#after(at)) {
      if (slots[at] === uidHigh && slots[at + 1] === uidLow)
        return { content: slots[at + 2] as number, event: slots[at + 3] as EventSeq };
    }
    return null;
  }

  /** The first halves of all hashes, ascending, each as often as it is there. */
  highs(): Float64Array<ArrayBuffer> {
    const highs = new Float64Array(this.#size);
    let count = 0;
    for (let at = 0; at < this.#slots.length; at += WIDTH) {
      const high = this.#slots[at] as number;
      if (high !== EMPTY) highs[count++] = high;
    }
    return highs.sort();
  }

  /** Tells every uid whose hash begins so. */
  each(high: number, tell: (key: DedupeKey, event: EventSeq) => void): void {
    const slots = this.#slots;
    for (let at = this.#first(high); slots[at] !== EMPTY; at = this.#after(at)) {
      if (slots[at] !== high) continue;
      const key = { uidHigh: high, uidLow: slots[at + 1] as number, content: slots[at + 2] as number };
      tell(key, slots[at + 3] as EventSeq);
    }
  }

  #put(high: number, low: number, content: number, event: number): void {
    const slots = this.#slots;
    let at = this.#first(high);
    while (slots[at] !== EMPTY) at = this.#after(at);
    slots[at] = high;
    slots[at + 1] = low;
    slots[at + 2] = content;
    slots[at + 3] = event;
  }

  #grow(): void {
    const before = this.#slots;
    let start = 0;
    while (before[start] !== EMPTY) start += WIDTH;
    this.#slots = new Float64Array(before.length * 2).fill(EMPTY);
    this.#mask = this.#mask * 2 + 1;
    // From behind an empty slot: what stands behind its place, past the end too, keeps its order.
    for (let step = 0; step < before.length; step += WIDTH) {
      const at = (start + step) % before.length;
      const high = before[at] as number;
      if (high === EMPTY) continue;
      this.#put(high, before[at + 1] as number, before[at + 2] as number, before[at + 3] as number);
    }
  }

  /** Hashes are spread evenly already: their last 32 bits will do. */
  #first(high: number): number {
    return ((high >>> 0) & this.#mask) * WIDTH;
  }

  #after(at: number): number {
    return (at + WIDTH) % this.#slots.length;
  }
}
