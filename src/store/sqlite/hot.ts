import type { Attempt } from "../../domain/delivery.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../../domain/ids.ts";
import { IdMap } from "../../lib/id-map.ts";
import type { KeptPayload } from "./recent-payloads.ts";

/**
 * What the database's indexes do not know yet: every delivery that was appended or changed since a complete fold last
 * wrote it (dirty, or folding), and every leased one. For a delivery in here this is the state; for any other, the
 * log is. Bounded by the fold (it is started after `FOLD_ROWS_MAX` changes or `FOLD_AGE_MS`) and by the number of leases.
 */
export interface HotRow {
  readonly id: DeliveryId;
  readonly webhookId: WebhookId;
  readonly event: EventSeq;
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  readonly contentType: string;
  /** Index into STATUSES; reason and error likewise in their tables. */
  status: number;
  reason: number | null;
  attemptCount: number;
  roundStart: number;
  dueAt: number | null;
  queuedAt: number;
  completedAt: number | null;
  code: number | null;
  error: number | null;
  durationMs: number | null;
  excerpt: Uint8Array | null;
  /** 0: not leased. */
  token: number;
  /** The fold that has to write its last change: the number that `Hot` had then; `FOLDED` once that is done. */
  dirtyIn: number;
  /** Attempts that the fold has still to write. */
  unwritten: readonly Attempt[];
  /** The slot under which tally counts it; NO_SLOT: none. */
  slot: number;
  /** Its event's payload, while it waits since a moment; null: the journal has it. */
  payload: KeptPayload | null;
}

export const PENDING = 0;
export const RETRYING = 1;
export const SUCCESS = 2;
export const DEAD = 3;

export const NO_SLOT = -1;
export const FOLDED = -1;
/** One for all rows: nearly none has any. */
export const NO_ATTEMPTS: readonly Attempt[] = [];
export const DEAD_SLOT = 10;

/** The tally's slot of a state: open and dead deliveries are counted, successes are not. */
export function slotOf(status: number, reason: number | null): number {
  if (status === PENDING || status === RETRYING) return status;
  return status === DEAD ? DEAD_SLOT + (reason ?? 0) : NO_SLOT;
}

export function reasonOfSlot(slot: number): number | null {
  return slot >= DEAD_SLOT ? slot - DEAD_SLOT : null;
}

/** Deliveries of one lane and status that wait in memory, by due time, then id. Stale entries are skipped on read. */
class DueQueue {
  readonly #rows: HotRow[] = [];
  #head = 0;

  get length(): number {
    return this.#rows.length - this.#head;
  }

  add(row: HotRow): void {
    if (!isAfter(this.#rows.at(-1), row)) {
      this.#rows.push(row);
      return;
    }
    let low = this.#head;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isAfter(this.#rows[middle], row)) high = middle;
      else low = middle + 1;
    }
    this.#rows.splice(low, 0, row);
  }

  peek(): HotRow | undefined {
    return this.#rows[this.#head];
  }

  /** The first so many that are kept, in order. */
  first(limit: number, isKept: (row: HotRow) => boolean): HotRow[] {
    const first: HotRow[] = [];
    for (let at = this.#head; at < this.#rows.length && first.length < limit; at += 1) {
      const row = this.#rows[at] as HotRow;
      if (isKept(row)) first.push(row);
    }
    return first;
  }

  shift(): void {
    this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#rows.length) {
      this.#rows.splice(0, this.#head);
      this.#head = 0;
    }
  }

  keep(isKept: (row: HotRow) => boolean): void {
    const kept = this.#rows.slice(this.#head).filter(isKept);
    this.#rows.length = 0;
    this.#head = 0;
    for (const row of kept) this.#rows.push(row);
  }
}

function isAfter(a: HotRow | undefined, b: HotRow): boolean {
  const left = a?.dueAt ?? 0;
  const right = b.dueAt ?? 0;
  return left > right || (left === right && (a?.id ?? 0) > b.id);
}

/** The rows that changed between the beginnings of two folds. */
export class Generation {
  readonly byWebhook = new Map<WebhookId, HotRow[]>();
  /** Those that the log has never seen, ascending by id. */
  readonly fresh: HotRow[] = [];
  /** Those that were retrying or dead at some time in it: lists of failures look here, and not through all. */
  readonly failing = new Set<HotRow>();
  count = 0;
  /** Wall clock of the first change. */
  since: number | null = null;

  add(row: HotRow, now: number): void {
    const rows = this.byWebhook.get(row.webhookId);
    if (rows) rows.push(row);
    else this.byWebhook.set(row.webhookId, [row]);
    this.count += 1;
    this.since ??= now;
  }
}

export class Hot {
  readonly rows = new IdMap<DeliveryId, HotRow>();
  readonly #waiting = new Map<WebhookId, readonly [DueQueue, DueQueue]>();
  #gathering = new Generation();
  #folding: Generation | null = null;
  /** The fold that will take up what changes now. */
  #nextFold = 0;

  get dirtyCount(): number {
    return this.#gathering.count;
  }

  /** Wall clock of the oldest change that no fold has taken up; null when there is none. */
  get dirtySince(): number | null {
    return this.#gathering.since;
  }

  /** What no complete fold has written, the older first: one being folded, if any, and one that gathers. */
  get unfolded(): readonly Generation[] {
    return this.#folding ? [this.#folding, this.#gathering] : [this.#gathering];
  }

  get unfoldedCount(): number {
    return (this.#folding?.count ?? 0) + this.#gathering.count;
  }

  /** All deliveries with smaller ids are in the log, and this one and all larger ones are perhaps not. */
  get firstFresh(): number {
    for (const { fresh } of this.unfolded) if (fresh[0]) return fresh[0].id;
    return Number.POSITIVE_INFINITY;
  }

  /** A delivery that the log has. */
  add(row: HotRow): void {
    this.rows.set(row.id, row);
  }

  /** A delivery that the log has never seen; its id is larger than any before. */
  append(row: HotRow, now: number): void {
    this.rows.set(row.id, row);
    this.#gathering.fresh.push(row);
    this.markDirty(row, now);
  }

  markDirty(row: HotRow, now: number): void {
    if (row.status === RETRYING || row.status === DEAD) this.#gathering.failing.add(row);
    if (row.dirtyIn === this.#nextFold) return;
    row.dirtyIn = this.#nextFold;
    this.#gathering.add(row, now);
  }

  /** Whether a crash would read its state from the journal: no complete fold has written it. */
  isUnfolded(row: HotRow): boolean {
    return row.dirtyIn === this.#nextFold || (this.#folding !== null && row.dirtyIn === this.#nextFold - 1);
  }

  /** Hands all changed rows to the fold, by webhook. From here on a change marks its row anew. */
  takeDirty(): ReadonlyMap<WebhookId, HotRow[]> {
    this.#folding = this.#gathering;
    this.#gathering = new Generation();
    this.#nextFold += 1;
    return this.#folding.byWebhook;
  }

  /** The fold has written all its rows: lists find them in the log from now on. */
  foldWritten(): void {
    if (this.#folding) this.#folding.fresh.length = 0;
  }

  /**
   * The fold has written these rows of a lane: those that nothing holds here leave, and are found in the log from now on.
   * Gives the open ones among them: the log's queues have them again, perhaps behind where their reader is.
   */
  settleFolded(webhookId: WebhookId, rows: readonly HotRow[]): readonly HotRow[] {
    const open: HotRow[] = [];
    for (const row of rows) {
      if (row.dirtyIn === this.#nextFold) continue;
      if (row.token === 0) {
        this.rows.delete(row.id);
        if (row.status === PENDING || row.status === RETRYING) open.push(row);
      } else row.dirtyIn = FOLDED;
    }
    // A parked lane is not read for long: its queue must not hold the rows of its whole backlog.
    for (const queue of this.#waiting.get(webhookId) ?? []) queue.keep((row) => this.#isWaiting(row));
    this.#dropEmpty(webhookId);
    return open;
  }

  /** All rows that the fold took are settled. */
  foldEnded(): void {
    this.#folding = null;
  }

  /** An open, unleased row of here waits in its lane. */
  wait(row: HotRow): void {
    let queues = this.#waiting.get(row.webhookId);
    if (!queues) {
      queues = [new DueQueue(), new DueQueue()];
      this.#waiting.set(row.webhookId, queues);
    }
    queues[row.status === RETRYING ? 1 : 0].add(row);
  }

  /** The first row of the lane's queue that really waits in here, or undefined. */
  firstWaiting(webhookId: WebhookId, status: number): HotRow | undefined {
    const queue = this.#queueOf(webhookId, status);
    if (!queue) return undefined;
    for (let row = queue.peek(); row; row = queue.peek()) {
      if (row.status === status && this.#isWaiting(row)) return row;
      queue.shift();
    }
    this.#dropEmpty(webhookId);
    return undefined;
  }

  /** The first so many rows of the lane's queue that really wait in here, in order. */
  waitingOf(webhookId: WebhookId, status: number, limit: number): HotRow[] {
    const isOne = (row: HotRow) => row.status === status && this.#isWaiting(row);
    return this.#queueOf(webhookId, status)?.first(limit, isOne) ?? [];
  }

  #queueOf(webhookId: WebhookId, status: number): DueQueue | undefined {
    return this.#waiting.get(webhookId)?.[status === RETRYING ? 1 : 0];
  }

  #isWaiting(row: HotRow): boolean {
    return row.token === 0 && this.rows.get(row.id) === row;
  }

  #dropEmpty(webhookId: WebhookId): void {
    const queues = this.#waiting.get(webhookId);
    if (queues && queues[0].length === 0 && queues[1].length === 0) this.#waiting.delete(webhookId);
  }
}
