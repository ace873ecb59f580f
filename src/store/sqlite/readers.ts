import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../../lib/clock.ts";

/** A reader's rest in times of what its look took: together they have a tenth of the thread. */
const REST = 9;

/** While there is traffic, those that read lists look one after the other, with rests. However many they are, commits go on. */
export class Readers {
  readonly #clock: Clock;
  readonly #isBusy: () => boolean;
  /** The last of those in the queue, and its rest. */
  #lastLook: Promise<void> = Promise.resolve();

  constructor(clock: Clock, isBusy: () => boolean) {
    this.#clock = clock;
    this.#isBusy = isBusy;
  }

  async look<T>(find: () => T): Promise<T> {
    return this.#isBusy() ? this.#inTurn(find) : find();
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
