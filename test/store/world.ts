import { createHash } from "node:crypto";
import { dedupeKey } from "../../src/domain/dedupe.ts";
import type { Attempt, DeadReason, Delivery, DeliveryStatus } from "../../src/domain/delivery.ts";
import {
  type DeliveryId,
  type EventSeq,
  ID_EPOCH_MS,
  type JobId,
  type KeyId,
  sequence,
  type WebhookId,
} from "../../src/domain/ids.ts";
import type { Job, JobSpec } from "../../src/domain/job.ts";
import type { ApiKey } from "../../src/domain/key.ts";
import type { DeliveryFilter } from "../../src/domain/query.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Clock } from "../../src/lib/clock.ts";
import type {
  Appended,
  CommitBatch,
  Keep,
  Leased,
  LeaseGrant,
  LeaseWant,
  NewEvent,
  Recovery,
  Settlement,
  Store,
} from "../../src/store/port.ts";

export const START = ID_EPOCH_MS + 200_000_000_000;
export const WINDOW_MS = 3_600_000;
export const FAR = Number.MAX_SAFE_INTEGER;

/** How a suite makes a store, and makes it anew as after a kill: same disk, no memory. */
export interface Adapter {
  create(clock: Clock): Store;
  /** The store that a new process would open. The old one is not closed. */
  crash(clock: Clock): Store;
  cleanup(): Promise<void>;
}

/** A clock that only the test moves. */
export function testClock(start = START): Clock & { at: number } {
  return {
    at: start,
    now() {
      return this.at;
    },
    mono() {
      return this.at;
    },
  };
}

export interface EventOptions {
  readonly webhooks?: readonly Webhook[];
  readonly userId?: string;
  readonly eventId?: string;
  readonly uid?: string;
  readonly payload?: Uint8Array;
  readonly contentType?: string;
  readonly trace?: NewEvent["trace"];
  readonly token?: number;
  readonly reason?: DeadReason;
  readonly expansion?: Job;
}

/** One store with a clock and ids of its own, and short ways to do what the tests do all the time. */
export class World {
  readonly clock = testClock();
  readonly adapter: Adapter;
  readonly ids = sequence(0);
  store: Store;
  recovery: Recovery | null = null;
  readonly #isFoldedEachTime: boolean;
  #token = 1000;

  constructor(adapter: Adapter, isFoldedEachTime: boolean) {
    this.adapter = adapter;
    this.#isFoldedEachTime = isFoldedEachTime;
    this.store = adapter.create(this.clock);
  }

  /** `isFoldedEachTime`: every commit is followed by a call that makes the store write what waits. */
  static async open(adapter: Adapter, isFoldedEachTime = false): Promise<World> {
    const world = new World(adapter, isFoldedEachTime);
    world.recovery = await world.store.open();
    return world;
  }

  nextId(): number {
    return this.ids.next(this.clock.at);
  }

  /** Long enough for whatever waits to be written, and writes it. */
  async settleDown(): Promise<void> {
    this.clock.at += 5_000;
    for (let slices = 0; await this.store.maintain(); slices += 1) {
      if (slices > 10_000) throw new Error("maintain() does not come to an end");
    }
  }

  async reopen(): Promise<Recovery> {
    await this.store.close();
    this.store = this.adapter.create(this.clock);
    this.recovery = await this.store.open();
    return this.recovery;
  }

  /** Drops the process, keeps the disk. */
  async crash(): Promise<Recovery> {
    this.store = this.adapter.crash(this.clock);
    this.recovery = await this.store.open();
    return this.recovery;
  }

  async webhook(changes: Partial<Webhook> = {}): Promise<Webhook> {
    const made = webhook(this.nextId() as WebhookId, this.clock.at, changes);
    const inserted = await this.store.insertWebhook(made);
    if (!inserted) throw new Error(`(${made.userId}, ${made.eventId}) is taken`);
    return made;
  }

  event(options: EventOptions = {}): NewEvent {
    const { webhooks = [], eventId = "user.created", contentType = "application/json" } = options;
    const userId = options.userId ?? webhooks[0]?.userId ?? "acme";
    const seq = this.nextId() as EventSeq;
    const isSingle = webhooks.length === 1 && !options.expansion;
    const payload = options.payload ?? Buffer.from(`{"n": ${seq}}`);
    return {
      seq,
      userId,
      eventId,
      uid: options.uid ?? null,
      dedupe:
        options.uid === undefined ? null : dedupeKey(userId, options.uid, eventId, contentType, payload),
      contentType,
      trace: options.trace ?? null,
      payload,
      targets: webhooks.map((target) => ({
        id: (isSingle ? seq : this.nextId()) as DeliveryId,
        webhookId: target.id,
        userId: target.userId,
        token: options.token ?? 0,
        reason: options.reason ?? null,
      })),
      expansion: options.expansion ?? null,
    };
  }

  async commit(batch: Partial<CommitBatch>) {
    const committed = await this.store.commit({
      now: this.clock.at,
      appends: [],
      settlements: [],
      laneStates: [],
      ...batch,
    });
    if (this.#isFoldedEachTime) await this.#fold();
    return committed;
  }

  /** What counts a selection waits for the fold. */
  async #fold(): Promise<void> {
    const nothing: JobSpec = { kind: "replay", userId: null, select: { ids: [] }, ratePerSecond: null };
    await this.store.countSelection(this.job(nothing), 1);
  }

  /** Appends one event; the id of its first delivery. */
  async publish(options: EventOptions = {}): Promise<DeliveryId> {
    const event = this.event(options);
    const { appended } = await this.commit({ appends: [event] });
    if (appended[0]?.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(appended)}`);
    return event.targets[0]?.id ?? (0 as DeliveryId);
  }

  async append(event: NewEvent): Promise<Appended> {
    const { appended } = await this.commit({ appends: [event] });
    return appended[0]!;
  }

  async lease(webhookId: WebhookId, want: Partial<LeaseWant> = {}): Promise<LeaseGrant> {
    const firstToken = this.#token + 1;
    this.#token += want.limit ?? 100;
    const [grant] = await this.store.lease([
      {
        webhookId,
        status: "pending",
        limit: 100,
        dueBy: this.clock.at,
        firstToken,
        ...want,
      },
    ]);
    return grant!;
  }

  async leaseOne(webhookId: WebhookId, status: "pending" | "retrying" = "pending"): Promise<Leased> {
    const { leased } = await this.lease(webhookId, { status, limit: 1, dueBy: FAR });
    if (!leased[0]) throw new Error("nothing to lease");
    return leased[0];
  }

  async settle(leased: Pick<Leased, "id" | "token" | "webhookId">, changes: Partial<Settlement> = {}) {
    return await this.commit({ settlements: [this.settlement(leased, changes)] });
  }

  settlement(
    leased: Pick<Leased, "id" | "token" | "webhookId"> & { attemptCount?: number },
    changes: Partial<Settlement> = {},
  ): Settlement {
    const status = changes.status ?? "success";
    const attemptCount = changes.attemptCount ?? (leased.attemptCount ?? 0) + 1;
    return {
      id: leased.id,
      webhookId: leased.webhookId,
      token: leased.token,
      status,
      reason: status === "dead" ? "exhausted" : null,
      dueAt: status === "retrying" || status === "pending" ? this.clock.at + 5_000 : null,
      attemptCount,
      attempt: attempt(attemptCount, status, this.clock.at),
      settledAt: this.clock.at,
      ...changes,
    };
  }

  /** Publishes one event and brings its delivery to the given status. */
  async delivery(webhook: Webhook, status: DeliveryStatus, changes: Partial<Settlement> = {}) {
    const token = 7;
    const id = await this.publish({ webhooks: [webhook], token: status === "pending" ? 0 : token });
    if (status !== "pending") await this.settle({ id, token, webhookId: webhook.id }, { status, ...changes });
    return id;
  }

  async get(id: DeliveryId): Promise<Delivery> {
    const found = await this.store.getDelivery(id);
    if (!found) throw new Error(`no delivery ${id}`);
    return found.delivery;
  }

  /** Every page of a list. */
  async list(filter: DeliveryFilter = {}, limit = 50): Promise<Delivery[]> {
    const items: Delivery[] = [];
    let before: number | null = null;
    do {
      const page = await this.store.listDeliveries(filter, { limit, before });
      items.push(...page.items);
      before = page.next;
    } while (before !== null);
    return items;
  }

  async idsOf(filter: DeliveryFilter = {}, limit = 50): Promise<DeliveryId[]> {
    return (await this.list(filter, limit)).map((delivery) => delivery.id);
  }

  job(spec: JobSpec): Job {
    return {
      id: this.nextId() as JobId,
      spec,
      status: "running",
      total: null,
      done: 0,
      createdAt: this.clock.at,
      completedAt: null,
    };
  }

  async startJob(spec: JobSpec): Promise<Job> {
    const job = this.job(spec);
    await this.store.insertJob(job);
    return job;
  }

  async step(id: JobId, limit: number) {
    return await this.store.stepJob(id, limit, {
      now: this.clock.at,
      nextSeq: () => this.nextId(),
      refusal: () => null,
    });
  }

  async finish(id: JobId, limit = 3): Promise<Job> {
    for (let steps = 0; steps < 1_000; steps += 1) {
      const { job } = await this.step(id, limit);
      if (job.status !== "running") return job;
    }
    throw new Error(`job ${id} does not end`);
  }

  async pruneAll(successBefore: number, deadBefore: number, limit = 3, keep?: Keep): Promise<number> {
    let deleted = 0;
    for (let slices = 0; slices < 1_000; slices += 1) {
      const pruned = await this.store.prune({ successBefore, deadBefore }, limit, keep);
      deleted += pruned.deleted;
      if (!pruned.hasMore) return deleted;
    }
    throw new Error("prune does not end");
  }
}

export function attempt(number: number, status: DeliveryStatus, settledAt: number): Attempt {
  const isSuccess = status === "success";
  return {
    number,
    startedAt: settledAt - 12,
    durationMs: 12,
    verdict: isSuccess ? "success" : "retry",
    statusCode: isSuccess ? 200 : 503,
    error: null,
    excerpt: Buffer.from(`answer ${number}`),
  };
}

export function webhook(id: WebhookId, at: number, changes: Partial<Webhook> = {}): Webhook {
  return {
    id,
    userId: "acme",
    eventId: "user.created",
    callbackUrl: "https://example.com/hook",
    description: null,
    metadata: { team: "billing" },
    sealed: Uint8Array.from([0, 1, 254, 255]),
    headerNames: ["x-own"],
    isActive: true,
    disabledReason: null,
    isPaused: false,
    rateLimit: { perSecond: 5, burst: 10 },
    concurrencyMax: 8,
    timeoutMs: null,
    retry: { kind: "list", delaysMs: [1000, 2000] },
    permanent: ["4xx"],
    ordering: "none",
    createdAt: at,
    updatedAt: at,
    version: 1,
    deletedAt: null,
    ...changes,
  };
}

export function apiKey(id: KeyId, changes: Partial<ApiKey> = {}): ApiKey {
  return {
    id,
    userId: "acme",
    scopes: ["publish", "read"],
    name: "ci",
    hash: Uint8Array.from(createHash("sha256").update(String(id)).digest()),
    createdAt: START,
    expiresAt: null,
    ...changes,
  };
}
