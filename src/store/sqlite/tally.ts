import type { Db, Plucked, Statement } from "./connection.ts";
import { NO_SLOT } from "./hot.ts";

/** The kept counts of open and dead deliveries by webhook. Moves are gathered, then written in the caller's transaction. */
export class Tally {
  readonly #upsert: Plucked;
  readonly #drop: Statement;

  constructor(db: Db) {
    this.#upsert = db.pluck(
      "insert into tally values (?, ?, ?) on conflict(slot, webhook) do update set n = n + excluded.n returning n",
    );
    this.#drop = db.prepare("delete from tally where slot = ? and webhook = ?");
  }

  write(moves: TallyMoves): void {
    for (const { slot, webhook, n } of moves.changes()) {
      if (Number(this.#upsert.get(slot, webhook, n)) <= 0) this.#drop.run(slot, webhook);
    }
  }
}

/** How the counts change: each delivery moves from one slot to another, or to none. */
export class TallyMoves {
  readonly #changes = new Map<string, { slot: number; webhook: number; n: number }>();

  move(webhook: number, from: number, to: number): void {
    if (from === to) return;
    if (from !== NO_SLOT) this.#add(webhook, from, -1);
    if (to !== NO_SLOT) this.#add(webhook, to, 1);
  }

  changes(): { slot: number; webhook: number; n: number }[] {
    return [...this.#changes.values()].filter((change) => change.n !== 0);
  }

  #add(webhook: number, slot: number, n: number): void {
    const key = `${slot}/${webhook}`;
    const change = this.#changes.get(key);
    if (change) change.n += n;
    else this.#changes.set(key, { slot, webhook, n });
  }
}
