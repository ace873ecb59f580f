import { DEAD_REASONS, type DeliveryStatus, STATUSES } from "../../domain/delivery.ts";
import { type DeliveryId, type EventSeq, type JobId, seqAtTime, type WebhookId } from "../../domain/ids.ts";
import type { Job, JobSpec, Selection } from "../../domain/job.ts";
import type { Page } from "../../domain/query.ts";
import type { JobStep, LaneChange, Paged, StepContext } from "../port.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { DEAD, type HotRow, SUCCESS } from "./hot.ts";
import { hotFromJournal, type Journal } from "./journal.ts";
import { pageOf } from "./keys.ts";
import { CANDIDATE_COLUMNS, type Candidate, type LogChanges } from "./log-changes.ts";
import type { Remover } from "./remover.ts";
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

/** Deliveries that a selection means, and the id to go on after; null when there are no more. */
interface Slice {
  readonly found: Candidate[];
  readonly next: number | null;
}

/** Rows examined for each one wanted in a slice, so that a narrow filter ends a slice too. */
const EXAMINED_PER_WANTED = 8;
const COUNTED_PER_SLICE = 200;

/** Bulk work on the log, a slice at a time; all inside the caller's transaction. */
export class Jobs {
  readonly #db: Db;
  readonly #changes: LogChanges;
  readonly #journal: Journal;
  readonly #webhooks: Webhooks;
  readonly #remover: Remover;
  readonly #put: Statement;
  readonly #get: Statement;
  readonly #list: Statement;
  readonly #listOf: Statement;
  readonly #failed: Statement;
  readonly #deadOf: Statement;
  readonly #of: Statement;
  readonly #every: Statement;
  readonly #openCount: Plucked;

  constructor(db: Db, changes: LogChanges, journal: Journal, webhooks: Webhooks, remover: Remover) {
    this.#db = db;
    this.#changes = changes;
    this.#journal = journal;
    this.#webhooks = webhooks;
    this.#remover = remover;
    this.#put = db.prepare("insert or replace into job values (?, ?, ?, ?)");
    this.#get = db.prepare("select id, body from job where id = ?");
    this.#list = db.prepare("select id, body from job where id < ? order by id desc limit ?");
    this.#listOf = db.prepare(
      "select id, body from job where user_id = ? and id < ? order by id desc limit ?",
    );
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
    this.#openCount = db.pluck("select coalesce(sum(n), 0) from tally where slot in (0, 1) and webhook = ?");
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
    const before = page.before ?? Number.MAX_SAFE_INTEGER;
    const rows = (
      userId === null
        ? this.#list.all(before, page.limit + 1)
        : this.#listOf.all(userId, before, page.limit + 1)
    ) as JobRow[];
    return pageOf(rows, page.limit, (row) => parse(row).job);
  }

  cancel(id: JobId, now: number): boolean {
    const stored = this.#read(id);
    if (stored?.job.status !== "running") return false;
    const job: Job = { ...stored.job, status: "cancelled", completedAt: now };
    this.#write({ ...stored, job });
    this.#dropBarren(job);
    return true;
  }

  /** Whether a slice would find nothing in the log, so that what is hot has to go there first. */
  needsFold(id: JobId): boolean {
    const spec = this.#read(id)?.job.spec;
    return spec?.kind === "end" && this.#changes.openOf(spec.webhookId, 1).length === 0;
  }

  /** Counts a slice of what the job would cover, from `cursor` on. */
  count(job: Job, cursor: number): { count: number; next: number | null } {
    const spec = job.spec;
    if (spec.kind === "expand") return { count: 0, next: null };
    if (spec.kind === "end") return { count: Number(this.#openCount.get(spec.webhookId)), next: null };
    const slice = this.#select(job, spec.select, cursor, COUNTED_PER_SLICE);
    return { count: slice.found.length, next: slice.next };
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
    const changes =
      spec.kind === "purge" ? this.#changes.purgeAll(found) : this.#changes.reviveAll(found, context.now);
    const job = advance(stored.job, found.length, next === null, context.now);
    this.#write({ job, cursor: { id: next ?? stored.cursor.id, user: "" } });
    return { job, changes };
  }

  #endOpen(stored: StoredJob, webhookId: WebhookId, limit: number, now: number): JobStep {
    const webhook = this.#webhooks.get(webhookId);
    const isOffStill = !webhook?.isActive || webhook.deletedAt !== null;
    const open = isOffStill ? this.#changes.openOf(webhookId, limit) : [];
    const changes = this.#changes.endAll(open, "disabled", now);
    const job = advance(stored.job, open.length, open.length === 0, now);
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
    const targets = head ? routes.targets : [];
    const changes: LaneChange[] = [];
    for (const { userId, webhookId } of targets) {
      if (!head) break;
      const id = context.nextSeq() as DeliveryId;
      const reason = context.refusal(webhookId);
      this.#journal.appendDelivery(id, webhookId, spec.event as EventSeq);
      const row = hotFromJournal(id, webhookId, head, userId, context.now);
      if (reason !== null) {
        row.status = DEAD;
        row.reason = DEAD_REASONS.indexOf(reason);
        row.dueAt = null;
        row.completedAt = context.now;
      }
      made.push(row);
      changes.push({
        webhookId,
        pending: reason === null ? 1 : 0,
        retrying: 0,
        dueAt: row.dueAt,
        died: reason === null ? 0 : 1,
      });
    }
    const isOver = routes.next === null || head === null;
    const job = advance(stored.job, targets.length, isOver, context.now);
    const finished = isOver ? { ...job, total: job.done } : job;
    this.#write({ job: finished, cursor: { id: 0, user: routes.next ?? stored.cursor.user } });
    this.#dropBarren(finished);
    return { job: finished, changes };
  }

  /** A broadcast that met nobody leaves no delivery with which its event's row would be pruned. */
  #dropBarren(job: Job): void {
    if (job.spec.kind === "expand" && job.status !== "running") this.#remover.removeBarren(job.spec.event);
  }

  #select(job: Job, select: Selection, cursor: number, limit: number): Slice {
    if (select.ids) return this.#selectNamed(job, select, select.ids, cursor, limit);
    const { since, until } = select;
    const from = Math.max(cursor, since === undefined ? 0 : seqAtTime(since) - 1);
    const to = Math.min(job.id, until === undefined ? Number.MAX_SAFE_INTEGER : seqAtTime(until));
    const examinedMax = limit * EXAMINED_PER_WANTED;
    const found: Candidate[] = [];
    const rows = this.#range(job, select, from, to, examinedMax);
    for (const row of rows) {
      if (this.#isSelected(job, select, row)) found.push(row);
      if (found.length === limit) return { found, next: row.id };
    }
    const last = rows.at(-1);
    return { found, next: rows.length === examinedMax && last ? last.id : null };
  }

  #selectNamed(
    job: Job,
    select: Selection,
    ids: readonly DeliveryId[],
    cursor: number,
    limit: number,
  ): Slice {
    const left = [...new Set(ids)].sort((a, b) => a - b).filter((id) => id > cursor);
    const looked = left.slice(0, limit);
    const found = looked
      .map((id) => this.#changes.find(id))
      .filter((row) => row !== null)
      .filter((row) => this.#isSelected(job, select, row));
    return { found, next: left.length > looked.length ? (looked.at(-1) ?? null) : null };
  }

  #range(job: Job, select: Selection, from: number, to: number, limit: number): Candidate[] {
    const wanted = wantedOf(job, select);
    const isDeadOnly = wanted.length === 1 && wanted[0] === "dead";
    if (select.webhookId !== undefined) {
      const statement = isDeadOnly ? this.#deadOf : this.#of;
      return statement.all(select.webhookId, from, to, limit) as Candidate[];
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

  #read(id: JobId): StoredJob | null {
    const row = this.#get.get(id) as JobRow | undefined;
    return row ? parse(row) : null;
  }

  #write({ job, cursor }: StoredJob): void {
    this.#put.run(job.id, job.spec.userId, job.status === "running" ? 1 : 0, JSON.stringify({ job, cursor }));
  }
}

/** What a purge deletes is dead, whatever it says. */
function wantedOf(job: Job, select: Selection): readonly DeliveryStatus[] {
  return job.spec.kind === "purge" ? ["dead"] : (select.statuses ?? ["dead"]);
}

function parse(row: JobRow): StoredJob {
  return JSON.parse(row.body) as StoredJob;
}

function advance(job: Job, done: number, isOver: boolean, now: number): Job {
  const moved = { ...job, done: job.done + done };
  return isOver ? { ...moved, status: "done", completedAt: now } : moved;
}
