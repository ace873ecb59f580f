import { seqAtTime, timeOfSeq } from "../../domain/ids.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { SUCCESS } from "./hot.ts";
import type { Remover } from "./remover.ts";

/** What one slice came to. */
export interface Swept {
  readonly deleted: number;
  readonly hasMore: boolean;
  /** To be called when the transaction has committed. */
  readonly confirm: () => void;
}

export interface SweepOptions {
  /** Only ids below are swept. */
  readonly below: number;
  /** Successes that ended before this go. */
  readonly endedBefore: number;
  /** Whether a span that is shorter than it may be is begun too. */
  readonly isShortAllowed: boolean;
}

/** Ids from `from` to below `to`, whose successes are on their way out. */
interface Span {
  readonly from: number;
  to: number;
  /** In ascending order once the log is done: the ids that stay. */
  stayers: number[];
  /** The log is swept up to this webhook, and in it up to this id. */
  webhook: number;
  id: number;
  isLogDone: boolean;
  /** The journal is cleared up to here. */
  journalAt: number;
}

interface Stayer {
  readonly id: number;
  readonly status: number;
  readonly completed_at: number | null;
}

/** What a long standstill left goes in spans whose end is in sight. */
const SPAN_MAX_MS = 15 * 60_000;
/** A span that leaves more behind is halved: their ids are in memory until it is over. */
const STAYERS_MAX = 50_000;
/** What a look at a webhook costs, in rows. */
const ROWS_PER_WEBHOOK = 8;

/**
 * Deletes old successes by ranges: not row by row, for each row of the log lies on another page than its neighbour in
 * time. A span of ids is first taken out of the log, webhook by webhook (there its rows are neighbours), then out of
 * journal and attempt, but for what the log still has: the dead, the open, and those in `late`.
 *
 *   none --begin--> log --the last webhook--> journal --the span's end; `swept_below` moves there--> none
 *
 * A crash in the middle begins the span again: what is gone already costs nothing, and what stays is found in the log.
 */
export class Sweep {
  readonly #remover: Remover;
  readonly #first: Plucked;
  readonly #nextWebhook: Plucked;
  readonly #logEnd: Plucked;
  readonly #dropLog: Statement;
  readonly #dropLogButLate: Statement;
  readonly #left: Statement;
  readonly #anyLate: Plucked;
  readonly #noteLate: Statement;
  readonly #journalEnd: Plucked;
  readonly #fan: Plucked;
  readonly #dropJournal: Statement;
  readonly #dropAttempts: Statement;
  readonly #putSetting: Statement;
  readonly #stayersMax: number;
  #span: Span | null = null;
  /** Below, all is gone but what stays. */
  #sweptBelow: number;

  constructor(db: Db, remover: Remover, sweptBelow: number, stayersMax = STAYERS_MAX) {
    this.#remover = remover;
    this.#stayersMax = stayersMax;
    this.#sweptBelow = sweptBelow;
    this.#first = db.pluck("select id from journal where id >= ? order by id limit 1");
    this.#nextWebhook = db.pluck("select min(webhook) from log where webhook > ?");
    this.#logEnd = db.pluck(
      "select id from log where webhook = ? and id >= ? and id < ? order by id limit 1 offset ?",
    );
    const drop =
      "delete from log where webhook = ? and id >= ? and id < ? and status = 2 and completed_at < ?";
    this.#dropLog = db.prepare(drop);
    this.#dropLogButLate = db.prepare(`${drop} and not exists (select 1 from late where late.id = log.id)`);
    this.#left = db.prepare(
      "select id, status, completed_at from log where webhook = ? and id >= ? and id < ? order by id",
    );
    this.#anyLate = db.pluck("select 1 from late where id >= ? and id < ? limit 1");
    this.#noteLate = db.prepare("insert or ignore into late values (?, ?, ?)");
    this.#journalEnd = db.pluck(
      "select id from journal where id >= ? and id < ? order by id limit 1 offset ?",
    );
    this.#fan = db.pluck(
      "select id from journal indexed by journal_fan where event is not null and id >= ? and id < ? order by id",
    );
    this.#dropJournal = db.prepare(
      "delete from journal where id >= ? and id < ? and event is null and webhook <> 0",
    );
    this.#dropAttempts = db.prepare("delete from attempt where delivery >= ? and delivery < ?");
    this.#putSetting = db.prepare("insert or replace into setting values ('swept_below', ?)");
  }

  /** Up to about `limit` rows, inside the caller's transaction. */
  slice(limit: number, options: SweepOptions): Swept {
    const span = this.#span ?? this.#begin(options);
    if (!span) return { deleted: 0, hasMore: false, confirm: () => {} };
    // A copy: a transaction that is rolled back leaves the span as it was.
    const next: Span = { ...span, stayers: [...span.stayers] };
    if (!next.isLogDone) {
      this.#sweepLog(next, limit, options.endedBefore);
      return { deleted: 0, hasMore: true, confirm: () => this.#keep(next) };
    }
    const deleted = this.#clearJournal(next, limit);
    const isOver = next.journalAt >= next.to;
    if (isOver) this.#putSetting.run(String(next.to));
    return {
      deleted,
      hasMore: !isOver || next.to < options.below,
      confirm: () => {
        this.#keep(isOver ? null : next);
        if (isOver) this.#sweptBelow = next.to;
      },
    };
  }

  #keep(span: Span | null): void {
    this.#span = span;
  }

  #begin({ below, isShortAllowed }: SweepOptions): Span | null {
    const from = this.#first.get(this.#sweptBelow);
    if (typeof from !== "number" || from >= below) return null;
    const spanMax = seqAtTime(timeOfSeq(from) + SPAN_MAX_MS);
    if (!isShortAllowed && below < spanMax) return null;
    const to = Math.min(below, spanMax);
    return { from, to, stayers: [], webhook: 0, id: 0, isLogDone: false, journalAt: from };
  }

  #sweepLog(span: Span, limit: number, endedBefore: number): void {
    const hasLate = this.#anyLate.get(span.from, span.to) !== undefined;
    const drop = hasLate ? this.#dropLogButLate : this.#dropLog;
    for (let budget = limit; budget > 0; budget -= ROWS_PER_WEBHOOK) {
      if (span.id === 0) {
        const webhook = this.#nextWebhook.get(span.webhook);
        if (typeof webhook !== "number") {
          span.isLogDone = true;
          span.stayers.sort((a, b) => a - b);
          return;
        }
        span.webhook = webhook;
        span.id = span.from;
      }
      const end = this.#logEnd.get(span.webhook, span.id, span.to, budget);
      const to = typeof end === "number" ? end : span.to;
      budget -= drop.run(span.webhook, span.id, to, endedBefore).changes;
      const left = this.#left.all(span.webhook, span.id, to) as Stayer[];
      budget -= left.length;
      for (const { id, status, completed_at } of left) {
        span.stayers.push(id);
        if (status === SUCCESS) this.#noteLate.run(id, span.webhook, completed_at);
      }
      span.id = typeof end === "number" ? end : 0;
      if (span.stayers.length > this.#stayersMax) halve(span);
    }
  }

  #clearJournal(span: Span, limit: number): number {
    const end = this.#journalEnd.get(span.journalAt, span.to, limit);
    const to = typeof end === "number" ? end : span.to;
    const stayers = span.stayers.slice(
      lowerBound(span.stayers, span.journalAt),
      lowerBound(span.stayers, to),
    );
    const staying = new Set(stayers);
    let deleted = 0;
    // An event that has a row of its own goes with its last delivery.
    for (const id of this.#fan.all(span.journalAt, to) as number[]) {
      if (!staying.has(id)) deleted += this.#remover.removeFromJournal(id);
    }
    let from = span.journalAt;
    for (const stop of [...stayers, to]) {
      if (stop > from) {
        deleted += this.#dropJournal.run(from, stop).changes;
        this.#dropAttempts.run(from, stop);
      }
      from = stop + 1;
    }
    span.journalAt = to;
    return deleted;
  }
}

/** Webhooks that were swept already lost more than the shorter span holds, which the next one finds gone. */
function halve(span: Span): void {
  const sorted = span.stayers.sort((a, b) => a - b);
  const to = sorted[sorted.length >>> 1] ?? span.to;
  span.to = to;
  span.stayers = sorted.filter((id) => id < to);
}

function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
