import type { Clock } from "../lib/clock.ts";

/** Something that must not go on for ever. `watchIndex` belongs to `Deadlines`; it starts as -1. */
export interface Watched {
  watchIndex: number;
  /** Called about every `TICK_MS` while watched. May add and remove, itself too. */
  check(nowMono: number): void;
}

/**
 * How late a deadline may be seen: well inside the 250 ms that an attempt may overrun.
 */
export const TICK_MS = 50;
/**
 * A turn of the event loop ends no more of them once it has taken so long. A thousand that hang end in the same tick, 50 us
 * each, and answers of others have come meanwhile.
 */
const TURN_MAX_MS = 4;

/**
 * One timer for everything that has a deadline: each tick looks at all that is in flight. A wheel with slots
 * would find what is due sooner, but the same tick must look at every socket's byte count anyway, and 4,096
 * reads of it take 0.1-0.7 ms. The timer runs only while something is watched.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #watched: Watched[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isWalking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#watched.length;
  }

  get isTicking(): boolean {
    return this.#timer !== null;
  }

  add(item: Watched): void {
    item.watchIndex = this.#watched.push(item) - 1;
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Does nothing for what is not watched. */
  remove(item: Watched): void {
    const index = item.watchIndex;
    if (index < 0) return;
    item.watchIndex = -1;
    const last = this.#watched.pop();
    if (last === undefined || last === item) return;
    this.#watched[index] = last;
    last.watchIndex = index;
  }

  stop(): void {
    for (const item of this.#watched) item.watchIndex = -1;
    this.#watched.length = 0;
    this.#stopTimer();
  }

  #tick(): void {
    if (!this.#isWalking) this.#walk(this.#watched.length - 1);
  }

  /**
   * Backwards, from that place: what a removal moves to a lower place has been checked already, and what is added waits a
   * tick.
   */
  #walk(from: number): void {
    this.#isWalking = false;
    const nowMono = this.#clock.mono();
    for (let index = Math.min(from, this.#watched.length - 1); index >= 0; index -= 1) {
      const size = this.#watched.length;
      this.#watched[index]?.check(nowMono);
      if (this.#watched.length < size && this.#clock.mono() - nowMono >= TURN_MAX_MS) {
        this.#isWalking = true;
        setImmediate(() => this.#walk(index - 1));
        return;
      }
    }
    if (this.#watched.length === 0) this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
