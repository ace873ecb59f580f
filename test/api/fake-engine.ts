import { toProblem } from "../../src/api/problems.ts";
import type { Attempt, Delivery } from "../../src/domain/delivery.ts";
import type { DeliveryId, EventSeq, JobId, KeyId, WebhookId } from "../../src/domain/ids.ts";
import { sequence } from "../../src/domain/ids.ts";
import type { Job } from "../../src/domain/job.ts";
import type { ApiKey } from "../../src/domain/key.ts";
import { Problem } from "../../src/domain/problem.ts";
import type { Page } from "../../src/domain/query.ts";
import { matchCandidates } from "../../src/domain/routing.ts";
import type { Pause } from "../../src/domain/setting.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Backup, Engine, EventView, PublishRequest } from "../../src/engine/port.ts";
import { Watches } from "../../src/engine/watches.ts";
import type { Timers } from "../../src/lib/timers.ts";

/**
 * An engine in a few maps, for what only the API does: it delivers nothing, and every answer comes at once. What the
 * director does is tested with the director.
 */
export interface FakeEngine extends Engine {
  refusal: Engine["refusal"];
  isFull: boolean;
  readonly state: ReturnType<typeof createState>;
}

/** What waits is done in the next turn. */
const atOnce: Timers = {
  after(_ms, callback) {
    const turn = setImmediate(callback);
    return () => clearImmediate(turn);
  },
  soon: setImmediate,
};

function createState() {
  return {
    webhooks: new Map<WebhookId, Webhook>(),
    deliveries: new Map<DeliveryId, Delivery>(),
    events: new Map<string, EventView>(),
    jobs: new Map<JobId, Job>(),
    keys: new Map<KeyId, ApiKey>(),
    backups: new Map<string, Backup>(),
    pause: null as Pause | null,
    /** What those who look for routes wait for, when set. */
    routesAfter: null as Promise<void> | null,
    /** What publish rejects with, when set. */
    failure: null as Problem | null,
    calls: { publish: 0, routes: 0 },
    published: [] as PublishRequest[],
    watches: new Watches(atOnce, Math.random),
    watching: 0,
  };
}

export const sampleAttempt: Attempt = {
  number: 1,
  startedAt: 1_800_000_000_000,
  durationMs: 4,
  verdict: "retry",
  statusCode: 500,
  error: null,
  excerpt: Buffer.concat([Buffer.from("no\u001b[31m "), Buffer.of(0xff)]),
};

export function createFakeEngine(now: () => number): FakeEngine {
  const state = createState();
  const seqs = sequence(0);
  const next = () => seqs.next(now());

  function page<T extends { id: number }>(items: Iterable<T>, { limit, before }: Page) {
    const sorted = [...items].sort((a, b) => b.id - a.id).filter(({ id }) => before === null || id < before);
    const shown = sorted.slice(0, limit);
    return { items: shown, next: sorted.length > limit ? (shown.at(-1)?.id ?? null) : null };
  }

  const live = () => [...state.webhooks.values()].filter(({ deletedAt }) => deletedAt === null);
  const find = (userId: string, eventId: string) =>
    live().find((webhook) => webhook.userId === userId && webhook.eventId === eventId);

  function create(fields: Parameters<Engine["createWebhook"]>[0]): Webhook {
    const id = next() as WebhookId;
    const at = now();
    const disabledReason = fields.isActive ? null : "user";
    const webhook: Webhook = {
      ...fields,
      id,
      isPaused: false,
      disabledReason,
      createdAt: at,
      updatedAt: at,
      version: 1,
      deletedAt: null,
    };
    state.webhooks.set(id, webhook);
    return webhook;
  }

  async function publish(event: PublishRequest) {
    state.calls.publish += 1;
    if (state.failure !== null) throw state.failure;
    const known = event.uid === null ? undefined : state.events.get(`${event.userId} ${event.uid}`);
    const refs = (view: EventView) => view.deliveries.map(({ id, webhookId }) => ({ id, webhookId }));
    if (known !== undefined) {
      const isSame =
        known.eventId === event.eventId &&
        known.contentType === event.contentType &&
        Buffer.compare(known.payload, event.payload) === 0;
      if (!isSame) throw new Problem("uid_conflict", `the uid ${event.uid} was used for another event`);
      return {
        event: known.event,
        isDuplicate: true,
        deliveryCount: known.deliveryCount,
        deliveries: refs(known),
        fanOut: null,
      };
    }
    state.published.push({ ...event, payload: Uint8Array.from(event.payload) });
    const seq = next() as EventSeq;
    const deliveries = event.targets.map((webhookId) => addDelivery(seq, event, webhookId));
    const view: EventView = {
      event: seq,
      uid: event.uid,
      userId: event.userId,
      eventId: event.eventId,
      contentType: event.contentType,
      payload: Uint8Array.from(event.payload),
      createdAt: now(),
      deliveryCount: deliveries.length,
      deliveries,
    };
    state.events.set(`${event.userId} ${event.uid ?? seq}`, view);
    return {
      event: seq,
      isDuplicate: false,
      deliveryCount: deliveries.length,
      deliveries: refs(view),
      fanOut: null,
    };
  }

  function addDelivery(event: EventSeq, request: PublishRequest, webhookId: WebhookId): Delivery {
    const id = next() as DeliveryId;
    const at = now();
    const delivery: Delivery = {
      id,
      event,
      eventUid: request.uid,
      eventId: request.eventId,
      userId: state.webhooks.get(webhookId)?.userId ?? request.userId,
      webhookId,
      status: "pending",
      reason: null,
      attemptCount: 0,
      roundStart: 0,
      dueAt: at,
      isLeased: false,
      queuedAt: at,
      createdAt: at,
      completedAt: null,
      statusCode: null,
      error: null,
      durationMs: null,
    };
    state.deliveries.set(id, delivery);
    return delivery;
  }

  function changeDelivery(id: DeliveryId, changes: Partial<Delivery>): Delivery {
    const before = state.deliveries.get(id);
    if (before === undefined) throw new Problem("not_found", "there is no such delivery");
    const after = { ...before, ...changes };
    state.deliveries.set(id, after);
    return after;
  }

  function update(id: WebhookId, changes: Partial<Webhook>): Webhook {
    const before = state.webhooks.get(id);
    if (before === undefined || before.deletedAt !== null)
      throw new Problem("not_found", "there is no such webhook");
    const disabledReason =
      changes.isActive === undefined ? before.disabledReason : changes.isActive ? null : "user";
    const after = {
      ...before,
      ...changes,
      disabledReason,
      version: before.version + 1,
      updatedAt: now(),
    } as Webhook;
    state.webhooks.set(id, after);
    return after;
  }

  return {
    salt: { a: 0x1234, b: 0x5678 },
    refusal: null,
    isFull: false,
    state,
    publish,
    submit: (event, done) => {
      publish(event).then(done, (error) => done(toProblem(error)));
    },
    publishMany: (events) =>
      Promise.all(events.map((event) => publish(event).catch((problem: Problem) => problem))),
    async broadcast(event) {
      const candidates = matchCandidates(event.eventId);
      const users = new Set(live().map(({ userId }) => userId));
      const targets = [...users].flatMap((userId) => {
        const hit = candidates
          .map((eventId) => find(userId, eventId))
          .find((webhook) => webhook !== undefined);
        return hit === undefined ? [] : [hit.id];
      });
      return publish({ ...event, userId: "*", targets });
    },
    async routes(keys) {
      state.calls.routes += 1;
      await state.routesAfter;
      return keys.map(({ userId, eventId }) => {
        const hit = matchCandidates(eventId)
          .map((pattern) => find(userId, pattern))
          .find((webhook) => webhook !== undefined);
        return hit === undefined ? [] : [hit.id];
      });
    },
    async createWebhook(fields) {
      const there = find(fields.userId, fields.eventId);
      if (there)
        throw new Problem("webhook_exists", "there is a webhook for it already", {
          details: { webhook_id: there.id },
        });
      return create(fields);
    },
    async putWebhook(fields) {
      const there = find(fields.userId, fields.eventId);
      return there
        ? { webhook: update(there.id, fields), created: false }
        : { webhook: create(fields), created: true };
    },
    updateWebhook: async (id, { replayDisabled: _, isMended: __, ...changes }) => update(id, changes),
    deleteWebhook: async (id) => void update(id, { deletedAt: now() }),
    getWebhooks: async (ids) => ids.map((id) => state.webhooks.get(id) ?? null),
    listWebhooks: async (filter, at) =>
      page(
        live().filter(
          (webhook) =>
            (filter.userId === undefined || webhook.userId === filter.userId) &&
            (filter.eventId === undefined || webhook.eventId === filter.eventId) &&
            (filter.isActive === undefined || webhook.isActive === filter.isActive),
        ),
        at,
      ),
    testWebhook: async () => sampleAttempt,
    live: async (ids) =>
      ids.map(() => ({
        breaker: "closed",
        inFlight: 0,
        backlog: 0,
        oldestDueAt: null,
        concurrency: null,
        parkedUntil: null,
        successRate: null,
        p50Ms: null,
        p99Ms: null,
        lastError: { at: now(), error: "timeout" },
      })),
    listDeliveries: async (filter, at) =>
      page(
        [...state.deliveries.values()].filter(
          (delivery) =>
            (filter.userId === undefined || delivery.userId === filter.userId) &&
            (filter.webhookId === undefined || delivery.webhookId === filter.webhookId) &&
            (filter.statuses === undefined || filter.statuses.includes(delivery.status)),
        ),
        at,
      ),
    async getDelivery(id) {
      const delivery = state.deliveries.get(id);
      return delivery === undefined ? null : { delivery, attempts: [sampleAttempt] };
    },
    async getEvent(userId, uid) {
      return state.events.get(`${userId} ${uid}`) ?? null;
    },
    retryDelivery: async (id) => changeDelivery(id, { dueAt: now() }),
    cancelDelivery: async (id) =>
      changeDelivery(id, { status: "dead", reason: "cancelled", dueAt: null, completedAt: now() }),
    deadGroups: async (_filter, by) => [
      {
        ...(by.includes("reason") ? { reason: "exhausted" as const } : {}),
        ...(by.includes("user") ? { userId: "acme" } : {}),
        count: 3,
      },
    ],
    countJob: async () => ({ count: 7, isExact: true }),
    async createJob(spec) {
      const job: Job = {
        id: next() as JobId,
        spec,
        status: "running",
        total: 7,
        done: 0,
        createdAt: now(),
        completedAt: null,
      };
      state.jobs.set(job.id, job);
      return job;
    },
    getJob: async (id) => state.jobs.get(id) ?? null,
    listJobs: async (userId, at) =>
      page(
        [...state.jobs.values()].filter(({ spec }) => userId === null || spec.userId === userId),
        at,
      ),
    async cancelJob(id) {
      const job = state.jobs.get(id);
      if (job?.status !== "running") throw new Problem("not_retryable", "the job has ended");
      const after: Job = { ...job, status: "cancelled", completedAt: now() };
      state.jobs.set(id, after);
      return after;
    },
    async createKey(fields) {
      const key: ApiKey = { ...fields, id: next() as KeyId, createdAt: now() };
      state.keys.set(key.id, key);
      return key;
    },
    findKey: async (hash) =>
      [...state.keys.values()].find((key) => Buffer.compare(key.hash, hash) === 0) ?? null,
    getKey: async (id) => state.keys.get(id) ?? null,
    listKeys: async (userId, at) =>
      page(
        [...state.keys.values()].filter((key) => userId === null || key.userId === userId),
        at,
      ),
    deleteKey: async (id) => state.keys.delete(id),
    createBackup: async (name) => {
      const backup: Backup = {
        name: name ?? "hookd-1",
        path: `/backups/${name ?? "hookd-1"}.db`,
        state: "running",
        bytes: 0,
        progress: 0,
        createdAt: now(),
        completedAt: null,
        error: null,
      };
      state.backups.set(backup.name, backup);
      return backup;
    },
    listBackups: async () => [...state.backups.values()],
    getBackup: async (name) => state.backups.get(name) ?? null,
    async deleteBackup(name) {
      if (!state.backups.delete(name)) throw new Problem("not_found", `there is no backup ${name}`);
    },
    async pause() {
      state.pause ??= { reason: "operator", since: now() };
      return state.pause;
    },
    async resume() {
      state.pause = null;
    },
    getPause: async () => state.pause,
    stats: async () => ({ counters: {}, gauges: {}, histograms: {} }),
    watch(filter, tell) {
      const end = state.watches.add(filter, tell);
      state.watching += 1;
      return () => {
        end();
        state.watching -= 1;
      };
    },
    onWebhookChanged() {},
  };
}
