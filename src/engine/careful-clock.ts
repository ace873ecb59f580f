import type { Clock } from "../lib/clock.ts";

/** A jump of the wall clock, or a time not running, beyond this suspends whatever destroys. */
const GAP_MAX_MS = 3_600_000;

/**
 * The time by which things are destroyed: pruned, expired, switched off, forgotten. It advances at most at monotonic
 * pace, never jumps, and stands still while the wall clock is more than an hour ahead of it: a clock that was set
 * wrong for a minute must not empty the store. `accept` confirms the wall clock.
 */
export class CarefulClock {
  readonly #clock: Clock;
  #time: number;
  #lastMono: number;

  /** `known`: the wall clock when hookd last ran, or null on the first start. */
  constructor(clock: Clock, known: number | null) {
    this.#clock = clock;
    this.#lastMono = clock.mono();
    const now = clock.now();
    const gap = now - (known ?? now);
    this.#time = gap >= 0 && gap <= GAP_MAX_MS ? now : (known ?? now);
  }

  /** Wall clock by which it is safe to destroy. */
  now(): number {
    const mono = this.#clock.mono();
    const elapsed = mono - this.#lastMono;
    this.#lastMono = mono;
    const wall = this.#clock.now();
    if (wall - this.#time - elapsed <= GAP_MAX_MS) this.#time = Math.min(wall, this.#time + elapsed);
    return Math.floor(this.#time);
  }

  /** How far the wall clock is ahead, ms; more than an hour: suspended. */
  get gapMs(): number {
    return this.#clock.now() - this.#time;
  }

  get isSuspended(): boolean {
    return this.gapMs > GAP_MAX_MS;
  }

  /** The wall clock is right, says the operator. */
  accept(): void {
    this.#time = this.#clock.now();
  }
}
