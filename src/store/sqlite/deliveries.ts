import { setImmediate as turn } from "node:timers/promises";
import {
  ATTEMPT_ERRORS,
  type Attempt,
  DEAD_REASONS,
  type Delivery,
  type DeliveryStatus,
  STATUSES,
  VERDICTS,
} from "../../domain/delivery.ts";
import { type DeliveryId, type EventSeq, seqAtTime, timeOfSeq, type WebhookId } from "../../domain/ids.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page } from "../../domain/query.ts";
import type { Paged, StoredEvent } from "../port.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { DEAD, DEAD_SLOT, type Hot, type HotRow, NO_SLOT, reasonOfSlot, slotOf } from "./hot.ts";
import { contentTypeOf, hotFromJournal, type Journal } from "./journal.ts";
import { newestFirst, type ReadPage } from "./newest-first.ts";
import { TallyMoves } from "./tally.ts";
import { unfoldedPages } from "./unfolded-pages.ts";
import type { Webhooks } from "./webhooks.ts";

interface DeadCount {
  readonly slot: number;
  readonly webhook: number;
  readonly n: number;
  readonly user_id: string;
  readonly event_id: string;
}

interface LogRow {
  readonly webhook: number;
  readonly id: number;
  readonly status: number;
  readonly reason: number | null;
  readonly attempts: number;
  readonly round_start: number;
  readonly due_at: number | null;
  readonly queued_at: number;
  readonly completed_at: number | null;
  readonly code: number | null;
  readonly error: number | null;
  readonly duration: number | null;
  readonly excerpt: Uint8Array | null;
}

/** A list call looks at no more rows than this; its page may come back short, with a cursor. */
const EXAMINED_MAX = 2_000;
/** Dead deliveries read between two turns of the event loop. */
const DEAD_PER_TURN = 200;
/** A user's webhooks are read one by one up to so many (a seek each); beyond, the list goes over all deliveries. */
const MERGED_WEBHOOKS_MAX = 500;
/** When a reader may have the thread. */
type Look = <T>(find: () => T) => Promise<T>;

const FAILED: readonly DeliveryStatus[] = ["retrying", "dead"];

/** Reading the log: lists, single deliveries, events, counts. What is hot overrides what is stored. */
export class Deliveries {
  readonly #db: Db;
  readonly #hot: Hot;
  readonly #journal: Journal;
  readonly #webhooks: Webhooks;
  readonly #row: Statement;
  readonly #attempts: Statement;
  readonly #byWebhook: Statement;
  readonly #byWebhookDead: Statement;
  readonly #byWebhookRetrying: Statement;
  readonly #failed: Statement;
  readonly #all: Statement;
  readonly #deadTotal: Plucked;

  constructor(db: Db, hot: Hot, journal: Journal, webhooks: Webhooks) {
    this.#db = db;
    this.#hot = hot;
    this.#journal = journal;
    this.#webhooks = webhooks;
    this.#row = db.prepare("select * from log where webhook = ? and id = ?");
    this.#attempts = db.prepare("select * from attempt where delivery = ? order by number");
    this.#byWebhook = db.prepare(
      "select * from log where webhook = ? and id < ? and id >= ? order by id desc limit ?",
    );
    // Left to itself, SQLite takes the primary key here, and reads a webhook's every success.
    this.#byWebhookDead = db.prepare(
      `select * from log indexed by log_dead where webhook = ? and id < ? and id >= ? and status = 3
       order by id desc limit ?`,
    );
    this.#byWebhookRetrying = db.prepare(
      `select * from log indexed by log_retrying where webhook = ? and id < ? and id >= ? and status = 1
       order by id desc limit ?`,
    );
    this.#failed = db.prepare(
      `select * from log indexed by log_failed where (status = 1 or status = 3) and id < ? and id >= ?
       order by id desc limit ?`,
    );
    this.#deadTotal = db.pluck("select coalesce(sum(n), 0) from tally where slot >= 10");
    this.#all = db.prepare(
      `select l.* from journal j cross join log l on l.webhook = j.webhook and l.id = j.id
       where j.id < ? and j.id >= ? and j.webhook <> 0 order by j.id desc limit ?`,
    );
  }

  list(filter: DeliveryFilter, page: Page): Paged<Delivery> {
    const until = filter.until === undefined ? Number.MAX_SAFE_INTEGER : seqAtTime(filter.until);
    const since = filter.since === undefined ? 0 : seqAtTime(filter.since);
    const before = Math.min(page.before ?? Number.MAX_SAFE_INTEGER, until);
    const next = newestFirst<LogRow | HotRow>(this.#streams(filter, since), before);
    const items: Delivery[] = [];
    let cursor = before;
    for (let examined = 0; examined < EXAMINED_MAX; examined += 1) {
      const row = next();
      if (!row) return { items, next: null };
      // What is hot may stand in the log as well, under an older state.
      if (row.id === cursor) continue;
      cursor = row.id;
      const delivery = this.#deliveryOf(row);
      if (delivery && isMatch(delivery, filter)) items.push(delivery);
      if (items.length === page.limit) return { items, next: cursor };
    }
    return { items, next: cursor };
  }

  get(id: DeliveryId): { delivery: Delivery; attempts: readonly Attempt[] } | null {
    const hotRow = this.#hot.rows.get(id);
    const webhookId = hotRow?.webhookId ?? this.#journal.webhookOf(id);
    if (webhookId === null) return null;
    const row = this.#row.get(webhookId, id) as LogRow | undefined;
    const delivery = hotRow ? deliveryOfHot(hotRow) : row ? this.#deliveryOf(row) : null;
    if (!delivery) return null;
    const stored = (this.#attempts.all(id) as StoredAttempt[]).map(attemptOf);
    const unwritten = (hotRow?.unwritten ?? []).filter(
      (a) => !stored.some((other) => other.number === a.number),
    );
    const attempts = [...stored, ...unwritten];
    if (delivery.status === "success" && attempts.at(-1)?.number !== delivery.attemptCount) {
      attempts.push(onlyAttempt(delivery, hotRow ? hotRow.excerpt : (row?.excerpt ?? null)));
    }
    return { delivery, attempts };
  }

  event(seq: EventSeq, deliveriesMax: number): StoredEvent | null {
    const head = this.#journal.headOf(seq);
    const event = this.#journal.eventOf(seq);
    if (!head || !event || head.id !== seq) return null;
    const { refs, count } = this.#journal.deliveriesOf(head, deliveriesMax);
    const deliveries = refs.map(({ id }) => this.get(id)?.delivery).filter((one) => one !== undefined);
    // Retention takes deliveries out of the log first, and the journal's rows moments later.
    if (refs.length > 0 && deliveries.length === 0) return null;
    return {
      seq,
      uid: event.uid,
      userId: event.user_id ?? "",
      eventId: event.event_id ?? "",
      contentType: contentTypeOf(event),
      payload: event.payload ? Uint8Array.from(event.payload) : new Uint8Array(0),
      deliveryCount: count,
      deliveries,
    };
  }

  /** Where it has to read deliveries each page is a look of its own, with commits and other readers in between. */
  async deadGroups(filter: DeliveryFilter, by: readonly GroupKey[], look: Look): Promise<DeadGroup[]> {
    const groups = new Map<string, { group: Omit<DeadGroup, "count">; count: number }>();
    const add = (webhookId: WebhookId, reason: number | null, eventId: string, userId: string, n: number) => {
      const reasonName = DEAD_REASONS[reason ?? -1];
      const group = {
        ...(by.includes("webhook") ? { webhookId } : {}),
        ...(by.includes("reason") && reasonName ? { reason: reasonName } : {}),
        ...(by.includes("event") ? { eventId } : {}),
        ...(by.includes("user") ? { userId } : {}),
      };
      const key = JSON.stringify(group);
      const known = groups.get(key);
      if (known) known.count += n;
      else groups.set(key, { group, count: n });
    };
    const needsRows =
      filter.since !== undefined || filter.until !== undefined || filter.eventId !== undefined;
    if (needsRows) {
      for await (const delivery of this.#everyDead(filter, look)) {
        const reason = delivery.reason === null ? null : DEAD_REASONS.indexOf(delivery.reason);
        const pattern = by.includes("event") ? this.#webhooks.routeOf(delivery.webhookId)?.event_id : null;
        add(delivery.webhookId, reason, pattern ?? delivery.eventId, delivery.userId, 1);
      }
    } else {
      for (const { slot, webhook, n, user_id, event_id } of await look(() =>
        this.#currentDeadCounts(filter),
      )) {
        const reason = reasonOfSlot(slot);
        if (filter.reason !== undefined && DEAD_REASONS[reason ?? -1] !== filter.reason) continue;
        add(webhook as WebhookId, reason, event_id, user_id, n);
      }
    }
    return [...groups.values()]
      .map(({ group, count }) => ({ ...group, count }))
      .sort((a, b) => b.count - a.count);
  }

  deadCount(): number {
    const counted = Number(this.#deadTotal.get());
    return this.#uncountedDead().reduce((sum, { n }) => sum + n, counted);
  }

  /** Sets the slot under which the tally counts the row, as the log has it. */
  readSlot(hotRow: HotRow): void {
    const row = this.#row.get(hotRow.webhookId, hotRow.id) as LogRow | undefined;
    if (row) hotRow.slot = slotOf(row.status, row.reason);
  }

  /** A delivery of the log made hot, with all that the log says of it. */
  warm(id: DeliveryId, webhookId: WebhookId): HotRow | null {
    const row = this.#row.get(webhookId, id) as LogRow | undefined;
    const head = this.#journal.headOf(id);
    if (!row || !head) return null;
    const userId = this.#webhooks.userOf(webhookId, head.user_id);
    const hotRow = hotFromJournal(id, webhookId, head, userId, row.queued_at);
    hotRow.status = row.status;
    hotRow.reason = row.reason;
    hotRow.attemptCount = row.attempts;
    hotRow.roundStart = row.round_start;
    hotRow.dueAt = row.due_at;
    hotRow.queuedAt = row.queued_at;
    hotRow.completedAt = row.completed_at;
    hotRow.code = row.code;
    hotRow.error = row.error;
    hotRow.durationMs = row.duration;
    hotRow.excerpt = row.excerpt;
    hotRow.slot = slotOf(row.status, row.reason);
    this.#hot.add(hotRow);
    return hotRow;
  }

  async *#everyDead(filter: DeliveryFilter, look: Look): AsyncGenerator<Delivery> {
    let before: number | null = null;
    for (;;) {
      const part: Page = { limit: DEAD_PER_TURN, before };
      const page = await look(() => this.list({ ...filter, statuses: ["dead"] }, part));
      yield* page.items;
      if (page.next === null) return;
      before = page.next;
      await turn();
    }
  }

  /** The kept counts, and what died since they were written. */
  #currentDeadCounts(filter: DeliveryFilter): readonly DeadCount[] {
    const counts = this.#deadCounts(filter);
    for (const { webhook, slot, n } of this.#uncountedDead()) {
      const route = this.#webhooks.routeOf(webhook);
      if (!route) continue;
      if (filter.webhookId !== undefined && filter.webhookId !== webhook) continue;
      if (filter.userId !== undefined && filter.userId !== route.user_id) continue;
      counts.push({ slot, webhook, n, user_id: route.user_id, event_id: route.event_id });
    }
    return counts;
  }

  /** Of the dead, those that the tally has not, by webhook and slot: it moves with the fold. */
  #uncountedDead(): readonly { slot: number; webhook: number; n: number }[] {
    const died = new TallyMoves();
    for (const row of new Set(this.#hot.unfolded.flatMap(({ failing }) => [...failing]))) {
      if (row.status !== DEAD || this.#hot.rows.get(row.id) !== row) continue;
      died.move(row.webhookId, row.slot >= DEAD_SLOT ? row.slot : NO_SLOT, slotOf(row.status, row.reason));
    }
    return died.changes();
  }

  #deadCounts(filter: DeliveryFilter): DeadCount[] {
    const columns = "select t.slot, t.webhook, t.n, w.user_id, w.event_id";
    const slots = DEAD_REASONS.map((_, reason) => slotOf(DEAD, reason)).join(", ");
    const { webhookId, userId } = filter;
    if (webhookId === undefined && userId === undefined) {
      const every = `${columns} from tally t cross join webhook w on w.id = t.webhook where t.slot >= 10`;
      return this.#db.prepare(every).all() as DeadCount[];
    }
    const own = `${columns} from webhook w cross join tally t on t.slot in (${slots}) and t.webhook = w.id`;
    const rows =
      webhookId === undefined
        ? this.#db.prepare(`${own} where w.user_id = ?`).all(userId)
        : this.#db.prepare(`${own} where w.id = ?`).all(webhookId);
    return (rows as DeadCount[]).filter((row) => userId === undefined || row.user_id === userId);
  }

  /** The cheapest way through the log that yields everything the filter can match. */
  #streams(filter: DeliveryFilter, since: number): ReadPage<LogRow | HotRow>[] {
    const failed = filter.statuses?.every((status) => FAILED.includes(status)) ? filter.statuses : null;
    const owned = this.#laneIds(filter);
    return [
      ...this.#logPages(owned, failed, since),
      ...unfoldedPages(this.#hot, owned, failed !== null, since),
    ];
  }

  #logPages(
    owned: readonly WebhookId[] | null,
    failed: readonly DeliveryStatus[] | null,
    since: number,
  ): ReadPage<LogRow>[] {
    if (!owned) {
      if (failed) return [(before, limit) => this.#failed.all(before, since, limit) as LogRow[]];
      // The journal has the deliveries that the log lacks, and each would be looked for there.
      const fresh = this.#hot.firstFresh;
      return [(before, limit) => this.#all.all(Math.min(before, fresh), since, limit) as LogRow[]];
    }
    const byStatus = new Map([
      ["dead", this.#byWebhookDead],
      ["retrying", this.#byWebhookRetrying],
    ]);
    const statements = failed
      ? [...byStatus].filter(([status]) => failed.some((one) => one === status)).map(([, one]) => one)
      : [this.#byWebhook];
    return owned.flatMap((id) =>
      statements.map(
        (one): ReadPage<LogRow> =>
          (before, limit) =>
            one.all(id, before, since, limit) as LogRow[],
      ),
    );
  }

  /** The lanes that a filter names, if they are few enough to be read one by one. */
  #laneIds(filter: DeliveryFilter): readonly WebhookId[] | null {
    if (filter.webhookId !== undefined) return [filter.webhookId];
    if (filter.userId === undefined) return null;
    const owned = this.#webhooks.idsOf(filter.userId, MERGED_WEBHOOKS_MAX + 1);
    return owned.length <= MERGED_WEBHOOKS_MAX ? owned : null;
  }

  #deliveryOf(row: LogRow | HotRow): Delivery | null {
    const hotRow = this.#hot.rows.get(row.id as DeliveryId);
    if (hotRow) return deliveryOfHot(hotRow);
    if (!("webhook" in row)) return null;
    const head = this.#journal.headOf(row.id);
    if (!head) return null;
    return {
      id: row.id as DeliveryId,
      event: head.id as EventSeq,
      eventUid: head.uid,
      eventId: head.event_id ?? "",
      userId: this.#webhooks.userOf(row.webhook, head.user_id),
      webhookId: row.webhook as WebhookId,
      status: STATUSES[row.status] ?? "pending",
      reason: DEAD_REASONS[row.reason ?? -1] ?? null,
      attemptCount: row.attempts,
      roundStart: row.round_start,
      dueAt: row.due_at,
      isLeased: false,
      queuedAt: row.queued_at,
      createdAt: timeOfSeq(row.id),
      completedAt: row.completed_at,
      statusCode: row.code,
      error: ATTEMPT_ERRORS[row.error ?? -1] ?? null,
      durationMs: row.duration,
    };
  }
}

function isMatch(delivery: Delivery, filter: DeliveryFilter): boolean {
  return (
    (filter.userId === undefined || delivery.userId === filter.userId) &&
    (filter.eventId === undefined || delivery.eventId === filter.eventId) &&
    (filter.statuses === undefined || filter.statuses.includes(delivery.status)) &&
    (filter.reason === undefined || delivery.reason === filter.reason)
  );
}

function deliveryOfHot(row: HotRow): Delivery {
  return {
    id: row.id,
    event: row.event,
    eventUid: row.uid,
    eventId: row.eventId,
    userId: row.userId,
    webhookId: row.webhookId,
    status: STATUSES[row.status] ?? "pending",
    reason: row.status === DEAD ? (DEAD_REASONS[row.reason ?? -1] ?? null) : null,
    attemptCount: row.attemptCount,
    roundStart: row.roundStart,
    dueAt: row.dueAt,
    isLeased: row.token !== 0,
    queuedAt: row.queuedAt,
    createdAt: timeOfSeq(row.id),
    completedAt: row.completedAt,
    statusCode: row.code,
    error: ATTEMPT_ERRORS[row.error ?? -1] ?? null,
    durationMs: row.durationMs,
  };
}

/** A first attempt that succeeded has no row of its own: the delivery tells all of it. */
function onlyAttempt(delivery: Delivery, excerpt: Uint8Array | null): Attempt {
  const durationMs = delivery.durationMs ?? 0;
  return {
    number: delivery.attemptCount,
    startedAt: (delivery.completedAt ?? delivery.createdAt) - durationMs,
    durationMs,
    verdict: "success",
    statusCode: delivery.statusCode,
    error: delivery.error,
    excerpt: excerpt ? Uint8Array.from(excerpt) : null,
  };
}

interface StoredAttempt {
  readonly number: number;
  readonly started_at: number;
  readonly duration: number;
  readonly verdict: number;
  readonly code: number | null;
  readonly error: number | null;
  readonly excerpt: Uint8Array | null;
}

function attemptOf(row: StoredAttempt): Attempt {
  return {
    number: row.number,
    startedAt: row.started_at,
    durationMs: row.duration,
    verdict: VERDICTS[row.verdict] ?? "lost",
    statusCode: row.code,
    error: ATTEMPT_ERRORS[row.error ?? -1] ?? null,
    excerpt: row.excerpt ? Uint8Array.from(row.excerpt) : null,
  };
}
