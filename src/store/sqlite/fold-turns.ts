import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { Problem } from "../../domain/problem.ts";
import type { Fold } from "./fold.ts";
import type { Hot } from "./hot.ts";

/** Lists are read from the log, so what has changed is folded first: at once if it is little... */
const READ_ROWS_MAX = 2_000;
/** ...otherwise so long after the last such fold, for each writes a page of every lane that has traffic. */
const READ_PAUSE_MS = 500;

/** Folds on behalf of those who wait for it, one slice a turn for all of them; commits go on in between. */
export class FoldTurns {
  readonly #fold: Fold;
  readonly #hot: Hot;
  readonly #slice: () => void;
  #turn: Promise<void> | null = null;
  #pause: Promise<void> | null = null;

  /** `slice`: begins a fold where none is under way, and does one slice of it in a transaction of its own. */
  constructor(fold: Fold, hot: Hot, slice: () => void) {
    this.#fold = fold;
    this.#hot = hot;
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

  /** The same, not too often. On a full disk a list shows all but the last moments, rather than nothing. */
  async forReading(): Promise<void> {
    try {
      const isMuch = this.#hot.dirtyCount > READ_ROWS_MAX;
      if (isMuch && this.#pause) await this.#pause;
      await this.all();
      if (isMuch) this.#pause ??= this.#endPause();
    } catch (error) {
      if (!(error instanceof Problem && error.code === "disk_full")) throw error;
    }
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
