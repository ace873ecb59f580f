import type { DedupeKey } from "../../domain/dedupe.ts";
import {
  type Attempt,
  DELIVERY_REFS_MAX,
  type DeadReason,
  type Delivery,
  type EndedDelivery,
} from "../../domain/delivery.ts";
import {
  type DeliveryId,
  type EventSeq,
  type JobId,
  type KeyId,
  seqAtTime,
  type WebhookId,
} from "../../domain/ids.ts";
import type { Job } from "../../domain/job.ts";
import type { ApiKey } from "../../domain/key.ts";
import type {
  DeadGroup,
  DeliveryFilter,
  GroupKey,
  Page,
  RouteKey,
  WebhookFilter,
} from "../../domain/query.ts";
import type { Webhook } from "../../domain/webhook.ts";
import type { Clock } from "../../lib/clock.ts";
import type {
  Appended,
  BroadcastRoutes,
  CommitBatch,
  Committed,
  JobStep,
  Keep,
  LaneChange,
  Leased,
  LeaseGrant,
  LeaseWant,
  NewEvent,
  Paged,
  PruneBounds,
  Pruned,
  RecoveredLane,
  Recovery,
  Settlement,
  StepContext,
  Store,
  StoredEvent,
  StoreStats,
} from "../port.ts";
import { type DeliveryRecord, deliveryOf, freshDelivery, isOpen, MemoryDisk } from "./disk.ts";
import { covered, end, freeOf, noChange, revive, stepJob, summed } from "./jobs.ts";
import {
  broadcastRoutes,
  deliveryMatches,
  groupDead,
  pageNewestFirst,
  routeOf,
  webhookMatches,
} from "./lists.ts";

export interface MemoryOptions {
  readonly dedupeWindowMs: number;
  readonly clock: Clock;
  /** What an earlier store left; a new one when not given. */
  readonly disk?: MemoryDisk;
}

/** The store for tests and simulation: maps and sorts, nothing clever, the same answers as every other adapter. */
export function createMemoryStore(options: MemoryOptions): Store {
  return new MemoryStore(options);
}

class MemoryStore implements Store {
  readonly #options: MemoryOptions;
  readonly #file: MemoryDisk;
  /** Of this process alone: tokens by delivery. */
  readonly #leases = new Map<DeliveryId, number>();
  #opening = 0;

  constructor(options: MemoryOptions) {
    this.#options = options;
    this.#file = options.disk ?? new MemoryDisk();
  }

  async open(): Promise<Recovery> {
    this.#file.openings += 1;
    this.#opening = this.#file.openings;
    this.#leases.clear();
    const disk = this.#disk;
    const running = [...disk.jobs.values()].map(({ job }) => job).filter((job) => job.status === "running");
    const lanes = new Set([...disk.lanes.keys(), ...disk.laneStates.keys()]);
    return {
      salt: disk.salt,
      lastSeq: disk.lastSeq,
      lanes: [...lanes].map((webhookId) => this.#recovered(webhookId)),
      runningJobs: running.sort((a, b) => a.id - b.id),
    };
  }

  async close(): Promise<void> {
    this.#opening = 0;
  }

  async commit(batch: CommitBatch): Promise<Committed> {
    const disk = this.#disk;
    disk.uids.rotate(batch.now, this.#options.dedupeWindowMs);
    // A settlement is measured against the leases of before the batch, as its appends are.
    const stale = batch.settlements.flatMap((settlement, index) => (this.#settle(settlement) ? [] : [index]));
    const appended = batch.appends.map((event) => this.#append(event, batch.now));
    for (const { webhookId, state } of batch.laneStates) {
      if (state === null) disk.laneStates.delete(webhookId);
      else disk.laneStates.set(webhookId, state);
    }
    return { appended, stale };
  }

  async lease(wants: readonly LeaseWant[]): Promise<readonly LeaseGrant[]> {
    return wants.map((want) => {
      const free = this.#free(want.webhookId, want.status);
      const due = free.filter((record) => (record.dueAt ?? 0) <= want.dueBy).slice(0, want.limit);
      const leased = due.map((record, index) => {
        this.#leases.set(record.id, want.firstToken + index);
        return this.#leasedOf(record, want.firstToken + index);
      });
      const nextDueAt = free[leased.length]?.dueAt ?? null;
      return { leased, nextDueAt };
    });
  }

  async release(leases: readonly { readonly id: DeliveryId; readonly token: number }[]): Promise<void> {
    for (const { id, token } of leases) if (this.#leases.get(id) === token) this.#leases.delete(id);
  }

  async maintain(): Promise<boolean> {
    return false;
  }

  async expire(webhookId: WebhookId, queuedBefore: number, limit: number, now: number): Promise<LaneChange> {
    const old = (["pending", "retrying"] as const).flatMap((status) =>
      this.#free(webhookId, status)
        .slice(0, limit)
        .filter((record) => record.queuedAt < queuedBefore),
    );
    const [change] = summed(old.map((record) => end(this.#disk, record, "expired", now)));
    return change ?? noChange(webhookId);
  }

  async prune(bounds: PruneBounds, limit: number, keep?: Keep): Promise<Pruned> {
    const ended = [...this.#disk.deliveries.values()].filter((record) => {
      const before = record.status === "dead" ? bounds.deadBefore : bounds.successBefore;
      return record.completedAt !== null && record.completedAt < before;
    });
    const slice = ended.slice(0, limit);
    if (keep && slice.length > 0) await keep(slice.map((record) => this.#endedOf(record)));
    const disk = this.#disk;
    // A change puts another record in its place.
    const deleted = slice.filter((record) => disk.deliveries.get(record.id) === record);
    for (const record of deleted) disk.remove(record);
    const needed = new Set([...disk.deliveries.values()].map((record) => record.webhookId));
    for (const { id, deletedAt } of [...disk.webhooks.values()]) {
      if (deletedAt === null || deletedAt >= bounds.successBefore || needed.has(id)) continue;
      disk.webhooks.delete(id);
      disk.laneStates.delete(id);
    }
    for (const { job } of [...disk.jobs.values()]) {
      if (job.status !== "running" && job.id < seqAtTime(bounds.deadBefore)) disk.jobs.delete(job.id);
    }
    return { deleted: deleted.length, hasMore: ended.length > slice.length };
  }

  async revive(id: DeliveryId, now: number): Promise<LaneChange | null> {
    const record = this.#disk.deliveries.get(id);
    return record?.status === "dead" ? revive(this.#disk, record, now) : null;
  }

  async makeDue(id: DeliveryId, now: number): Promise<LaneChange | null> {
    const record = this.#disk.deliveries.get(id);
    if (!record || !isOpen(record) || this.#leases.has(id)) return null;
    this.#disk.put({ ...record, dueAt: now });
    return { ...noChange(record.webhookId), dueAt: now };
  }

  async kill(id: DeliveryId, reason: DeadReason, now: number): Promise<LaneChange | null> {
    const record = this.#disk.deliveries.get(id);
    if (!record || !isOpen(record) || this.#leases.has(id)) return null;
    return end(this.#disk, record, reason, now);
  }

  async listDeliveries(filter: DeliveryFilter, page: Page): Promise<Paged<Delivery>> {
    const all = [...this.#disk.deliveries.values()].map((record) => this.#deliveryOf(record));
    return pageNewestFirst(
      all.filter((delivery) => deliveryMatches(delivery, filter)),
      page,
    );
  }

  async getDelivery(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null> {
    const record = this.#disk.deliveries.get(id);
    return record ? { delivery: this.#deliveryOf(record), attempts: record.attempts } : null;
  }

  async findEvent(key: DedupeKey): Promise<EventSeq | null> {
    return this.#disk.uids.find(key)?.event ?? null;
  }

  async getEvent(seq: EventSeq, deliveriesMax: number): Promise<StoredEvent | null> {
    const found = this.#disk.events.get(seq);
    if (!found) return null;
    const { trace, ...event } = found;
    const deliveries = this.#disk.deliveriesOf(seq);
    return {
      ...event,
      payload: Uint8Array.from(event.payload),
      deliveryCount: deliveries.length,
      deliveries: deliveries.slice(0, deliveriesMax).map((record) => this.#deliveryOf(record)),
    };
  }

  async deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]> {
    const dead = [...this.#disk.deliveries.values()]
      .filter((record) => record.status === "dead")
      .map((record) => this.#deliveryOf(record));
    return groupDead(
      dead.filter((delivery) => deliveryMatches(delivery, { ...filter, statuses: ["dead"] })),
      by,
      (webhookId) => this.#disk.webhooks.get(webhookId)?.eventId,
    );
  }

  async insertWebhook(webhook: Webhook): Promise<Webhook | null> {
    const isTaken = this.#disk.webhookAt(webhook.userId, webhook.eventId) !== null;
    if (isTaken || this.#disk.webhooks.has(webhook.id)) return null;
    this.#disk.webhooks.set(webhook.id, structuredClone(webhook));
    this.#disk.lastSeq = Math.max(this.#disk.lastSeq, webhook.id);
    return webhook;
  }

  async updateWebhook(webhook: Webhook): Promise<boolean> {
    const stored = this.#disk.webhooks.get(webhook.id);
    const holder = this.#disk.webhookAt(webhook.userId, webhook.eventId);
    const isTaken = webhook.deletedAt === null && holder !== null && holder.id !== webhook.id;
    if (stored?.version !== webhook.version - 1 || isTaken) return false;
    this.#disk.webhooks.set(webhook.id, structuredClone(webhook));
    return true;
  }

  async findWebhook(userId: string, eventId: string): Promise<Webhook | null> {
    return this.#disk.webhookAt(userId, eventId);
  }

  async getWebhooks(ids: readonly WebhookId[]): Promise<readonly (Webhook | null)[]> {
    return ids.map((id) => this.#disk.webhooks.get(id) ?? null);
  }

  async listWebhooks(filter: WebhookFilter, page: Page): Promise<Paged<Webhook>> {
    const all = [...this.#disk.webhooks.values()];
    return pageNewestFirst(
      all.filter((webhook) => webhookMatches(webhook, filter)),
      page,
    );
  }

  async routes(keys: readonly RouteKey[]): Promise<readonly (readonly WebhookId[])[]> {
    return keys.map(({ userId, eventId }) => {
      const id = routeOf(this.#disk, userId, eventId);
      return id === null ? [] : [id];
    });
  }

  async broadcastRoutes(eventId: string, afterUser: string, limit: number): Promise<BroadcastRoutes> {
    return broadcastRoutes(this.#disk, eventId, afterUser, limit);
  }

  async insertKey(key: ApiKey): Promise<void> {
    if (this.#disk.keys.has(key.id) || (await this.findKey(key.hash))) {
      throw new Error(`key ${key.id} exists already`);
    }
    this.#disk.keys.set(key.id, structuredClone(key));
    this.#disk.lastSeq = Math.max(this.#disk.lastSeq, key.id);
  }

  async findKey(hash: Uint8Array): Promise<ApiKey | null> {
    return [...this.#disk.keys.values()].find((key) => Buffer.compare(key.hash, hash) === 0) ?? null;
  }

  async getKey(id: KeyId): Promise<ApiKey | null> {
    return this.#disk.keys.get(id) ?? null;
  }

  async listKeys(userId: string | null, page: Page): Promise<Paged<ApiKey>> {
    const keys = [...this.#disk.keys.values()].filter((key) => userId === null || key.userId === userId);
    return pageNewestFirst(keys, page);
  }

  async deleteKey(id: KeyId): Promise<boolean> {
    return this.#disk.keys.delete(id);
  }

  async insertJob(job: Job): Promise<void> {
    this.#disk.jobs.set(job.id, { job, cursor: { id: 0, user: "" } });
    this.#disk.lastSeq = Math.max(this.#disk.lastSeq, job.id);
  }

  async getJob(id: JobId): Promise<Job | null> {
    return this.#disk.jobs.get(id)?.job ?? null;
  }

  async listJobs(userId: string | null, page: Page): Promise<Paged<Job>> {
    const jobs = [...this.#disk.jobs.values()].map(({ job }) => job);
    return pageNewestFirst(
      jobs.filter((job) => userId === null || job.spec.userId === userId),
      page,
    );
  }

  async countSelection(job: Job, limit: number): Promise<number> {
    return Math.min(limit, covered(this.#disk, job).length);
  }

  async stepJob(id: JobId, limit: number, context: StepContext): Promise<JobStep> {
    const stored = this.#disk.jobs.get(id);
    if (!stored) throw new Error(`job ${id} does not exist`);
    if (stored.job.status !== "running") return { job: stored.job, changes: [] };
    return stepJob(this.#disk, (delivery) => this.#leases.has(delivery), stored, limit, context);
  }

  async cancelJob(id: JobId, now: number): Promise<boolean> {
    const stored = this.#disk.jobs.get(id);
    if (stored?.job.status !== "running") return false;
    this.#disk.jobs.set(id, { ...stored, job: { ...stored.job, status: "cancelled", completedAt: now } });
    if (stored.job.spec.kind === "expand") this.#disk.removeBarren(stored.job.spec.event);
    return true;
  }

  async forgetUids(before: number): Promise<boolean> {
    return this.#disk.uids.forget(before);
  }

  async putSetting(name: string, value: string): Promise<void> {
    this.#disk.settings.set(name, value);
  }

  async getSetting(name: string): Promise<string | null> {
    return this.#disk.settings.get(name) ?? null;
  }

  backup(): Promise<void> {
    return Promise.reject(new Error("the memory store has no file to copy"));
  }

  stats(): StoreStats {
    const dead = [...this.#disk.deliveries.values()].filter((record) => record.status === "dead").length;
    return { bytes: 0, walBytes: 0, unfolded: 0, dead };
  }

  reusableBytes(): number {
    return 0;
  }

  /** The disk, as long as it is this store's: not before open, nor after close or another store's open. */
  get #disk(): MemoryDisk {
    if (this.#opening === 0 || this.#opening !== this.#file.openings) {
      throw new Error("the memory store is not open, or another one was opened on its disk");
    }
    return this.#file;
  }

  #append(event: NewEvent, now: number): Appended {
    const disk = this.#disk;
    const known = event.dedupe && disk.uids.find(event.dedupe);
    if (known && known.content !== event.dedupe?.content) return { kind: "conflict" };
    if (known) return this.#duplicateOf(known.event);
    if (event.dedupe) disk.uids.remember(event.dedupe, event.seq);
    const { seq, userId, eventId, uid, contentType, trace } = event;
    const payload = Uint8Array.from(event.payload);
    disk.events.set(seq, { seq, userId, eventId, uid, contentType, payload, trace });
    disk.lastSeq = Math.max(disk.lastSeq, seq);
    for (const target of event.targets) {
      const record = freshDelivery(target.id, seq, target, now);
      disk.put(record);
      if (target.token !== 0 && isOpen(record)) this.#leases.set(target.id, target.token);
    }
    if (event.expansion) {
      disk.jobs.set(event.expansion.id, { job: event.expansion, cursor: { id: 0, user: "" } });
      disk.lastSeq = Math.max(disk.lastSeq, event.expansion.id);
    }
    return { kind: "accepted" };
  }

  #duplicateOf(seq: EventSeq): Appended {
    const refs = this.#disk.deliveriesOf(seq).map(({ id, webhookId }) => ({ id, webhookId }));
    return {
      kind: "duplicate",
      seq,
      deliveryCount: refs.length,
      deliveries: refs.slice(0, DELIVERY_REFS_MAX),
    };
  }

  /** False: the lease is another's. */
  #settle(settlement: Settlement): boolean {
    const { id, token, status, reason, attemptCount, settledAt } = settlement;
    const record = this.#disk.deliveries.get(id);
    if (!record || token === 0 || this.#leases.get(id) !== token) return false;
    this.#leases.delete(id);
    const attempt = settlement.attempt && normalised(settlement.attempt);
    this.#disk.put({
      ...record,
      status,
      reason,
      attemptCount,
      dueAt: settlement.dueAt === null ? null : Math.ceil(settlement.dueAt),
      completedAt: status === "success" || status === "dead" ? settledAt : null,
      ...(attempt && {
        statusCode: attempt.statusCode,
        error: attempt.error,
        durationMs: attempt.durationMs,
        attempts: [...record.attempts.filter((other) => other.number !== attempt.number), attempt],
      }),
    });
    return true;
  }

  #free(webhookId: WebhookId, status: "pending" | "retrying"): DeliveryRecord[] {
    return freeOf(this.#disk, (id) => this.#leases.has(id), webhookId, status);
  }

  #leasedOf(record: DeliveryRecord, token: number): Leased {
    const { id, webhookId, event, userId, attemptCount, roundStart, queuedAt } = record;
    const { eventId, uid, contentType, payload, trace } = this.#eventOf(record);
    return {
      id,
      token,
      webhookId,
      event,
      userId,
      eventId,
      uid,
      contentType,
      payload: Uint8Array.from(payload),
      attemptCount,
      roundStart,
      queuedAt,
      trace,
    };
  }

  #deliveryOf(record: DeliveryRecord): Delivery {
    return deliveryOf(record, this.#eventOf(record), this.#leases.has(record.id));
  }

  #endedOf(record: DeliveryRecord): EndedDelivery {
    const { roundStart, dueAt, isLeased, queuedAt, createdAt, ...delivery } = this.#deliveryOf(record);
    const { contentType, payload } = this.#eventOf(record);
    return {
      ...delivery,
      status: delivery.status === "dead" ? "dead" : "success",
      completedAt: delivery.completedAt ?? 0,
      contentType,
      payload: Uint8Array.from(payload),
    };
  }

  #eventOf(record: DeliveryRecord) {
    const event = this.#disk.events.get(record.event);
    if (!event) throw new Error(`delivery ${record.id} has no event`);
    return event;
  }

  #recovered(webhookId: WebhookId): RecoveredLane {
    const pending = this.#free(webhookId, "pending");
    const retrying = this.#free(webhookId, "retrying");
    return {
      webhookId,
      pending: pending.length,
      retrying: retrying.length,
      pendingDueAt: pending[0]?.dueAt ?? null,
      retryingDueAt: retrying[0]?.dueAt ?? null,
      state: this.#disk.laneStates.get(webhookId) ?? null,
    };
  }
}

function normalised(attempt: Attempt): Attempt {
  const excerpt = attempt.excerpt && attempt.excerpt.length > 0 ? Uint8Array.from(attempt.excerpt) : null;
  return { ...attempt, durationMs: Math.round(attempt.durationMs), excerpt };
}
