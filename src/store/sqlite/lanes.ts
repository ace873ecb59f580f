import type { DeliveryId, EventSeq, WebhookId } from "../../domain/ids.ts";
import type { TraceContext } from "../../domain/trace-context.ts";
import type { Leased, LeaseGrant, LeaseWant, NewEvent } from "../port.ts";
import type { Db, Statement } from "./connection.ts";
import { type Hot, type HotRow, PENDING, RETRYING } from "./hot.ts";
import { contentTypeOf, type EventRow, hotFromJournal, type Journal, traceOf } from "./journal.ts";
import { RecentPayloads } from "./recent-payloads.ts";
import type { Webhooks } from "./webhooks.ts";

interface LaneRow {
  readonly id: DeliveryId;
  readonly due_at: number;
  readonly attempts: number;
  readonly round_start: number;
  readonly queued_at: number;
  readonly code: number | null;
  readonly error: number | null;
  readonly duration: number | null;
}

/** Where reading a lane's queue goes on: everything up to here is leased, or has changed since the fold wrote it. */
interface Position {
  readonly dueAt: number;
  readonly id: number;
  /** Nothing is behind it: there is no use in looking. */
  readonly isEnd: boolean;
}

/**
 * Leasing. The due deliveries of a lane are the log's (by the index on webhook, status, due_at) and the hot ones that
 * wait in memory, merged by due time. A lease is in memory alone: this process owns the file, and after a crash all
 * leases are free at once. A position per lane and queue keeps a drain from reading again what it leased before; what
 * comes into the log's queue behind it, or is free again there, takes it back to itself.
 */
export class Lanes {
  readonly #hot: Hot;
  readonly #journal: Journal;
  readonly #payloads = new RecentPayloads();
  readonly #webhooks: Webhooks;
  readonly #queue: Statement;
  readonly #positions = new Map<string, Position>();

  constructor(db: Db, hot: Hot, journal: Journal, webhooks: Webhooks) {
    this.#webhooks = webhooks;
    this.#hot = hot;
    this.#journal = journal;
    this.#queue = db.prepare(
      `select id, due_at, attempts, round_start, queued_at, code, error, duration from log indexed by log_lane
       where webhook = ? and status = ? and due_at is not null and (due_at, id) > (?, ?)
       order by due_at, id limit ?`,
    );
  }

  /** An open delivery that is not hot has come into the log's queue, or is free in it again: reading must not have passed it. */
  queued(webhookId: WebhookId, row: { status: number; dueAt: number | null; id: DeliveryId }): void {
    const key = keyOf(webhookId, row.status);
    const position = this.#positions.get(key);
    if (position === undefined) return;
    const dueAt = row.dueAt ?? BEGINNING.dueAt;
    const isPassed = position.dueAt > dueAt || (position.dueAt === dueAt && position.id >= row.id);
    if (isPassed) this.#positions.set(key, { dueAt, id: row.id - 1, isEnd: false });
    else if (position.isEnd) this.#positions.set(key, { ...position, isEnd: false });
  }

  /** Where reading this queue of the log goes on. */
  positionOf(webhookId: WebhookId, status: number): Position {
    return this.#positions.get(keyOf(webhookId, status)) ?? BEGINNING;
  }

  /** A new delivery waits in memory. */
  wait(row: HotRow, event: NewEvent): void {
    // Of an event that is traced, or goes to many, the journal is asked for more, or asked once for all.
    if (event.trace === null && event.targets.length === 1) row.payload = this.#payloads.keep(event.payload);
    this.#hot.wait(row);
  }

  /** To be called after each fold, and where nothing waits for one. */
  rest(): void {
    this.#payloads.rest();
  }

  lease(want: LeaseWant): LeaseGrant {
    const status = want.status === "retrying" ? RETRYING : PENDING;
    const key = keyOf(want.webhookId, status);
    const from = this.#positions.get(key) ?? BEGINNING;
    const stored = new StoredQueue(this.#queue, this.#hot, want.webhookId, status, from, want.limit);
    const leased: Leased[] = [];
    for (;;) {
      const row = stored.peek();
      const waiting = this.#hot.firstWaiting(want.webhookId, status);
      const storedDue = row?.due_at ?? Number.POSITIVE_INFINITY;
      const waitingDue = waiting?.dueAt ?? Number.POSITIVE_INFINITY;
      const dueAt = Math.min(storedDue, waitingDue);
      if (leased.length >= want.limit || dueAt > want.dueBy) {
        this.#remember(key, stored.passed);
        const nextDueAt = Number.isFinite(dueAt) ? dueAt : null;
        return { leased, nextDueAt };
      }
      const isStoredFirst =
        row && (storedDue < waitingDue || (storedDue === waitingDue && row.id < (waiting?.id ?? 0)));
      const token = want.firstToken + leased.length;
      if (isStoredFirst) {
        stored.shift();
        const taken = this.#takeStored(row, want.webhookId, status, token);
        if (taken) leased.push(taken);
      } else if (waiting) {
        leased.push(this.#takeWaiting(waiting, token));
      }
    }
  }

  release(id: DeliveryId, token: number): void {
    const row = this.#hot.rows.get(id);
    if (!row || token === 0 || row.token !== token) return;
    row.token = 0;
    if (this.#hot.isUnfolded(row)) {
      this.#hot.wait(row);
    } else {
      this.#hot.rows.delete(id);
      this.queued(row.webhookId, row);
    }
  }

  /** Null: its event is gone, and so is what the log had of it. */
  #takeStored(row: LaneRow, webhookId: WebhookId, status: number, token: number): Leased | null {
    const event = this.#journal.eventOf(row.id);
    if (!event) return null;
    const hotRow = this.#warm(row, event, webhookId, status);
    hotRow.token = token;
    return leasedOf(hotRow, contentTypeOf(event), event.payload ?? NO_PAYLOAD, traceOf(event));
  }

  #takeWaiting(row: HotRow, token: number): Leased {
    row.token = token;
    const payload = row.payload && this.#payloads.get(row.payload);
    row.payload = null;
    if (payload) return leasedOf(row, row.contentType, payload, null);
    const event = this.#journal.eventOf(row.id);
    if (!event) throw new Error(`delivery ${row.id} has no event in the journal`);
    return leasedOf(row, contentTypeOf(event), event.payload ?? NO_PAYLOAD, traceOf(event));
  }

  #remember(key: string, position: Position): void {
    if (position === BEGINNING || this.#positions.get(key) === position) return;
    if (this.#positions.size >= POSITIONS_MAX) this.#positions.clear();
    this.#positions.set(key, position);
  }

  /** A delivery that is found in the log becomes hot while it is leased. */
  #warm(row: LaneRow, event: EventRow, webhookId: WebhookId, status: number): HotRow {
    const userId = this.#webhooks.userOf(webhookId, event.user_id);
    const hotRow = hotFromJournal(row.id, webhookId, event, userId, row.queued_at);
    hotRow.status = status;
    hotRow.attemptCount = row.attempts;
    hotRow.roundStart = row.round_start;
    hotRow.dueAt = row.due_at;
    hotRow.queuedAt = row.queued_at;
    hotRow.code = row.code;
    hotRow.error = row.error;
    hotRow.durationMs = row.duration;
    hotRow.slot = status;
    this.#hot.add(hotRow);
    return hotRow;
  }
}

function leasedOf(row: HotRow, contentType: string, payload: Uint8Array, trace: TraceContext | null): Leased {
  return {
    id: row.id,
    token: row.token,
    webhookId: row.webhookId,
    event: row.event as EventSeq,
    userId: row.userId,
    eventId: row.eventId,
    uid: row.uid,
    contentType,
    payload,
    attemptCount: row.attemptCount,
    roundStart: row.roundStart,
    queuedAt: row.queuedAt,
    trace,
  };
}

/** The log's part of one queue, read a page at a time from the remembered position; hot rows are passed over. */
class StoredQueue {
  readonly #statement: Statement;
  readonly #hot: Hot;
  readonly #webhookId: WebhookId;
  readonly #status: number;
  #pageRows: number;
  #page: LaneRow[] = [];
  #at = 0;
  #read: Position;
  #passed: Position;
  #isAtEnd: boolean;

  constructor(
    statement: Statement,
    hot: Hot,
    webhookId: WebhookId,
    status: number,
    from: Position,
    limit: number,
  ) {
    this.#statement = statement;
    this.#hot = hot;
    this.#webhookId = webhookId;
    this.#status = status;
    this.#pageRows = Math.min(PAGE_ROWS_MAX, limit + 1);
    this.#read = from;
    this.#passed = from;
    this.#isAtEnd = from.isEnd;
  }

  peek(): LaneRow | undefined {
    for (;;) {
      const row = this.#page[this.#at];
      if (row) {
        if (!this.#hot.rows.has(row.id)) return row;
        this.shift();
        continue;
      }
      if (this.#isAtEnd) return undefined;
      this.#page = this.#statement.all(
        this.#webhookId,
        this.#status,
        this.#read.dueAt,
        this.#read.id,
        this.#pageRows,
      ) as LaneRow[];
      this.#at = 0;
      this.#isAtEnd = this.#page.length < this.#pageRows;
      this.#pageRows = Math.min(PAGE_ROWS_MAX, this.#pageRows * 2);
      const last = this.#page.at(-1);
      if (last) this.#read = { dueAt: last.due_at, id: last.id, isEnd: false };
    }
  }

  shift(): void {
    const row = this.#page[this.#at];
    if (row) this.#passed = { dueAt: row.due_at, id: row.id, isEnd: false };
    this.#at += 1;
  }

  /** The last row that was gone past, or where it began. */
  get passed(): Position {
    const isEnd = this.#isAtEnd && this.#at >= this.#page.length;
    return isEnd === this.#passed.isEnd ? this.#passed : { ...this.#passed, isEnd };
  }
}

/** A page is what was asked for, and doubles up to this while only rows are found that memory holds. */
const PAGE_ROWS_MAX = 256;
const BEGINNING: Position = { dueAt: -1, id: -1, isEnd: false };
const NO_PAYLOAD = new Uint8Array(0);
/** They save reading and nothing else: beyond this all are forgotten. */
const POSITIONS_MAX = 10_000;

function keyOf(webhookId: WebhookId, status: number): string {
  return `${webhookId}/${status}`;
}
