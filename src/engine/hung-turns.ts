/** A receiver that hangs is tried again within this: its breaker opens meanwhile, and then that says when. */
const HOLD_MAX_MS = 30_000;
/** A turn is behind the last one by this part of what is left of that time: 8 ms at first, and less the more there are. */
const PART = 1 / 3_750;

/**
 * Receivers that hang together time out together, and are tried again one after the other: each of them is to be read, and
 * connected to anew. A thousand take seven seconds, ten thousand 28 (docs/decisions/0019).
 */
export class HungTurns {
  #lastAt = 0;

  /** When the next one has its turn, wall clock: at once where nobody waits for theirs. */
  next(now: number): number {
    const endAt = now + HOLD_MAX_MS;
    const lastAt = Math.min(this.#lastAt, endAt);
    this.#lastAt = Math.max(now, lastAt + (endAt - lastAt) * PART);
    return Math.ceil(this.#lastAt);
  }
}
