import { setTimeout as pause } from "node:timers/promises";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../lib/clock.ts";

/** A reader's rest in times of what its look took: together they have a tenth of the thread. */
const REST = 9;
const WAITING_MAX = 1_000;

/** While there is traffic, those that read lists look one after the other, with rests. However many they are, commits go on. */
export class Readers {
  readonly #clock: Clock;
  readonly #isBusy: () => boolean;
  /** The last of those in the queue, and its rest. */
  #lastLook: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(clock: Clock, isBusy: () => boolean) {
    this.#clock = clock;
    this.#isBusy = isBusy;
  }

  /** `find` does all it does before it returns. Rejects with Problem `overloaded`. */
  async look<T>(find: () => T): Promise<T> {
    if (!this.#isBusy()) return find();
    if (this.#waiting >= WAITING_MAX) {
      throw new Problem(
        "overloaded",
        `${WAITING_MAX} lists are waiting for their turn: ask again in a moment`,
      );
    }
    this.#waiting += 1;
    try {
      return await this.#inTurn(find);
    } finally {
      this.#waiting -= 1;
    }
  }

  #inTurn<T>(find: () => T): Promise<T> {
    let tookMs = 0;
    const found = this.#lastLook.then(() => {
      const begunMono = this.#clock.mono();
      try {
        return find();
      } finally {
        tookMs = this.#clock.mono() - begunMono;
      }
    });
    const rest = () => pause(tookMs * REST, undefined, { ref: false });
    this.#lastLook = found.then(rest, rest);
    return found;
  }
}
