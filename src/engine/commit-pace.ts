/**
 * A commit has a price beside that of its events: pages written again, messages to every thread. While few publish, each
 * commit is made at once. Where so many events and outcomes a millisecond...
 */
const BUSY_PER_MS = 16;
/** ...were committed over the last so many, however many commits that were... */
const OVER_MS = 20;
/** ...a commit begins no sooner than so long after the last one... */
const PACE_MS = 3;
/** ...unless so many wait for it: then a longer wait would make it no cheaper. */
const FULL_MIN = 256;
/** Beside a commit that the disk is busy with, another one is written only if so many wait for it. */
const OVERLAP_MIN = 64;
/**
 * Events in one commit while the disk keeps up: a cycle of some 6 ms. In longer ones all slots are in use before the cycle
 * ends that would hear what has become of them; what finds none then waits on disk, at twice the price.
 */
const EVENTS_MIN = 256;
/** ...for each millisecond that there was nothing to do but to wait for the disk so many more... */
const EVENTS_PER_IDLE_MS = 64;
/** ...and never more, which is what it takes where publishers are near being refused: a longer wait makes a batch no cheaper. */
const EVENTS_MAX = 2_000;
/** Commits on their way: one that the disk is busy with, and one that the next sync will cover. */
const COMMITS_MAX = 2;

/** When the next commit is worth its price. Measured in docs/decisions/0010-paced-commits.md. */
export class CommitPace {
  #begunMono = Number.NEGATIVE_INFINITY;
  /** Events and outcomes of the commits so far, each for as much as was left of it at the last one: all is gone after some `OVER_MS`. */
  #recent = 0;
  #idleMs = 0;

  /** A commit of so many events and outcomes begins. */
  begin(size: number, nowMono: number): void {
    this.#recent = this.#recent * Math.exp((this.#begunMono - nowMono) / OVER_MS) + size;
    this.#begunMono = nowMono;
    this.#idleMs = 0;
  }

  /** Nothing was done for so long. */
  wasIdle(ms: number): void {
    this.#idleMs += ms;
  }

  /** How many events the next commit should take. `isPressed`: publishers are near being refused. */
  eventsMax(isPressed: boolean): number {
    if (isPressed) return EVENTS_MAX;
    return Math.min(EVENTS_MAX, EVENTS_MIN + Math.floor(this.#idleMs * EVENTS_PER_IDLE_MS));
  }

  /**
   * Milliseconds until `waiting` events and outcomes should be committed: 0 or less for now, Infinity for not before one
   * of the `commits` on their way is durable.
   */
  waitMs(waiting: number, commits: number, nowMono: number): number {
    if (commits >= COMMITS_MAX || (commits > 0 && waiting < OVERLAP_MIN)) return Number.POSITIVE_INFINITY;
    if (this.#recent < BUSY_PER_MS * OVER_MS || waiting >= FULL_MIN) return 0;
    return this.#begunMono + PACE_MS - nowMono;
  }
}
