import { setImmediate as turn } from "node:timers/promises";
import { DEAD_REASONS } from "../../domain/delivery.ts";
import type { DeliveryId, EventSeq, JobId, WebhookId } from "../../domain/ids.ts";
import type { Job, JobSpec } from "../../domain/job.ts";
import type { Page } from "../../domain/query.ts";
import type { JobStep, LaneChange, Paged, StepContext } from "../port.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { DEAD, type HotRow } from "./hot.ts";
import { hotFromJournal, type Journal } from "./journal.ts";
import { pageOf } from "./keys.ts";
import type { LogChanges } from "./log-changes.ts";
import type { Remover } from "./remover.ts";
import { BEGINNING, type Place, Selections } from "./selections.ts";
import type { Webhooks } from "./webhooks.ts";

interface JobRow {
  readonly id: number;
  readonly body: string;
}

/** A job and how far it has come: the last delivery looked at, or the last user of an expansion. */
interface StoredJob {
  readonly job: Job;
  readonly cursor: { readonly id: number; readonly webhook?: number; readonly user: string };
}

const COUNTED_PER_SLICE = 200;

/** Bulk work on the log, a slice at a time; all inside the caller's transaction. */
export class Jobs {
  readonly #db: Db;
  readonly #changes: LogChanges;
  readonly #journal: Journal;
  readonly #webhooks: Webhooks;
  readonly #remover: Remover;
  readonly #selections: Selections;
  readonly #put: Statement;
  readonly #get: Statement;
  readonly #list: Statement;
  readonly #listOf: Statement;
  readonly #openCount: Plucked;

  constructor(db: Db, changes: LogChanges, journal: Journal, webhooks: Webhooks, remover: Remover) {
    this.#db = db;
    this.#changes = changes;
    this.#journal = journal;
    this.#webhooks = webhooks;
    this.#remover = remover;
    this.#selections = new Selections(db, changes, journal, webhooks);
    this.#put = db.prepare("insert or replace into job values (?, ?, ?, ?)");
    this.#get = db.prepare("select id, body from job where id = ?");
    this.#list = db.prepare("select id, body from job where id < ? order by id desc limit ?");
    this.#listOf = db.prepare(
      "select id, body from job where user_id = ? and id < ? order by id desc limit ?",
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

  /** What the job would cover, up to `limit`. `look` makes each look at the log, in its turn. */
  async count(
    job: Job,
    { limit, looksMax = Number.POSITIVE_INFINITY }: { limit: number; looksMax: number | undefined },
    look: <T>(find: () => T) => Promise<T>,
  ): Promise<number> {
    const { spec } = job;
    if (spec.kind === "expand") return 0;
    if (spec.kind === "end") return Math.min(Number(this.#openCount.get(spec.webhookId)), limit);
    let total = 0;
    let place: Place | null = BEGINNING;
    for (let looks = 0; place !== null && total < limit; looks += 1) {
      if (looks >= looksMax) return limit;
      const from: Place = place;
      const slice = await look(() => this.#selections.slice(job, spec.select, from, COUNTED_PER_SLICE));
      total += slice.found.length;
      place = slice.next;
      await turn();
    }
    return Math.min(total, limit);
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
    const { id: lastId, webhook = 0 } = stored.cursor;
    const place = { id: lastId, webhook };
    const { found, next } = this.#selections.slice(stored.job, spec.select, place, limit);
    const changes =
      spec.kind === "purge" ? this.#changes.purgeAll(found) : this.#changes.reviveAll(found, context.now);
    const job = advance(stored.job, found.length, next === null, context.now);
    this.#write({ job, cursor: { ...(next ?? place), user: "" } });
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
