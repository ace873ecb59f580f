import { DEAD_REASONS, type DeliveryStatus, STATUSES } from "../../domain/delivery.ts";
import { type DeliveryId, seqAtTime, type WebhookId } from "../../domain/ids.ts";
import type { Job, Selection } from "../../domain/job.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { SUCCESS } from "./hot.ts";
import type { Journal } from "./journal.ts";
import { CANDIDATE_COLUMNS, type Candidate, type LogChanges } from "./log-changes.ts";
import type { Webhooks } from "./webhooks.ts";

/** What has been looked at: deliveries up to `id`; of a user's, those of `webhook` up to it, and all of webhooks before. */
export interface Place {
  readonly id: number;
  readonly webhook: number;
}

export const BEGINNING: Place = { id: 0, webhook: 0 };

/** Deliveries that a selection means, and where to go on; null when there are no more. */
export interface Slice {
  readonly found: Candidate[];
  readonly next: Place | null;
}

/** Rows examined for each one wanted in a slice, so that a narrow filter ends a slice too. */
const EXAMINED_PER_WANTED = 8;
/** Webhooks of a user that one slice looks at: most have nothing. */
const WEBHOOKS_PER_SLICE = 32;

interface Range {
  /** Null: every webhook's. */
  readonly webhook: number | null;
  readonly from: number;
  readonly to: number;
  readonly limit: number;
}

/** Which deliveries of the log bulk work means, a slice at a time. */
export class Selections {
  readonly #changes: LogChanges;
  readonly #journal: Journal;
  readonly #webhooks: Webhooks;
  readonly #failed: Statement;
  readonly #deadOf: Statement;
  readonly #of: Statement;
  readonly #every: Statement;
  readonly #nextWebhook: Plucked;

  constructor(db: Db, changes: LogChanges, journal: Journal, webhooks: Webhooks) {
    this.#changes = changes;
    this.#journal = journal;
    this.#webhooks = webhooks;
    this.#failed = db.prepare(
      `select ${CANDIDATE_COLUMNS} from log l indexed by log_failed where (status = 1 or status = 3) and id > ? and id < ?
       order by id limit ?`,
    );
    this.#deadOf = db.prepare(
      `select ${CANDIDATE_COLUMNS} from log l indexed by log_dead where webhook = ? and status = 3 and id > ? and id < ?
       order by id limit ?`,
    );
    this.#of = db.prepare(
      `select ${CANDIDATE_COLUMNS} from log l where webhook = ? and id > ? and id < ? order by id limit ?`,
    );
    this.#every = db.prepare(
      `select ${CANDIDATE_COLUMNS} from journal j cross join log l on l.webhook = j.webhook and l.id = j.id
       where j.id > ? and j.id < ? and j.webhook <> 0 order by j.id limit ?`,
    );
    this.#nextWebhook = db.pluck(
      "select id from webhook indexed by webhook_user where user_id = ? and id >= ? order by id limit 1",
    );
  }

  slice(job: Job, select: Selection, place: Place, limit: number): Slice {
    if (select.ids) return this.#named(job, select, select.ids, place, limit);
    const { userId } = job.spec;
    const isOfUser = userId !== null && select.webhookId === undefined;
    return isOfUser
      ? this.#ofUser(job, select, userId, place, limit)
      : this.#ofRange(job, select, place, limit);
  }

  #named(job: Job, select: Selection, ids: readonly DeliveryId[], place: Place, limit: number): Slice {
    const left = [...new Set(ids)].sort((a, b) => a - b).filter((id) => id > place.id);
    const looked = left.slice(0, limit);
    const found = looked
      .map((id) => this.#changes.find(id))
      .filter((row) => row !== null)
      .filter((row) => this.#isSelected(job, select, row));
    const last = looked.at(-1);
    return { found, next: left.length > looked.length && last ? { ...place, id: last } : null };
  }

  #ofRange(job: Job, select: Selection, place: Place, limit: number): Slice {
    const { from, to } = boundsOf(job, select);
    const webhook = select.webhookId ?? null;
    const range = { webhook, from: Math.max(place.id, from), to, limit: limit * EXAMINED_PER_WANTED };
    const { found, last } = this.#examine(job, select, range, limit);
    return { found, next: last === null ? null : { ...place, id: last } };
  }

  /** Webhook by webhook: what others have is not looked at, however much it is. */
  #ofUser(job: Job, select: Selection, userId: string, place: Place, limit: number): Slice {
    const { from, to } = boundsOf(job, select);
    const found: Candidate[] = [];
    let at = place;
    let rowsLeft = limit * EXAMINED_PER_WANTED;
    for (let looked = 0; looked < WEBHOOKS_PER_SLICE && rowsLeft > 0; looked += 1) {
      const webhook = this.#nextWebhook.get(userId, at.webhook);
      if (webhook === undefined) return { found, next: null };
      const after = webhook === at.webhook ? Math.max(at.id, from) : from;
      const range = { webhook: Number(webhook), from: after, to, limit: rowsLeft };
      const part = this.#examine(job, select, range, limit - found.length);
      found.push(...part.found);
      rowsLeft -= part.examined;
      if (part.last !== null) return { found, next: { webhook: Number(webhook), id: part.last } };
      at = { webhook: Number(webhook) + 1, id: 0 };
    }
    return { found, next: at };
  }

  /** Up to `wanted` of a range. `last`: the id to go on after; null when all of the range was looked at. */
  #examine(
    job: Job,
    select: Selection,
    range: Range,
    wanted: number,
  ): { found: Candidate[]; examined: number; last: number | null } {
    const found: Candidate[] = [];
    const rows = this.#rows(job, select, range);
    for (const row of rows) {
      if (this.#isSelected(job, select, row)) found.push(row);
      if (found.length === wanted) return { found, examined: rows.length, last: row.id };
    }
    const isFull = rows.length === range.limit;
    return { found, examined: rows.length, last: isFull ? (rows.at(-1)?.id ?? null) : null };
  }

  #rows(job: Job, select: Selection, { webhook, from, to, limit }: Range): Candidate[] {
    const wanted = wantedOf(job, select);
    const isDeadOnly = wanted.length === 1 && wanted[0] === "dead";
    if (webhook !== null) {
      const statement = isDeadOnly ? this.#deadOf : this.#of;
      return statement.all(webhook, from, to, limit) as Candidate[];
    }
    return (isDeadOnly ? this.#failed : this.#every).all(from, to, limit) as Candidate[];
  }

  #isSelected(job: Job, select: Selection, row: Candidate): boolean {
    const status = STATUSES[row.status] ?? "pending";
    if (row.status < SUCCESS || !wantedOf(job, select).includes(status)) return false;
    // What ends after the job was made is not the job's.
    if ((row.completed_at ?? 0) > job.createdAt || this.#changes.isHot(row.id)) return false;
    if (row.id < seqAtTime(select.since ?? 0)) return false;
    if (select.until !== undefined && row.id >= seqAtTime(select.until)) return false;
    if (select.reason !== undefined && DEAD_REASONS[row.reason ?? -1] !== select.reason) return false;
    if (select.webhookId !== undefined && row.webhook !== select.webhookId) return false;
    if (row.status === SUCCESS && !this.#takesDeliveries(row.webhook)) return false;
    const { userId } = job.spec;
    if (userId !== null && this.#webhooks.routeOf(row.webhook)?.user_id !== userId) return false;
    return select.eventId === undefined || this.#journal.headOf(row.id)?.event_id === select.eventId;
  }

  /** Sending a delivered one again to a webhook that is off or deleted would only make it a dead one. */
  #takesDeliveries(webhookId: WebhookId): boolean {
    const webhook = this.#webhooks.get(webhookId);
    return webhook?.isActive === true && webhook.deletedAt === null;
  }
}

/** Ids of deliveries, both ends left out. */
function boundsOf(job: Job, { since, until }: Selection): { from: number; to: number } {
  return {
    from: since === undefined ? 0 : seqAtTime(since) - 1,
    to: Math.min(job.id, until === undefined ? Number.MAX_SAFE_INTEGER : seqAtTime(until)),
  };
}

/** What a purge deletes is dead, whatever it says. */
function wantedOf(job: Job, select: Selection): readonly DeliveryStatus[] {
  return job.spec.kind === "purge" ? ["dead"] : (select.statuses ?? ["dead"]);
}
