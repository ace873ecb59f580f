import { DEAD_REASONS, type DeadReason, type DeliveryStatus, STATUSES } from "../../domain/delivery.ts";
import { type DeliveryId, type EventSeq, type JobId, seqAtTime, type WebhookId } from "../../domain/ids.ts";
import type { Job, JobSpec, Selection } from "../../domain/job.ts";
import type { Page } from "../../domain/query.ts";
import type { JobStep, LaneChange, Paged, StepContext } from "../port.ts";
import type { Db, Statement } from "./database.ts";
import { DEAD, type Hot, type HotRow, NO_SLOT, PENDING, SUCCESS, slotOf } from "./hot.ts";
import { hotFromJournal, type Journal } from "./journal.ts";
import { pageOf } from "./keys.ts";
import type { Lanes } from "./lanes.ts";
import { Remover } from "./remover.ts";
import { Tally, TallyMoves } from "./tally.ts";
import type { Webhooks } from "./webhooks.ts";

interface JobRow {
  readonly id: number;
  readonly body: string;
}

/** A job and how far it has come: the last delivery looked at, or the last user of an expansion. */
interface StoredJob {
  readonly job: Job;
  readonly cursor: { readonly id: number; readonly user: string };
}

/** A row of the log that bulk work looks at. */
interface Candidate {
  readonly id: DeliveryId;
  readonly webhook: WebhookId;
  readonly status: number;
  readonly reason: number | null;
  readonly attempts: number;
  readonly completed_at: number | null;
}

/** Rows examined for each one wanted in a slice, so that a narrow filter ends a slice too. */
const EXAMINED_PER_WANTED = 8;
const COLUMNS = "l.id, l.webhook, l.status, l.reason, l.attempts, l.completed_at";

/** Bulk work on the log, a slice at a time, and the commands on single deliveries; all inside the caller's transaction. */
export class Jobs {
  readonly #db: Db;
  readonly #hot: Hot;
  readonly #journal: Journal;
  readonly #lanes: Lanes;
  readonly #webhooks: Webhooks;
  readonly #remover: Remover;
  readonly #tally: Tally;
  readonly #put: Statement;
  readonly #get: Statement;
  readonly #one: Statement;
  readonly #dead: Statement;
  readonly #deadOf: Statement;
  readonly #of: Statement;
  readonly #every: Statement;
  readonly #open: Statement;
  readonly #revive: Statement;
  readonly #end: Statement;
  readonly #makeDue: Statement;

  constructor(db: Db, hot: Hot, journal: Journal, lanes: Lanes, webhooks: Webhooks) {
    this.#db = db;
    this.#hot = hot;
    this.#journal = journal;
    this.#lanes = lanes;
    this.#webhooks = webhooks;
    this.#remover = new Remover(db);
    this.#tally = new Tally(db);
    this.#put = db.prepare("insert or replace into job values (?, ?, ?, ?)");
    this.#get = db.prepare("select id, body from job where id = ?");
    this.#one = db.prepare(`select ${COLUMNS} from log l where webhook = ? and id = ?`);
    this.#dead = db.prepare(
      `select ${COLUMNS} from log l where (status = 1 or status = 3) and status = 3 and id > ? and id < ?
       order by id limit ?`,
    );
    this.#deadOf = db.prepare(
      `select ${COLUMNS} from log l where webhook = ? and status = 3 and id > ? and id < ? order by id limit ?`,
    );
    this.#of = db.prepare(
      `select ${COLUMNS} from log l where webhook = ? and id > ? and id < ? order by id limit ?`,
    );
    this.#every = db.prepare(
      `select ${COLUMNS} from journal j join log l on l.webhook = j.webhook and l.id = j.id
       where j.id > ? and j.id < ? and j.webhook <> 0 order by j.id limit ?`,
    );
    this.#open = db.prepare(
      `select ${COLUMNS}, l.queued_at from log l where webhook = ? and status = ? and due_at is not null
       order by due_at, id limit ?`,
    );
    this.#revive = db.prepare(
      `update log set status = 0, reason = null, due_at = ?, queued_at = ?, round_start = attempts, completed_at = null
       where webhook = ? and id = ?`,
    );
    this.#end = db.prepare(
      "update log set status = 3, reason = ?, due_at = null, completed_at = ? where webhook = ? and id = ?",
    );
    this.#makeDue = db.prepare("update log set due_at = ? where webhook = ? and id = ?");
  }

  insert(job: Job): void {
    this.#write({ job, cursor: { id: 0, user: "" } });
  }

  get(id: JobId): Job | null {
    return this.#read(id)?.job ?? null;
  }

  running(): Job[] {
    const rows = this.#db
      .prepare("select id, body from job where is_running = 1 order by id")
      .all() as JobRow[];
    return rows.map((row) => parse(row).job);
  }

  list(userId: string | null, page: Page): Paged<Job> {
    const rows = this.#db
      .prepare(
        "select id, body from job where (? is null or user_id = ?) and id < ? order by id desc limit ?",
      )
      .all(userId, userId, page.before ?? Number.MAX_SAFE_INTEGER, page.limit + 1) as JobRow[];
    return pageOf(rows, page.limit, (row) => parse(row).job);
  }

  cancel(id: JobId, now: number): boolean {
    const stored = this.#read(id);
    if (stored?.job.status !== "running") return false;
    this.#write({ ...stored, job: { ...stored.job, status: "cancelled", completedAt: now } });
    return true;
  }

  /** Whether a slice needs what is hot to be in the log first. */
  needsFold(id: JobId): boolean {
    return this.#read(id)?.job.spec.kind === "end";
  }

  count(job: Job, limit: number): number {
    const spec = job.spec;
    if (spec.kind === "end") {
      return [PENDING, 1].reduce((n, status) => n + this.#open.all(spec.webhookId, status, limit).length, 0);
    }
    if (spec.kind === "expand") return 0;
    let cursor = 0;
    let count = 0;
    for (;;) {
      const slice = this.#select(job, spec.select, cursor, 1_000);
      count += slice.found.length;
      if (slice.next === null || count >= limit) return Math.min(count, limit);
      cursor = slice.next;
    }
  }

  /** One slice. Deliveries that an expansion makes are put into `made`, to become hot after the commit. */
  step(id: JobId, limit: number, context: StepContext, made: HotRow[]): JobStep {
    const stored = this.#read(id);
    if (stored?.job.status !== "running") {
      if (!stored) throw new Error(`job ${id} does not exist`);
      return { job: stored.job, changes: [] };
    }
    const spec = stored.job.spec;
    if (spec.kind === "expand") return this.#expand(stored, spec, limit, context, made);
    if (spec.kind === "end") return this.#endOpen(stored, spec.webhookId, limit, context.now);
    const { found, next } = this.#select(stored.job, spec.select, stored.cursor.id, limit);
    const changes = spec.kind === "purge" ? this.#purgeAll(found) : this.#reviveAll(found, context.now);
    const job = advance(stored.job, found.length, next === null, context.now);
    this.#write({ job, cursor: { id: next ?? stored.cursor.id, user: "" } });
    return { job, changes };
  }

  revive(id: DeliveryId, now: number): LaneChange | null {
    const candidate = this.#single(id);
    if (!candidate || (candidate.status !== DEAD && candidate.status !== SUCCESS)) return null;
    return this.#reviveAll([candidate], now)[0] ?? null;
  }

  makeDue(id: DeliveryId, now: number): LaneChange | null {
    const candidate = this.#single(id);
    if (!candidate || candidate.status > 1) return null;
    this.#makeDue.run(now, candidate.webhook, id);
    this.#forget(candidate);
    return { webhookId: candidate.webhook, pending: 0, retrying: 0, dueAt: now, died: 0 };
  }

  kill(id: DeliveryId, reason: DeadReason, now: number): LaneChange | null {
    const candidate = this.#single(id);
    if (!candidate || candidate.status > 1) return null;
    return this.#endAll([candidate], reason, now)[0] ?? null;
  }

  expire(webhookId: WebhookId, queuedBefore: number, limit: number, now: number): LaneChange {
    const old = [PENDING, 1]
      .flatMap((status) => this.#open.all(webhookId, status, limit) as (Candidate & { queued_at: number })[])
      .filter((row) => row.queued_at < queuedBefore && this.#isFree(row.id));
    return (
      this.#endAll(old, "expired", now)[0] ?? { webhookId, pending: 0, retrying: 0, dueAt: null, died: 0 }
    );
  }

  #endOpen(stored: StoredJob, webhookId: WebhookId, limit: number, now: number): JobStep {
    const webhook = this.#webhooks.get(webhookId);
    const isOffStill = !webhook?.isActive || webhook.deletedAt !== null;
    const rows = [PENDING, 1].flatMap((status) => this.#open.all(webhookId, status, limit) as Candidate[]);
    const free = isOffStill ? rows.filter((row) => this.#isFree(row.id)).slice(0, limit) : [];
    const changes = this.#endAll(free, "disabled", now);
    const job = advance(stored.job, free.length, free.length === 0, now);
    this.#write({ ...stored, job });
    return { job, changes };
  }

  #expand(
    stored: StoredJob,
    spec: Extract<JobSpec, { kind: "expand" }>,
    limit: number,
    context: StepContext,
    made: HotRow[],
  ): JobStep {
    const head = this.#journal.headOf(spec.event);
    const routes = this.#webhooks.broadcastRoutes(spec.eventId, stored.cursor.user, limit);
    const changes = new Map<WebhookId, LaneChange>();
    for (const { userId, webhookId } of routes.targets) {
      if (!head) break;
      const id = context.nextSeq() as DeliveryId;
      const reason = context.refusal(webhookId);
      this.#journal.appendDelivery(id, webhookId, spec.event as EventSeq);
      const row = hotFromJournal({ ...head, id, webhook: webhookId, event: spec.event }, head, userId);
      row.queuedAt = context.now;
      row.dueAt = context.now;
      if (reason !== null) {
        row.status = DEAD;
        row.reason = DEAD_REASONS.indexOf(reason);
        row.dueAt = null;
        row.completedAt = context.now;
      }
      made.push(row);
      changes.set(webhookId, {
        webhookId,
        pending: reason === null ? 1 : 0,
        retrying: 0,
        dueAt: reason === null ? context.now : null,
        died: reason === null ? 0 : 1,
      });
    }
    const isOver = routes.next === null || head === null;
    const job = advance(stored.job, routes.targets.length, isOver, context.now);
    const finished = isOver ? { ...job, total: job.done } : job;
    this.#write({ job: finished, cursor: { id: 0, user: routes.next ?? stored.cursor.user } });
    return { job: finished, changes: [...changes.values()] };
  }

  /** The next deliveries that the selection means, and the cursor to go on with (null: that was all). */
  #select(
    job: Job,
    select: Selection,
    cursor: number,
    limit: number,
  ): { found: Candidate[]; next: number | null } {
    const { since, until } = select;
    const from = Math.max(cursor, since === undefined ? 0 : seqAtTime(since) - 1);
    const to = Math.min(job.id, until === undefined ? Number.MAX_SAFE_INTEGER : seqAtTime(until));
    const examinedMax = limit * EXAMINED_PER_WANTED;
    const rows = select.ids
      ? this.#named(select.ids, cursor, limit)
      : this.#range(select, from, to, examinedMax);
    const found: Candidate[] = [];
    for (const row of rows) {
      if (this.#isSelected(job, select, row)) found.push(row);
      if (found.length === limit) return { found, next: row.id };
    }
    const last = rows.at(-1);
    const isFull = select.ids ? rows.length === limit : rows.length === examinedMax;
    return { found, next: isFull && last ? last.id : null };
  }

  #named(ids: readonly DeliveryId[], cursor: number, limit: number): Candidate[] {
    const sorted = [...ids].sort((a, b) => a - b).filter((id) => id > cursor);
    return sorted
      .slice(0, limit)
      .map((id) => this.#single(id))
      .filter((row) => row !== null);
  }

  #range(select: Selection, from: number, to: number, limit: number): Candidate[] {
    const statuses: readonly DeliveryStatus[] = select.statuses ?? ["dead"];
    const isDeadOnly = statuses.length === 1 && statuses[0] === "dead";
    if (select.webhookId !== undefined) {
      const statement = isDeadOnly ? this.#deadOf : this.#of;
      return statement.all(select.webhookId, from, to, limit) as Candidate[];
    }
    return (isDeadOnly ? this.#dead : this.#every).all(from, to, limit) as Candidate[];
  }

  #isSelected(job: Job, select: Selection, row: Candidate): boolean {
    const status = STATUSES[row.status] ?? "pending";
    const wanted = select.statuses ?? ["dead"];
    if (!wanted.includes(status) || row.status < SUCCESS) return false;
    // What ends after the job was made is not the job's.
    if ((row.completed_at ?? 0) > job.createdAt || !this.#isFree(row.id)) return false;
    if (select.reason !== undefined && DEAD_REASONS[row.reason ?? -1] !== select.reason) return false;
    if (select.webhookId !== undefined && row.webhook !== select.webhookId) return false;
    if (job.spec.userId !== null && this.#webhooks.get(row.webhook)?.userId !== job.spec.userId) return false;
    return select.eventId === undefined || this.#journal.headOf(row.id)?.event_id === select.eventId;
  }

  #reviveAll(rows: readonly Candidate[], now: number): LaneChange[] {
    const moves = new TallyMoves();
    const changes = new Changes();
    for (const row of rows) {
      this.#revive.run(now, now, row.webhook, row.id);
      moves.move(row.webhook, slotOf(row.status, row.reason), PENDING);
      changes.add(row.webhook, { pending: 1, dueAt: now });
      this.#forget(row);
    }
    this.#tally.write(moves);
    return changes.all();
  }

  #endAll(rows: readonly Candidate[], reason: DeadReason, now: number): LaneChange[] {
    const code = DEAD_REASONS.indexOf(reason);
    const moves = new TallyMoves();
    const changes = new Changes();
    for (const row of rows) {
      this.#end.run(code, now, row.webhook, row.id);
      moves.move(row.webhook, row.status, slotOf(DEAD, code));
      changes.add(row.webhook, { [row.status === PENDING ? "pending" : "retrying"]: -1, died: 1 });
      this.#forget(row);
    }
    this.#tally.write(moves);
    return changes.all();
  }

  #purgeAll(rows: readonly Candidate[]): LaneChange[] {
    const moves = new TallyMoves();
    for (const row of rows) moves.move(row.webhook, slotOf(row.status, row.reason), NO_SLOT);
    this.#remover.remove(rows);
    this.#tally.write(moves);
    return [];
  }

  #single(id: DeliveryId): Candidate | null {
    const webhookId = this.#journal.webhookOf(id);
    if (webhookId === null || !this.#isFree(id)) return null;
    return (this.#one.get(webhookId, id) as Candidate | undefined) ?? null;
  }

  /** Nothing in memory overrides what the log says of this delivery. */
  #isFree(id: DeliveryId): boolean {
    const row = this.#hot.rows.get(id);
    return !row || (row.token === 0 && !row.isDirty);
  }

  /** The log was changed: memory must not know it otherwise, and its lane is read from the beginning again. */
  #forget(row: Candidate): void {
    this.#hot.rows.delete(row.id);
    this.#lanes.rewind(row.webhook);
  }

  #read(id: JobId): StoredJob | null {
    const row = this.#get.get(id) as JobRow | undefined;
    return row ? parse(row) : null;
  }

  #write({ job, cursor }: StoredJob): void {
    this.#put.run(job.id, job.spec.userId, job.status === "running" ? 1 : 0, JSON.stringify({ job, cursor }));
  }
}

function parse(row: JobRow): StoredJob {
  return JSON.parse(row.body) as StoredJob;
}

function advance(job: Job, done: number, isOver: boolean, now: number): Job {
  const moved = { ...job, done: job.done + done };
  return isOver ? { ...moved, status: "done", completedAt: now } : moved;
}

/** Lane changes summed up by webhook. */
class Changes {
  readonly #byWebhook = new Map<
    WebhookId,
    { pending: number; retrying: number; dueAt: number | null; died: number }
  >();

  add(webhookId: WebhookId, change: Partial<Omit<LaneChange, "webhookId">>): void {
    const sum = this.#byWebhook.get(webhookId) ?? { pending: 0, retrying: 0, dueAt: null, died: 0 };
    sum.pending += change.pending ?? 0;
    sum.retrying += change.retrying ?? 0;
    sum.died += change.died ?? 0;
    sum.dueAt = change.dueAt ?? sum.dueAt;
    this.#byWebhook.set(webhookId, sum);
  }

  all(): LaneChange[] {
    return [...this.#byWebhook].map(([webhookId, sum]) => ({ webhookId, ...sum }));
  }
}
