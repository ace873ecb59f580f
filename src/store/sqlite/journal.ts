import { ATTEMPT_ERRORS, DEAD_REASONS, STATUSES } from "../../domain/delivery.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../../domain/ids.ts";
import { timeOfSeq } from "../../domain/ids.ts";
import { decodeTraceContext, encodeTraceContext, type TraceContext } from "../../domain/trace-context.ts";
import type { NewDelivery, NewEvent } from "../port.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { DEAD, FOLDED, type HotRow, NO_ATTEMPTS, NO_SLOT, PENDING } from "./hot.ts";
import { decodeSettlements, encodeSettlements, type SettledRow } from "./settle-batch.ts";

/** Usual content type: stored as null, which takes no byte. */
const COMMON_TYPE = "application/json";
const RECOVERY_PAGE_ROWS = 256;

/** The event's part of a journal row. */
export interface JournalEvent {
  readonly id: number;
  readonly webhook: number;
  readonly event: number | null;
  readonly user_id: string | null;
  readonly event_id: string | null;
  readonly uid: string | null;
  readonly content_type: string | null;
}

export interface JournalRow extends JournalEvent {
  readonly payload: Uint8Array | null;
}

/** With what only a delivery that is leased needs. */
export interface EventRow extends JournalRow {
  readonly trace: Uint8Array | null;
}

/** The append-only tables: what was accepted, and how attempts ended. */
export class Journal {
  readonly #insert: Statement;
  readonly #insertUsual: Statement;
  readonly #insertSettled: Statement;
  readonly #select: Statement;
  readonly #selectHead: Statement;
  readonly #deliveriesOf: Statement;
  readonly #countOf: Plucked;
  /** The event row that was read last: a broadcast's deliveries all ask for the same one. */
  #lastEvent: EventRow | null = null;

  constructor(db: Db) {
    this.#insert = db.prepare("insert into journal values (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#insertUsual = db.prepare("insert into journal values (?, ?, null, ?, ?, ?, null, ?, null)");
    this.#insertSettled = db.prepare("insert into settle(seq, batch) values (?, ?)");
    this.#select = db.prepare("select * from journal where id = ?");
    this.#selectHead = db.prepare(
      "select id, webhook, event, user_id, event_id, uid, content_type from journal where id = ?",
    );
    this.#deliveriesOf = db.prepare("select id, webhook from journal where event = ? order by id limit ?");
    this.#countOf = db.pluck("select count(*) from journal where event = ?");
  }

  append(event: NewEvent): void {
    const type = event.contentType === COMMON_TYPE ? null : event.contentType;
    const trace = event.trace === null ? null : encodeTraceContext(event.trace);
    const only = event.targets[0];
    if (only && event.targets.length === 1 && event.expansion === null) {
      const { seq, userId, eventId, uid, payload } = event;
      if (type === null && trace === null)
        this.#insertUsual.get(seq, only.webhookId, userId, eventId, uid, payload);
      else
        this.#insert.run(
          event.seq,
          only.webhookId,
          null,
          event.userId,
          event.eventId,
          event.uid,
          type,
          event.payload,
          trace,
        );
      return;
    }
    this.#insert.run(event.seq, 0, null, event.userId, event.eventId, event.uid, type, event.payload, trace);
    for (const target of event.targets) this.appendDelivery(target.id, target.webhookId, event.seq);
  }

  /** A delivery of an event that has a row of its own. */
  appendDelivery(id: number, webhookId: WebhookId, event: EventSeq): void {
    this.#insert.run(id, webhookId, event, null, null, null, null, null, null);
  }

  appendSettlements(seq: number, settlements: readonly SettledRow[]): void {
    if (settlements.length > 0) this.#insertSettled.run(seq, encodeSettlements(settlements));
  }

  /** The row of the event that a delivery belongs to, with its payload. */
  eventOf(id: number): EventRow | null {
    const row = this.#select.get(id) as EventRow | undefined;
    if (!row) return null;
    if (row.event === null) return row;
    if (this.#lastEvent?.id !== row.event) {
      this.#lastEvent = (this.#select.get(row.event) as EventRow | undefined) ?? null;
    }
    return this.#lastEvent;
  }

  /** The same without the payload, which may be large. */
  headOf(id: number): JournalEvent | null {
    const row = this.#selectHead.get(id) as JournalEvent | undefined;
    if (!row || row.event === null) return row ?? null;
    return (this.#selectHead.get(row.event) as JournalEvent | undefined) ?? null;
  }

  webhookOf(id: number): WebhookId | null {
    const row = this.#selectHead.get(id) as JournalEvent | undefined;
    return row && row.webhook !== 0 ? (row.webhook as WebhookId) : null;
  }

  /** The deliveries of an event, in order of id, and how many there are. */
  deliveriesOf(
    event: JournalEvent,
    limit: number,
  ): { refs: { id: DeliveryId; webhookId: WebhookId }[]; count: number } {
    if (event.webhook !== 0) {
      return { refs: [{ id: event.id as DeliveryId, webhookId: event.webhook as WebhookId }], count: 1 };
    }
    const rows = this.#deliveriesOf.all(event.id, limit) as { id: number; webhook: number }[];
    const refs = rows.map((row) => ({ id: row.id as DeliveryId, webhookId: row.webhook as WebhookId }));
    return { refs, count: refs.length < limit ? refs.length : Number(this.#countOf.get(event.id)) };
  }
}

/** The journal behind the fold's mark, in order, a page at a time: its payloads together may be gigabytes. */
export function* rowsBehindMark(db: Db, journalId: number): Generator<JournalRow> {
  // Payloads are only needed where a uid has to be remembered again.
  const page = db.prepare(
    `select id, webhook, event, user_id, event_id, uid, content_type,
            case when uid is null then null else payload end as payload
     from journal where id > ? order by id limit ${RECOVERY_PAGE_ROWS}`,
  );
  for (let after = journalId; ; ) {
    const rows = page.all(after) as JournalRow[];
    yield* rows;
    const last = rows.at(-1);
    if (!last || rows.length < RECOVERY_PAGE_ROWS) return;
    after = last.id;
  }
}

/** The outcomes that no complete fold has written, in order. */
export function settlementsBehindMark(
  db: Db,
  mark: { settleSeq: number },
): { settlements: SettledRow[]; lastSettleSeq: number } {
  const batches = db.prepare("select seq, batch from settle order by seq").all() as {
    seq: number;
    batch: Uint8Array;
  }[];
  return {
    settlements: batches.flatMap((row) => decodeSettlements(row.batch)),
    lastSettleSeq: batches.at(-1)?.seq ?? mark.settleSeq,
  };
}

export function hotFromAppend(event: NewEvent, target: NewDelivery, now: number): HotRow {
  const row = freshRow(
    target.id,
    target.webhookId,
    event.seq,
    target.userId,
    Math.min(timeOfSeq(target.id), now),
  );
  row.eventId = event.eventId;
  row.uid = event.uid;
  row.contentType = event.contentType;
  row.token = target.token;
  if (target.reason === null) return row;
  row.status = DEAD;
  row.reason = DEAD_REASONS.indexOf(target.reason);
  row.dueAt = null;
  row.completedAt = now;
  row.token = 0;
  return row;
}

/**
 * `head`: the event's row (the same one unless the event has a row of its own); `userId`: the webhook's user. Due and
 * queued since its id was made, as when it was appended. Where the wall clock was ahead then it is due at `now`, so that
 * it does not wait for that time to come; its age counts from its id all the same, or a clock that is behind now would
 * make it old once it goes on.
 */
export function hotFromJournal(
  id: DeliveryId,
  webhookId: WebhookId,
  event: JournalEvent,
  userId: string,
  now: number,
): HotRow {
  const at = timeOfSeq(id);
  const made = freshRow(id, webhookId, event.id as EventSeq, userId, at);
  made.dueAt = Math.min(at, now);
  made.eventId = event.event_id ?? "";
  made.uid = event.uid;
  made.contentType = event.content_type ?? COMMON_TYPE;
  return made;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Written out, as one literal: rows are made for every event, and all have the same shape. */
function freshRow(
  id: DeliveryId,
  webhookId: WebhookId,
  event: EventSeq,
  userId: string,
  at: number,
): Mutable<HotRow> {
  return {
    id,
    webhookId,
    event,
    userId,
    eventId: "",
    uid: null,
    contentType: COMMON_TYPE,
    status: PENDING,
    reason: null,
    attemptCount: 0,
    roundStart: 0,
    dueAt: at,
    queuedAt: at,
    completedAt: null,
    code: null,
    error: null,
    durationMs: null,
    excerpt: null,
    token: 0,
    dirtyIn: FOLDED,
    unwritten: NO_ATTEMPTS,
    slot: NO_SLOT,
    payload: null,
  };
}

/** Puts a settlement's absolute values into a row. Doing it twice changes nothing. */
export function applySettlement(row: HotRow, settlement: SettledRow): void {
  row.status = STATUSES.indexOf(settlement.status);
  row.reason = settlement.reason === null ? null : DEAD_REASONS.indexOf(settlement.reason);
  // A whole millisecond, and never early: the log's column takes no fraction.
  row.dueAt = settlement.dueAt === null ? null : Math.ceil(settlement.dueAt);
  row.attemptCount = settlement.attemptCount;
  row.completedAt =
    settlement.status === "success" || settlement.status === "dead" ? settlement.settledAt : null;
  row.token = 0;
  const attempt = settlement.attempt;
  if (!attempt) return;
  row.code = attempt.statusCode;
  row.error = attempt.error === null ? null : ATTEMPT_ERRORS.indexOf(attempt.error);
  row.durationMs = Math.round(attempt.durationMs);
  row.excerpt = attempt.excerpt && attempt.excerpt.length > 0 ? attempt.excerpt : null;
  // The success of a first attempt is told by the log's row alone.
  if (attempt.number > 1 || settlement.status !== "success") {
    row.unwritten = [...row.unwritten, attempt];
  }
}

export function contentTypeOf(event: JournalEvent): string {
  return event.content_type ?? COMMON_TYPE;
}

export function traceOf(event: EventRow): TraceContext | null {
  return event.trace === null ? null : decodeTraceContext(event.trace);
}

/** The other way round, of a delivery that died without an attempt: so that a restart reads it. */
export function endOfRow(row: HotRow): SettledRow {
  return {
    id: row.id,
    webhookId: row.webhookId,
    status: "dead",
    reason: DEAD_REASONS[row.reason ?? -1] ?? null,
    dueAt: null,
    attemptCount: 0,
    attempt: null,
    settledAt: row.completedAt ?? row.queuedAt,
  };
}
