import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../lib/clock.ts";
import type { Fold } from "./fold.ts";

/**
 * Rows and uids that a commit folds at most for each event and outcome of its own, however many it has. An event that only
 * waits makes up to four steps: its row, its uid (two), and leaving memory. With less what is hot would grow.
 */
const PER_EVENT = 5;
const IN_COMMIT_MIN = 64;
/** A quiet moment's slice: some 2 ms. */
const IDLE = 500;

export interface FoldTurnsParts {
  readonly fold: Fold;
  readonly clock: Clock;
  /** How far the journal is now. */
  readonly mark: () => { journalId: number; settleSeq: number };
  readonly transaction: <T>(work: () => T) => T;
  /** So many rows in each slice, and at once. For tests. */
  readonly sliceRows: number | undefined;
}

/** When the fold's slices are done: inside commits, in quiet moments, and at once for those who wait for all of it. */
export class FoldTurns {
  readonly #parts: FoldTurnsParts;
  #turn: Promise<void> | null = null;

  constructor(parts: FoldTurnsParts) {
    this.#parts = parts;
  }

  /** Inside the transaction of a commit of so many events and outcomes. Call what it returns once that has committed. */
  inCommit(events: number, now: number): (() => void) | null {
    return this.#parts.fold.isDue(now) ? this.#owed(Math.max(IN_COMMIT_MIN, events * PER_EVENT)) : null;
  }

  /** A slice in a transaction of its own, if one is due. True when there is more to do by now. */
  idle(): boolean {
    const { fold, clock, transaction } = this.#parts;
    if (!fold.isDue(clock.now())) return false;
    transaction(() => this.#owed(IDLE))?.();
    return this.#owedRows() > 0;
  }

  /** Until everything that has changed up to now is in the log; commits go on between the slices. */
  async all(): Promise<void> {
    const { fold } = this.#parts;
    const covering = fold.coveringGeneration;
    while (fold.completedGeneration < covering) {
      this.#turn ??= this.#oneTurn();
      await this.#turn;
    }
  }

  async #oneTurn(): Promise<void> {
    const { fold, sliceRows, transaction } = this.#parts;
    try {
      // First: what throws before anybody could wait for this would be kept as the turn of all who come later.
      await turn();
      const confirm = transaction(() => {
        this.#begin();
        return fold.slice(sliceRows ?? IDLE);
      });
      confirm();
    } finally {
      this.#turn = null;
    }
  }

  #begin(): void {
    const { fold, clock, mark } = this.#parts;
    fold.begin(mark(), clock.now(), clock.mono());
  }

  /** What the fold is behind, of that `limit` at most; null where that is nothing. */
  #owed(limit: number): (() => void) | null {
    this.#begin();
    const rows = this.#owedRows();
    return rows > 0 ? this.#parts.fold.slice(Math.min(rows, limit)) : null;
  }

  #owedRows(): number {
    const { fold, clock, sliceRows } = this.#parts;
    if (fold.isIdle) return 0;
    return sliceRows ?? fold.owed(clock.mono());
  }
}
