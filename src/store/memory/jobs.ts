import type { DeadReason, DeliveryStatus } from "../../domain/delivery.ts";
import { type DeliveryId, timeOfSeq, type WebhookId } from "../../domain/ids.ts";
import type { Job, JobSpec, Selection } from "../../domain/job.ts";
import type { JobStep, LaneChange, StepContext } from "../port.ts";
import { type DeliveryRecord, freshDelivery, isOpen, type JobRecord, type MemoryDisk } from "./disk.ts";
import { broadcastRoutes } from "./lists.ts";

type IsLeased = (id: DeliveryId) => boolean;

/** One slice of a running job. */
export function stepJob(
  disk: MemoryDisk,
  isLeased: IsLeased,
  stored: JobRecord,
  limit: number,
  context: StepContext,
): JobStep {
  const spec = stored.job.spec;
  if (spec.kind === "expand") return expand(disk, stored, spec, limit, context);
  if (spec.kind === "end") return endOpen(disk, isLeased, stored, spec.webhookId, limit, context.now);
  const left = selected(disk, stored.job, spec.select).filter((record) => record.id > stored.cursor.id);
  const found = left.slice(0, limit);
  const changes =
    spec.kind === "purge" ? purgeAll(disk, found) : found.map((record) => revive(disk, record, context.now));
  const job = advance(stored.job, found.length, found.length === left.length, context.now);
  const cursor = { id: found.at(-1)?.id ?? stored.cursor.id, user: "" };
  disk.jobs.set(job.id, { job, cursor });
  return { job, changes: summed(changes) };
}

/** What the job would change now, in order of id. */
export function covered(disk: MemoryDisk, job: Job): DeliveryRecord[] {
  const spec = job.spec;
  if (spec.kind === "expand") return [];
  if (spec.kind === "end") return [...(disk.lanes.get(spec.webhookId)?.values() ?? [])];
  return selected(disk, job, spec.select);
}

/** A new round. */
export function revive(disk: MemoryDisk, record: DeliveryRecord, now: number): LaneChange {
  disk.put({
    ...record,
    status: "pending",
    reason: null,
    dueAt: now,
    queuedAt: now,
    roundStart: record.attemptCount,
    completedAt: null,
  });
  return { ...noChange(record.webhookId), pending: 1, dueAt: now };
}

export function end(disk: MemoryDisk, record: DeliveryRecord, reason: DeadReason, now: number): LaneChange {
  disk.put({ ...record, status: "dead", reason, dueAt: null, completedAt: now });
  const queue = record.status === "pending" ? { pending: -1 } : { retrying: -1 };
  return { ...noChange(record.webhookId), ...queue, died: 1 };
}

/** Open deliveries of one of a lane's queues that are not leased, oldest due first. */
export function freeOf(
  disk: MemoryDisk,
  isLeased: IsLeased,
  webhookId: WebhookId,
  status: "pending" | "retrying",
): DeliveryRecord[] {
  return [...(disk.lanes.get(webhookId)?.values() ?? [])]
    .filter((record) => record.status === status && !isLeased(record.id))
    .sort((a, b) => (a.dueAt ?? 0) - (b.dueAt ?? 0) || a.id - b.id);
}

export function noChange(webhookId: WebhookId): LaneChange {
  return { webhookId, pending: 0, retrying: 0, dueAt: null, died: 0 };
}

/** The changes of a slice, one for each webhook. */
export function summed(changes: readonly LaneChange[]): LaneChange[] {
  const sums = new Map<WebhookId, LaneChange>();
  for (const change of changes) {
    const sum = sums.get(change.webhookId) ?? noChange(change.webhookId);
    sums.set(change.webhookId, {
      webhookId: change.webhookId,
      pending: sum.pending + change.pending,
      retrying: sum.retrying + change.retrying,
      dueAt: change.dueAt ?? sum.dueAt,
      died: sum.died + change.died,
    });
  }
  return [...sums.values()];
}

function endOpen(
  disk: MemoryDisk,
  isLeased: IsLeased,
  stored: JobRecord,
  webhookId: WebhookId,
  limit: number,
  now: number,
): JobStep {
  const webhook = disk.webhooks.get(webhookId);
  const isOffStill = !webhook?.isActive || webhook.deletedAt !== null;
  const free = [
    ...freeOf(disk, isLeased, webhookId, "pending"),
    ...freeOf(disk, isLeased, webhookId, "retrying"),
  ];
  const ended = isOffStill ? free.slice(0, limit) : [];
  const changes = ended.map((record) => end(disk, record, "disabled", now));
  const job = advance(stored.job, ended.length, ended.length === 0, now);
  disk.jobs.set(job.id, { ...stored, job });
  return { job, changes: summed(changes) };
}

function expand(
  disk: MemoryDisk,
  stored: JobRecord,
  spec: Extract<JobSpec, { kind: "expand" }>,
  limit: number,
  context: StepContext,
): JobStep {
  const event = disk.events.get(spec.event);
  const routes = broadcastRoutes(disk, spec.eventId, stored.cursor.user, limit);
  const targets = event ? routes.targets : [];
  const changes = targets.map(({ userId, webhookId }) => {
    const reason = context.refusal(webhookId);
    const id = context.nextSeq() as DeliveryId;
    const record = freshDelivery(id, spec.event, { webhookId, userId, reason }, context.now);
    disk.put(record);
    const queue = isOpen(record) ? { pending: 1, dueAt: record.dueAt } : { died: 1 };
    return { ...noChange(webhookId), ...queue };
  });
  const isOver = routes.next === null || !event;
  const job = advance(stored.job, targets.length, isOver, context.now);
  const finished = isOver ? { ...job, total: job.done } : job;
  disk.jobs.set(job.id, { job: finished, cursor: { id: 0, user: routes.next ?? stored.cursor.user } });
  if (isOver) disk.removeBarren(spec.event);
  return { job: finished, changes };
}

function purgeAll(disk: MemoryDisk, records: readonly DeliveryRecord[]): LaneChange[] {
  for (const record of records) disk.remove(record);
  return [];
}

function selected(disk: MemoryDisk, job: Job, select: Selection): DeliveryRecord[] {
  const wanted: readonly DeliveryStatus[] =
    job.spec.kind === "purge" ? ["dead"] : (select.statuses ?? ["dead"]);
  return [...disk.deliveries.values()]
    .filter((record) => {
      const createdAt = timeOfSeq(record.id);
      const webhook = disk.webhooks.get(record.webhookId);
      const userId = webhook?.userId;
      // Sending a delivered one again to a webhook that is off or deleted would only make it a dead one.
      const isTaken = webhook?.isActive === true && webhook.deletedAt === null;
      return (
        (record.status !== "success" || isTaken) &&
        !isOpen(record) &&
        wanted.includes(record.status) &&
        record.id < job.id &&
        // What ends after the job was made is not the job's.
        (record.completedAt ?? 0) <= job.createdAt &&
        (select.ids === undefined || select.ids.includes(record.id)) &&
        (select.webhookId === undefined || record.webhookId === select.webhookId) &&
        (select.eventId === undefined || disk.events.get(record.event)?.eventId === select.eventId) &&
        (select.reason === undefined || record.reason === select.reason) &&
        (select.since === undefined || createdAt >= select.since) &&
        (select.until === undefined || createdAt < select.until) &&
        (job.spec.userId === null || userId === job.spec.userId)
      );
    })
    .sort((a, b) => a.id - b.id);
}

function advance(job: Job, done: number, isOver: boolean, now: number): Job {
  const moved = { ...job, done: job.done + done };
  return isOver ? { ...moved, status: "done", completedAt: now } : moved;
}
