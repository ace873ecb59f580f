import type { Clock } from "./clock.ts";
import type { Timers } from "./timers.ts";

/**
 * Runs `work` once for all requests of a moment: at the end of this turn of the event loop where it has not run for
 * `everyMs`, otherwise when that time is over. For messages between threads: each costs both sides the price of some
 * ten entries in one.
 */
export class Pacer {
  readonly #work: () => void;
  readonly #everyMs: number;
  readonly #clock: Clock;
  readonly #timers: Timers;
  #isAsked = false;
  #ranMono = Number.NEGATIVE_INFINITY;

  constructor(work: () => void, everyMs: number, clock: Clock, timers: Timers) {
    this.#work = work;
    this.#everyMs = everyMs;
    this.#clock = clock;
    this.#timers = timers;
  }

  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    const waitMs = this.#ranMono + this.#everyMs - this.#clock.mono();
    if (waitMs <= 0) this.#timers.soon(() => this.#run());
    else this.#timers.after(waitMs, () => this.#run());
  }

  /** Runs it at once for all requests so far, if there are any: so many that the other side had better begin. */
  hurry(): void {
    if (this.#isAsked) this.#run();
  }

  #run(): void {
    if (!this.#isAsked) return;
    this.#isAsked = false;
    this.#ranMono = this.#clock.mono();
    this.#work();
  }
}
