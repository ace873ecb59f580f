import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Fold } from "./fold.ts";
import type { Hot } from "./hot.ts";

/** Lists are read from the log, so what has changed is folded first: at once if it is little... */
const READ_ROWS_MAX = 2_000;
/** ...otherwise so long after the last such fold, for each writes a page of every lane that has traffic. */
const READ_PAUSE_MS = 500;
/** Then readers look one after the other, with a rest in times of what each look took: a tenth of the thread. */
const READ_REST = 9;

/** Folds on behalf of those who wait for it, one slice a turn for all of them; commits go on in between. Keeps readers few. */
export class FoldTurns {
  readonly #fold: Fold;
  readonly #hot: Hot;
  readonly #clock: Clock;
  readonly #slice: () => void;
  #turn: Promise<void> | null = null;
  #pause: Promise<void> | null = null;
  /** The last of the readers that take turns, and its rest. */
  #lastLook: Promise<void> = Promise.resolve();

  /** `slice`: begins a fold where none is under way, and does one slice of it in a transaction of its own. */
  constructor(fold: Fold, hot: Hot, clock: Clock, slice: () => void) {
    this.#fold = fold;
    this.#hot = hot;
    this.#clock = clock;
    this.#slice = slice;
  }

  /** Until everything that has changed up to now is in the log. */
  async all(): Promise<void> {
    const covering = this.#fold.coveringGeneration;
    while (this.#fold.completedGeneration < covering) {
      this.#turn ??= this.#oneTurn();
      await this.#turn;
    }
  }

  /**
   * Looks at the log when all is there; while much changes, not too often, and in turn. On a full disk a list shows all but
   * the last moments, rather than nothing.
   */
  async read<T>(look: () => T): Promise<T> {
    const isMuch = this.#hot.dirtyCount > READ_ROWS_MAX;
    try {
      if (isMuch && this.#pause) await this.#pause;
      await this.all();
      if (isMuch) this.#pause ??= this.#endPause();
    } catch (error) {
      if (!(error instanceof Problem && error.code === "disk_full")) throw error;
    }
    return isMuch ? this.#inTurn(look) : look();
  }

  #inTurn<T>(look: () => T): Promise<T> {
    let tookMs = 0;
    const found = this.#lastLook.then(() => {
      const begunMono = this.#clock.mono();
      try {
        return look();
      } finally {
        tookMs = this.#clock.mono() - begunMono;
      }
    });
    const rest = () => pause(tookMs * READ_REST, undefined, { ref: false });
    this.#lastLook = found.then(rest, rest);
    return found;
  }

  async #oneTurn(): Promise<void> {
    try {
      this.#slice();
      await turn();
    } finally {
      this.#turn = null;
    }
  }

  async #endPause(): Promise<void> {
    await pause(READ_PAUSE_MS, undefined, { ref: false });
    this.#pause = null;
  }
}
