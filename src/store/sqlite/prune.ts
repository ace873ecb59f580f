import { seqAtTime, type WebhookId } from "../../domain/ids.ts";
import type { PruneBounds } from "../port.ts";
import type { Db, Statement } from "./database.ts";
import type { Fold } from "./fold.ts";
import { DEAD, type Hot, NO_SLOT, SUCCESS, slotOf } from "./hot.ts";
import type { Removed, Remover } from "./remover.ts";
import { Tally, TallyMoves } from "./tally.ts";

interface Walked {
  readonly id: number;
  readonly webhook: number;
  readonly status: number | null;
  readonly completed_at: number | null;
}

interface Ended extends Removed {
  readonly status: number;
  readonly reason: number | null;
  readonly completed_at: number;
}

/** What a slice found of one kind, and where the next one goes on. */
interface Found<T, Cursor> {
  readonly ended: readonly T[];
  readonly hasMore: boolean;
  readonly next: Cursor;
}

export interface Pruned {
  readonly deleted: number;
  readonly hasMore: boolean;
  /** To be called when the transaction has committed. */
  readonly confirm: () => void;
}

/** Rows looked at for each that may be deleted: those that stay are passed by. */
const EXAMINED_PER_DELETED = 4;
const TOMBSTONES_PER_SLICE = 50;
const JOBS_PER_SLICE = 50;
const FIRST_TOMBSTONE = { deletedAt: -1, id: -1 };

/**
 * Retention. Rows were inserted in order of time, so old successes are at the journal's beginning: a cursor walks
 * over them once, in slices. What was open then and succeeded later is noted in `late`. The dead and the tombstones
 * are walked over again and again: their cursors are in memory alone, and begin anew at the end.
 */
export class Prune {
  readonly #fold: Fold;
  readonly #hot: Hot;
  readonly #remover: Remover;
  readonly #tally: Tally;
  readonly #walk: Statement;
  readonly #lates: Statement;
  readonly #dropLate: Statement;
  readonly #failed: Statement;
  readonly #tombstones: Statement;
  readonly #dropTombstone: Statement;
  readonly #dropLane: Statement;
  readonly #dropJobs: Statement;
  readonly #putSetting: Statement;
  #deadAfter = 0;
  #tombstoneAfter = FIRST_TOMBSTONE;

  constructor(db: Db, hot: Hot, fold: Fold, remover: Remover) {
    this.#hot = hot;
    this.#fold = fold;
    this.#remover = remover;
    this.#tally = new Tally(db);
    this.#walk = db.prepare(
      `select j.id, j.webhook, l.status, l.completed_at from journal j
       left join log l on l.webhook = j.webhook and l.id = j.id
       where j.id >= ? and j.id < ? order by j.id limit ?`,
    );
    this.#lates = db.prepare(
      `select t.id, t.webhook, l.status, l.completed_at from late t
       left join log l on l.webhook = t.webhook and l.id = t.id where t.completed_at < ? limit ?`,
    );
    this.#dropLate = db.prepare("delete from late where id = ?");
    this.#failed = db.prepare(
      `select id, webhook, status, reason, completed_at from log indexed by log_failed where (status = 1 or status = 3)
       and id > ? and id < ? order by id limit ?`,
    );
    this.#tombstones = db.prepare(
      `select w.id, w.deleted_at, not exists (select 1 from log where webhook = w.id) as is_bare from webhook w
       where w.deleted_at < ? and (w.deleted_at, w.id) > (?, ?) order by w.deleted_at, w.id limit ?`,
    );
    this.#dropTombstone = db.prepare("delete from webhook where id = ?");
    this.#dropLane = db.prepare("delete from lane where webhook = ?");
    this.#dropJobs = db.prepare(
      "delete from job where id in (select id from job where is_running = 0 and id < ? order by id limit ?)",
    );
    this.#putSetting = db.prepare("insert or replace into setting values ('pruned_below', ?)");
    const stored = db.prepare("select value from setting where name = 'pruned_below'").pluck().get();
    fold.prunedBelow = Number(stored ?? 0);
  }

  /** One slice, inside the caller's transaction. `foldedUpTo`: the fold's mark, up to which the log is complete. */
  slice(bounds: PruneBounds, limit: number, foldedUpTo: number): Pruned {
    const successes = this.#takeSuccesses(bounds.successBefore, limit, foldedUpTo);
    const lates = this.#takeLates(bounds.successBefore, limit);
    const dead = this.#takeDead(bounds.deadBefore, limit);
    this.#remover.remove([...successes.ended, ...lates.ended, ...dead.ended]);
    const moves = new TallyMoves();
    for (const { webhook, reason } of dead.ended) moves.move(webhook, slotOf(DEAD, reason), NO_SLOT);
    this.#tally.write(moves);
    const tombstones = this.#dropTombstones(bounds.successBefore);
    this.#dropJobs.run(seqAtTime(bounds.deadBefore), JOBS_PER_SLICE);
    return {
      deleted: successes.ended.length + lates.ended.length + dead.ended.length,
      hasMore: successes.hasMore || lates.hasMore || dead.hasMore || tombstones.hasMore,
      confirm: () => {
        this.#fold.prunedBelow = successes.next;
        this.#deadAfter = dead.next;
        this.#tombstoneAfter = tombstones.next;
      },
    };
  }

  #takeSuccesses(before: number, limit: number, foldedUpTo: number): Found<Removed, number> {
    const examinedMax = limit * EXAMINED_PER_DELETED;
    const bound = Math.min(seqAtTime(before), foldedUpTo + 1);
    const rows = this.#walk.all(this.#fold.prunedBelow, bound, examinedMax) as Walked[];
    const ended: Removed[] = [];
    let next = this.#fold.prunedBelow;
    for (const row of rows) {
      if (ended.length === limit) break;
      next = row.id + 1;
      if (row.status !== SUCCESS) continue;
      const completedAt = row.completed_at ?? 0;
      if (completedAt < before) ended.push({ id: row.id, webhook: row.webhook });
      else this.#fold.noteLate(row.id, row.webhook, completedAt);
    }
    if (next !== this.#fold.prunedBelow) this.#putSetting.run(String(next));
    return { ended, hasMore: ended.length === limit || rows.length === examinedMax, next };
  }

  /** A delivery that was replayed since it was noted stays; if it succeeds again, it is noted again. */
  #takeLates(before: number, limit: number): Found<Removed, null> {
    const rows = this.#lates.all(before, limit) as Walked[];
    for (const { id } of rows) this.#dropLate.run(id);
    const ended = rows.filter((row) => row.status === SUCCESS && (row.completed_at ?? 0) < before);
    return { ended, hasMore: rows.length === limit, next: null };
  }

  #takeDead(before: number, limit: number): Found<Ended, number> {
    const examinedMax = limit * EXAMINED_PER_DELETED;
    const rows = this.#failed.all(this.#deadAfter, seqAtTime(before), examinedMax) as Ended[];
    const old = rows.filter((row) => row.status === DEAD && row.completed_at < before);
    const ended = old.slice(0, limit);
    const last = old.length > limit ? ended.at(-1) : rows.length === examinedMax ? rows.at(-1) : undefined;
    return { ended, hasMore: last !== undefined, next: last?.id ?? 0 };
  }

  #dropTombstones(before: number): { hasMore: boolean; next: typeof FIRST_TOMBSTONE } {
    const { deletedAt, id } = this.#tombstoneAfter;
    const rows = this.#tombstones.all(before, deletedAt, id, TOMBSTONES_PER_SLICE) as {
      id: WebhookId;
      deleted_at: number;
      is_bare: number;
    }[];
    const bare = rows.filter((row) => row.is_bare === 1);
    // A delivery may not be in the log yet.
    const held = new Set(bare.length === 0 ? [] : [...this.#hot.rows.values()].map((row) => row.webhookId));
    for (const row of bare) {
      if (held.has(row.id)) continue;
      this.#dropTombstone.run(row.id);
      this.#dropLane.run(row.id);
    }
    const last = rows.length === TOMBSTONES_PER_SLICE ? rows.at(-1) : undefined;
    return last
      ? { hasMore: true, next: { deletedAt: last.deleted_at, id: last.id } }
      : { hasMore: false, next: FIRST_TOMBSTONE };
  }
}
