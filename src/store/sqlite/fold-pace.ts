/** A fold of so few steps is done at once. */
const AT_ONCE_MAX = 1_000;
/**
 * A larger one takes this share of the time in which its changes gathered, and of the changes that make the next one due, so
 * that it is over before that.
 */
const SPREAD = 0.85;
/** Steps are done so many at a time or more: neighbours share pages, and each slice writes a page at its edge twice. */
const SLICE_MIN = 256;

/**
 * Spreads a fold evenly over time. Done as fast as it goes, it takes the thread's whole third of a second at 12,000 events
 * a second, and everything that arrives meanwhile waits for the rest of it. In time with what arrives as well: changes that
 * come faster than before would be in memory by the hundred thousand until it has ended.
 */
export class FoldPace {
  readonly #steps: number;
  readonly #begunMono: number;
  readonly #spreadMs: number;
  #done = 0;

  /** `steps`: all that is to be done. `gatheredMs`: since its first change. */
  constructor(steps: number, gatheredMs: number, nowMono: number) {
    this.#steps = steps;
    this.#begunMono = nowMono;
    this.#spreadMs = steps <= AT_ONCE_MAX ? 0 : Math.max(0, gatheredMs) * SPREAD;
  }

  did(steps: number): void {
    this.#done += steps;
  }

  /** How many steps it is behind, 0 while that makes no slice yet. `gathered`: the part of the next fold that is there; 1: it is due. */
  owed(nowMono: number, gathered: number): number {
    const ofTime = this.#spreadMs === 0 ? 1 : (nowMono - this.#begunMono) / this.#spreadMs;
    const passed = Math.min(1, Math.max(ofTime, gathered / SPREAD));
    const owed = Math.ceil(this.#steps * passed) - this.#done;
    // Counted by rows and uids, a fold may have a little more to do than was said.
    if (passed === 1) return Math.max(SLICE_MIN, owed);
    return owed >= SLICE_MIN ? owed : 0;
  }
}
