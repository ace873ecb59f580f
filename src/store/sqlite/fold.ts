import { ATTEMPT_ERRORS, VERDICTS } from "../../domain/delivery.ts";
import type { WebhookId } from "../../domain/ids.ts";
import type { Db, Statement } from "./connection.ts";
import { FoldPace } from "./fold-pace.ts";
import { type Hot, type HotRow, NO_ATTEMPTS, SUCCESS, slotOf } from "./hot.ts";
import { Tally, TallyMoves } from "./tally.ts";
import type { UidMemory } from "./uids.ts";

/** A fold begins when so many deliveries have changed... */
const FOLD_ROWS_MAX = 40_000;
/** What a uid takes, with those that are carried on for it (uid-trees.ts), in steps of a row. */
const UID_STEPS = 2;
/** ...or when the oldest change is so old: the more rows a page of the log takes at once, the less is written. */
const FOLD_AGE_MS = 3_000;

interface Work {
  /** By webhook. */
  readonly lanes: readonly FoldingLane[];
  /** Everything up to here is in the log once the rows are written. */
  readonly mark: { readonly journalId: number; readonly settleSeq: number };
  /** Lane and row that come next. */
  at: Place;
  isWritten: boolean;
  readonly since: number | null;
  readonly pace: FoldPace;
}

interface FoldingLane {
  readonly webhookId: WebhookId;
  readonly rows: HotRow[];
}

interface Place {
  readonly lane: number;
  readonly row: number;
}

export interface FoldListener {
  /** Open rows of a lane that are in the log's queues from now on, and in memory no more. */
  queued(webhookId: WebhookId, rows: readonly HotRow[]): void;
  /** Every few seconds while there is traffic. */
  ended(): void;
}

const BEGINNING: Place = { lane: 0, row: 0 };

/**
 * Writes what the journal gathered into the log, sorted by webhook, so that neighbours share pages: the hot path
 * touches no index, and the log costs a fraction of what keeping it in place does (docs/decisions/0001).
 *
 *   idle --begin: rows changed or aged--> writing --slice by slice, inside commits--> settling, mark advanced
 *   settling --slice by slice: rows leave memory--> idle
 *
 * A crash in the middle leaves the old mark: the same rows are read from the journal and written again, to the same
 * values. The tally moves with each slice, so it always equals the log.
 */
export class Fold {
  readonly #db: Db;
  readonly #hot: Hot;
  readonly #uids: UidMemory;
  readonly #writeLog: Statement;
  readonly #writeFirstSuccess: Statement;
  readonly #writeAttempt: Statement;
  readonly #writeLate: Statement;
  readonly #tally: Tally;
  readonly #advance: Statement;
  readonly #dropSettled: Statement;
  #work: Work | null = null;
  #generation = 0;
  /** Prune has passed by all ids below; later successes among them are noted for it. */
  prunedBelow = 0;
  /** Every delivery with an id up to this one is in the log. */
  foldedUpTo = 0;
  readonly #listener: FoldListener;

  constructor(db: Db, hot: Hot, uids: UidMemory, listener: FoldListener) {
    this.#db = db;
    this.#hot = hot;
    this.#uids = uids;
    this.#listener = listener;
    this.#writeLog = db.prepare("insert or replace into log values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    // Each bound value costs as much as a column: nearly all rows are successes of a first attempt.
    this.#writeFirstSuccess = db.prepare(
      `insert or replace into log values (?, ?, ${SUCCESS}, null, 1, 0, null, ?, ?, ?, null, ?, ?)`,
    );
    this.#writeAttempt = db.prepare("insert or replace into attempt values (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#writeLate = db.prepare("insert or replace into late values (?, ?, ?)");
    this.#tally = new Tally(db);
    this.#advance = db.prepare("update fold set journal_id = ?, settle_seq = ?");
    this.#dropSettled = db.prepare("delete from settle where seq <= ?");
  }

  /** Whether a slice would do something now. */
  isDue(now: number): boolean {
    if (this.#work) return true;
    const since = this.#hot.dirtySince;
    return (
      since !== null && (this.#hot.dirtyCount >= FOLD_ROWS_MAX || now - since >= FOLD_AGE_MS || now < since)
    );
  }

  /** Wall clock of the oldest change that may not be in the log yet; null when all are. */
  get unfoldedSince(): number | null {
    return this.#work?.since ?? this.#hot.dirtySince;
  }

  get isIdle(): boolean {
    return this.#work === null;
  }

  /** The number of the fold that will have written all that has changed so far. */
  get coveringGeneration(): number {
    return this.#generation + (this.#hot.dirtyCount > 0 || this.#uids.hasFresh ? 1 : 0);
  }

  /** The last fold that is complete. */
  get completedGeneration(): number {
    return this.#work ? this.#generation - 1 : this.#generation;
  }

  begin(mark: { journalId: number; settleSeq: number }, now: number, nowMono: number): void {
    if (this.#work) return;
    const since = this.#hot.dirtySince;
    // Each row is written, and later leaves memory.
    const steps = 2 * this.#hot.dirtyCount + UID_STEPS * this.#uids.freshCount;
    const gatheredMs = Math.min(now - (since ?? now), FOLD_AGE_MS);
    const dirty = this.#hot.takeDirty();
    const lanes: FoldingLane[] = [];
    for (const id of Float64Array.from(dirty.keys()).sort()) {
      const webhookId = id as WebhookId;
      lanes.push({ webhookId, rows: dirty.get(webhookId) ?? [] });
    }
    this.#uids.freeze();
    this.#generation += 1;
    this.#work = {
      lanes,
      mark,
      at: BEGINNING,
      isWritten: false,
      since,
      pace: new FoldPace(steps, gatheredMs, nowMono),
    };
  }

  /** Steps that should be done by now and are not; 0 also when there is no fold. */
  owed(nowMono: number): number {
    return this.#work?.pace.owed(nowMono, this.#hot.dirtyCount / FOLD_ROWS_MAX) ?? 0;
  }

  /**
   * Writes up to `limit` rows and uids inside the caller's transaction. Call the returned function when it has committed; if
   * it was rolled back, don't, and the slice is done again.
   */
  slice(limit: number): () => void {
    const work = this.#work;
    if (!work) return nothing;
    return work.isWritten ? () => this.#settleSlice(work, limit) : this.#writeSlice(work, limit);
  }

  #writeSlice(work: Work, limit: number): () => void {
    const { rows, next } = rowsFrom(work.lanes, work.at, limit);
    const moves = new TallyMoves();
    for (const row of rows) {
      this.#writeRow(row);
      moves.move(row.webhookId, row.slot, slotOf(row.status, row.reason));
    }
    this.#tally.write(moves);
    const uidsLimit = Math.ceil((limit - rows.length) / UID_STEPS);
    const uids = Math.min(uidsLimit, this.#uids.frozenCount);
    const confirmUids = this.#uids.foldSlice(uidsLimit);
    const isLast = next.lane === work.lanes.length && this.#uids.isFoldedAfter(uidsLimit);
    if (isLast) {
      this.#advance.run(work.mark.journalId, work.mark.settleSeq);
      this.#dropSettled.run(work.mark.settleSeq);
    }
    return () => {
      for (const row of rows) {
        row.slot = slotOf(row.status, row.reason);
        row.unwritten = NO_ATTEMPTS;
      }
      work.at = isLast ? BEGINNING : next;
      work.isWritten = isLast;
      confirmUids();
      work.pace.did(rows.length + UID_STEPS * uids);
      if (!isLast) return;
      this.foldedUpTo = work.mark.journalId;
      this.#hot.foldWritten();
    };
  }

  #settleSlice(work: Work, limit: number): void {
    let lane = work.at.lane;
    let settled = 0;
    for (; settled < limit && lane < work.lanes.length; lane += 1) {
      const { webhookId, rows } = work.lanes[lane] as FoldingLane;
      this.#listener.queued(webhookId, this.#hot.settleFolded(webhookId, rows));
      settled += rows.length;
    }
    work.at = { lane, row: 0 };
    work.pace.did(settled);
    if (lane < work.lanes.length) return;
    this.#hot.foldEnded();
    this.#work = null;
    this.#listener.ended();
  }

  /** A success that prune has passed by already: its second round finds it. */
  noteLate(id: number, webhook: number, completedAt: number): void {
    this.#writeLate.run(id, webhook, completedAt);
  }

  /** Slices in transactions of their own until all that has changed is written. For start and stop. */
  finish(mark: () => { journalId: number; settleSeq: number }): void {
    while (this.#work || this.#hot.dirtyCount > 0 || this.#uids.hasFresh) {
      this.begin(mark(), 0, 0);
      this.#db.transaction(() => this.slice(5_000))();
    }
  }

  #writeRow(row: HotRow): void {
    if (row.status === SUCCESS && row.attemptCount === 1 && row.roundStart === 0)
      this.#writeAsFirstSuccess(row);
    else this.#writeAsItIs(row);
    if (row.status === SUCCESS && row.id < this.prunedBelow) {
      this.#writeLate.run(row.id, row.webhookId, row.completedAt);
    }
  }

  #writeAsFirstSuccess(row: HotRow): void {
    const { webhookId, id, queuedAt, completedAt, code, durationMs, excerpt } = row;
    this.#writeFirstSuccess.get(webhookId, id, queuedAt, completedAt, code, durationMs, excerpt);
  }

  #writeAsItIs(row: HotRow): void {
    this.#writeLog.run(
      row.webhookId,
      row.id,
      row.status,
      row.reason,
      row.attemptCount,
      row.roundStart,
      row.dueAt,
      row.queuedAt,
      row.completedAt,
      row.code,
      row.error,
      row.durationMs,
      row.excerpt,
    );
    for (const attempt of row.unwritten) {
      this.#writeAttempt.run(
        row.id,
        attempt.number,
        attempt.startedAt,
        Math.round(attempt.durationMs),
        VERDICTS.indexOf(attempt.verdict),
        attempt.statusCode,
        attempt.error === null ? null : ATTEMPT_ERRORS.indexOf(attempt.error),
        attempt.excerpt,
      );
    }
  }
}

/** Up to `limit` rows, in order of webhook and id, and where the next ones begin. */
function rowsFrom(
  lanes: readonly FoldingLane[],
  from: Place,
  limit: number,
): { rows: readonly HotRow[]; next: Place } {
  const rows: HotRow[] = [];
  let { lane, row } = from;
  while (lane < lanes.length && rows.length < limit) {
    const all = lanes[lane]?.rows ?? [];
    if (row === 0) all.sort(byId);
    const end = Math.min(all.length, row + limit - rows.length);
    for (; row < end; row += 1) rows.push(all[row] as HotRow);
    if (row < all.length) break;
    lane += 1;
    row = 0;
  }
  return { rows, next: { lane, row } };
}

function byId(a: HotRow, b: HotRow): number {
  return a.id - b.id;
}

function nothing(): void {}
