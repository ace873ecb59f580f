import type { EndedDelivery } from "../../domain/delivery.ts";
import { seqAtTime, type WebhookId } from "../../domain/ids.ts";
import type { PruneBounds } from "../port.ts";
import type { Db, Statement } from "./connection.ts";
import { ENDED_BYTES_MAX, EndedReader, type Walked } from "./ended.ts";
import type { Fold } from "./fold.ts";
import { DEAD, type Hot, NO_SLOT, SUCCESS, slotOf } from "./hot.ts";
import type { Journal } from "./journal.ts";
import type { Removed, Remover } from "./remover.ts";
import { Sweep, type Swept } from "./sweep.ts";
import { Tally, TallyMoves } from "./tally.ts";
import type { Webhooks } from "./webhooks.ts";

interface Ended extends Removed {
  readonly status: number;
  readonly reason: number | null;
  readonly completed_at: number;
}

/** What goes by itself, and not in a range. */
interface Apart {
  /** Rows of `late` that are due, whether or not their deliveries still are successes. */
  readonly lates: readonly number[];
  readonly late: readonly Removed[];
  readonly dead: readonly Ended[];
  readonly deadNext: number;
  readonly hasMore: boolean;
}

/** What a slice has found, before anything is deleted. */
export interface Found extends Apart {
  readonly bounds: PruneBounds;
  /** What cold storage keeps of all that will go; null: nothing was asked for. */
  readonly ended: readonly EndedDelivery[] | null;
  readonly walked: Omit<Walked, "ended">;
}

export interface PruneParts {
  readonly hot: Hot;
  readonly fold: Fold;
  readonly journal: Journal;
  readonly webhooks: Webhooks;
  readonly remover: Remover;
}

/** Rows looked at for each that may be deleted: those that stay are passed by. */
const EXAMINED_PER_DELETED = 4;
const TOMBSTONES_PER_SLICE = 50;
const JOBS_PER_SLICE = 50;
const FIRST_TOMBSTONE = { deletedAt: -1, id: -1 };

/**
 * Retention. Rows were inserted in order of time, so old successes are at the journal's beginning, and go in ranges
 * (sweep.ts) below a mark that moves on. With cold storage the mark moves as the successes are kept there; without, it
 * is the bound. A success that comes below the mark, or was too young when the mark passed by, is noted in `late`, and
 * goes by itself. The dead and the tombstones are walked over again and again: their cursors are in memory alone, and
 * begin anew at the end.
 */
export class Prune {
  readonly #fold: Fold;
  readonly #hot: Hot;
  readonly #remover: Remover;
  readonly #reader: EndedReader;
  readonly #sweep: Sweep;
  readonly #tally: Tally;
  readonly #lates: Statement;
  readonly #dropLate: Statement;
  readonly #failed: Statement;
  readonly #tombstones: Statement;
  readonly #dropTombstone: Statement;
  readonly #dropLane: Statement;
  readonly #dropJobs: Statement;
  readonly #putSetting: Statement;
  /** Every success below is in cold storage, or in `late`, or goes without being kept. */
  #markedBelow: number;
  #deadAfter = 0;
  #tombstoneAfter = FIRST_TOMBSTONE;

  constructor(db: Db, parts: PruneParts) {
    this.#hot = parts.hot;
    this.#fold = parts.fold;
    this.#remover = parts.remover;
    this.#reader = new EndedReader(db, parts.journal, parts.webhooks);
    this.#tally = new Tally(db);
    this.#lates = db.prepare(
      `select t.id, t.webhook, l.status, l.reason, l.completed_at from late t
       left join log l on l.webhook = t.webhook and l.id = t.id where t.completed_at < ? limit ?`,
    );
    this.#dropLate = db.prepare("delete from late where id = ? and completed_at < ?");
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
    const stored = db.pluck("select value from setting where name = ?");
    this.#markedBelow = Number(stored.get("pruned_below") ?? 0);
    this.#fold.prunedBelow = this.#markedBelow;
    this.#sweep = new Sweep(db, parts.remover, Number(stored.get("swept_below") ?? 0));
  }

  /**
   * What the next slice deletes, or keeps and marks. Changes nothing but that later successes are noted from here on.
   * `foldedUpTo`: the fold's mark, up to which the log is complete.
   */
  find(bounds: PruneBounds, limit: number, foldedUpTo: number, isKept: boolean): Found {
    const below = Math.max(this.#markedBelow, Math.min(seqAtTime(bounds.successBefore), foldedUpTo + 1));
    const walked = isKept
      ? this.#reader.walk(this.#markedBelow, below, bounds.successBefore, limit)
      : { ended: [], young: [], next: below, hasMore: false };
    this.#fold.prunedBelow = Math.max(this.#fold.prunedBelow, walked.next);
    const apart = this.#findApart(bounds, limit);
    if (!isKept) return { ...apart, bounds, ended: null, walked };
    const { read, part } = this.#readApart(apart);
    const ended = [...walked.ended, ...read];
    return { ...part, bounds, ended, walked, hasMore: walked.hasMore || part.hasMore };
  }

  /** What goes by itself: late successes, and the dead. */
  #findApart(bounds: PruneBounds, limit: number): Apart {
    const lates = this.#lates.all(bounds.successBefore, limit) as Ended[];
    const late = lates.filter((row) => row.status === SUCCESS && row.completed_at < bounds.successBefore);
    const { dead, next } = this.#findDead(bounds.deadBefore, limit);
    const hasMore = lates.length === limit || next !== 0;
    return { lates: lates.map(({ id }) => id), late, dead, deadNext: next, hasMore };
  }

  /** As much of it as fits into memory, with what cold storage keeps. */
  #readApart(apart: Apart): { read: EndedDelivery[]; part: Apart } {
    const read: EndedDelivery[] = [];
    let bytes = 0;
    const take = ({ id, webhook }: Removed): boolean => {
      if (bytes >= ENDED_BYTES_MAX) return false;
      const one = this.#reader.read(id, webhook);
      if (one) read.push(one);
      bytes += one?.payload.length ?? 0;
      return true;
    };
    const late = apart.late.filter(take);
    const dead = apart.dead.filter(take);
    if (late.length === apart.late.length && dead.length === apart.dead.length) return { read, part: apart };
    const left = new Set(apart.late.slice(late.length).map(({ id }) => id));
    const lates = apart.lates.filter((id) => !left.has(id));
    const deadNext =
      dead.length === apart.dead.length ? apart.deadNext : (dead.at(-1)?.id ?? this.#deadAfter);
    return { read, part: { lates, late, dead, deadNext, hasMore: true } };
  }

  /** One slice, inside the caller's transaction. What has changed since it was found stays. */
  slice(found: Found, limit: number): Swept {
    const { bounds, walked } = found;
    const unchanged = this.#unchangedOf(found);
    const late = found.late.filter(unchanged);
    const dead = found.dead.filter(unchanged);
    for (const { id, webhook, completedAt } of walked.young) this.#fold.noteLate(id, webhook, completedAt);
    for (const id of found.lates) this.#dropLate.run(id, bounds.successBefore);
    this.#remover.remove([...late, ...dead]);
    const moves = new TallyMoves();
    for (const { webhook, reason } of dead) moves.move(webhook, slotOf(DEAD, reason), NO_SLOT);
    this.#tally.write(moves);
    if (walked.next !== this.#markedBelow) this.#putSetting.run(String(walked.next));
    const swept = this.#sweep.slice(limit, {
      below: walked.next,
      endedBefore: bounds.successBefore,
      isShortAllowed: !walked.hasMore,
    });
    const tombstones = this.#dropTombstones(bounds.successBefore);
    this.#dropJobs.run(seqAtTime(bounds.deadBefore), JOBS_PER_SLICE);
    return {
      deleted: swept.deleted + late.length + dead.length,
      hasMore: found.hasMore || swept.hasMore || tombstones.hasMore,
      confirm: () => {
        this.#markedBelow = walked.next;
        swept.confirm();
        this.#deadAfter = found.deadNext;
        this.#tombstoneAfter = tombstones.next;
      },
    };
  }

  /** Whether a row is still as it was found: between the two, cold storage may have taken its time. */
  #unchangedOf({ ended }: Found): (row: Removed) => boolean {
    if (ended === null) return () => true;
    const kept = new Map<number, EndedDelivery>(ended.map((one) => [one.id, one]));
    return ({ id }) => {
      const one = kept.get(id);
      return one !== undefined && this.#reader.isSame(one);
    };
  }

  #findDead(before: number, limit: number): { dead: Ended[]; next: number } {
    const examinedMax = limit * EXAMINED_PER_DELETED;
    const rows = this.#failed.all(this.#deadAfter, seqAtTime(before), examinedMax) as Ended[];
    const old = rows.filter((row) => row.status === DEAD && row.completed_at < before);
    const dead = old.slice(0, limit);
    const last = old.length > limit ? dead.at(-1) : rows.length === examinedMax ? rows.at(-1) : undefined;
    return { dead, next: last?.id ?? 0 };
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
