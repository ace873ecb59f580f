import { seqAtTime } from "../../domain/ids.ts";
import type { PruneBounds } from "../port.ts";
import type { Db, Statement } from "./database.ts";
import type { Fold } from "./fold.ts";
import { DEAD, NO_SLOT, SUCCESS, slotOf } from "./hot.ts";
import { type Removed, Remover } from "./remover.ts";
import { Tally, TallyMoves } from "./tally.ts";

interface Walked {
  readonly id: number;
  readonly webhook: number;
  readonly status: number | null;
  readonly completed_at: number | null;
}

export interface Pruned {
  readonly deleted: number;
  readonly hasMore: boolean;
  /** To be called when the transaction has committed. */
  readonly confirm: () => void;
}

/** Journal rows looked at for each that may be deleted: open and dead ones are passed by. */
const EXAMINED_PER_DELETED = 4;
const TOMBSTONES_PER_SLICE = 20;

/**
 * Retention. Rows were inserted in order of time, so old successes are at the journal's beginning: a cursor walks
 * over them once, in slices. What was open then and succeeded later is noted in `late`; the dead have an index.
 */
export class Prune {
  readonly #fold: Fold;
  readonly #remover: Remover;
  readonly #tally: Tally;
  readonly #walk: Statement;
  readonly #lates: Statement;
  readonly #dropLate: Statement;
  readonly #dead: Statement;
  readonly #dropTombstones: Statement;
  readonly #putSetting: Statement;

  constructor(db: Db, fold: Fold) {
    this.#fold = fold;
    this.#remover = new Remover(db);
    this.#tally = new Tally(db);
    this.#walk = db.prepare(
      `select j.id, j.webhook, l.status, l.completed_at from journal j
       left join log l on l.webhook = j.webhook and l.id = j.id
       where j.id >= ? and j.id < ? order by j.id limit ?`,
    );
    this.#lates = db.prepare("select id, webhook from late where completed_at < ? limit ?");
    this.#dropLate = db.prepare("delete from late where id = ?");
    this.#dead = db.prepare(
      `select id, webhook, reason from log where (status = 1 or status = 3) and status = 3 and id < ?
       and completed_at < ? order by id limit ?`,
    );
    this.#dropTombstones = db.prepare(
      `delete from webhook where id in (
         select w.id from webhook w where w.deleted_at < ?
         and not exists (select 1 from log where webhook = w.id) limit ?)`,
    );
    this.#putSetting = db.prepare("insert or replace into setting values ('pruned_below', ?)");
    const stored = db.prepare("select value from setting where name = 'pruned_below'").pluck().get();
    fold.prunedBelow = Number(stored ?? 0);
  }

  /** One slice, inside the caller's transaction. `foldedUpTo`: the fold's mark, behind which the log is complete. */
  slice(bounds: PruneBounds, limit: number, foldedUpTo: number): Pruned {
    const walked = this.#takeSuccesses(bounds.successBefore, limit, foldedUpTo);
    const lates = this.#lates.all(bounds.successBefore, limit) as Removed[];
    for (const { id } of lates) this.#dropLate.run(id);
    const dead = this.#dead.all(seqAtTime(bounds.deadBefore), bounds.deadBefore, limit) as (Removed & {
      reason: number | null;
    })[];
    this.#remover.remove([...walked.ended, ...lates, ...dead]);
    const moves = new TallyMoves();
    for (const { webhook, reason } of dead) moves.move(webhook, slotOf(DEAD, reason), NO_SLOT);
    this.#tally.write(moves);
    this.#dropTombstones.run(bounds.successBefore, TOMBSTONES_PER_SLICE);
    return {
      deleted: walked.ended.length + lates.length + dead.length,
      hasMore: walked.hasMore || lates.length === limit || dead.length === limit,
      confirm: () => {
        this.#fold.prunedBelow = walked.nextId;
      },
    };
  }

  #takeSuccesses(
    before: number,
    limit: number,
    foldedUpTo: number,
  ): { ended: Removed[]; hasMore: boolean; nextId: number } {
    const examinedMax = limit * EXAMINED_PER_DELETED;
    const bound = Math.min(seqAtTime(before), foldedUpTo);
    const rows = this.#walk.all(this.#fold.prunedBelow, bound, examinedMax) as Walked[];
    const ended: Removed[] = [];
    let nextId = this.#fold.prunedBelow;
    for (const row of rows) {
      if (ended.length === limit) break;
      nextId = row.id + 1;
      if (row.status !== SUCCESS) continue;
      const completedAt = row.completed_at ?? 0;
      if (completedAt < before) ended.push({ id: row.id, webhook: row.webhook });
      else this.#fold.noteLate(row.id, row.webhook, completedAt);
    }
    if (nextId !== this.#fold.prunedBelow) this.#putSetting.run(String(nextId));
    return { ended, hasMore: ended.length === limit || rows.length === examinedMax, nextId };
  }
}
