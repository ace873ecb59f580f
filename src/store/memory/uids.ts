import type { DedupeKey } from "../../domain/dedupe.ts";
import type { EventSeq } from "../../domain/ids.ts";

interface Remembered {
  readonly event: EventSeq;
  readonly content: number;
}

interface Generation {
  readonly since: number;
  readonly uids: Map<string, Remembered>;
}

/** The uids that publishers gave, in generations of one window's length, oldest first. */
export class MemoryUids {
  readonly #generations: Generation[] = [];

  find(key: DedupeKey): Remembered | null {
    for (const { uids } of [...this.#generations].reverse()) {
      const known = uids.get(nameOf(key));
      if (known) return known;
    }
    return null;
  }

  remember(key: DedupeKey, event: EventSeq): void {
    this.#generations.at(-1)?.uids.set(nameOf(key), { event, content: key.content });
  }

  /** Uids from `at` on go to a generation of their own once the last one is as old as the window. */
  rotate(at: number, windowMs: number): void {
    const last = this.#generations.at(-1);
    if (!last || at - last.since >= windowMs) this.#generations.push({ since: at, uids: new Map() });
  }

  /** Drops the oldest generation if the next one began by `before`. True when one more can go. */
  forget(before: number): boolean {
    if (isOver(this.#generations[1], before)) this.#generations.shift();
    return isOver(this.#generations[1], before);
  }
}

function isOver(following: Generation | undefined, before: number): boolean {
  return following !== undefined && following.since <= before;
}

function nameOf(key: DedupeKey): string {
  return `${key.uidHigh}/${key.uidLow}`;
}
