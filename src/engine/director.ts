import type { Config } from "../config/config.ts";
import { importBreaker } from "../domain/breaker.ts";
import { uidKey } from "../domain/dedupe.ts";
import type { Attempt, Delivery } from "../domain/delivery.ts";
import {
  type DeliveryId,
  type EventSeq,
  type IdSalt,
  type JobId,
  type KeyId,
  parseId,
  sequence,
  timeOfSeq,
  type WebhookId,
} from "../domain/ids.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page, RouteKey, WebhookFilter } from "../domain/query.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Outcome, Sender } from "../sender/port.ts";
import type { LaneChange, Paged, Recovery, Store } from "../store/port.ts";
import { CarefulClock } from "./careful-clock.ts";
import { Counters } from "./counters.ts";
import { engineStats } from "./engine-stats.ts";
import { Flights } from "./flights.ts";
import { Housekeeping, WATERMARK } from "./housekeeping.ts";
import { JobRunner } from "./job-runner.ts";
import type { Lane } from "./lane.ts";
import { laneLive } from "./lane-live.ts";
import { Pipeline, type PublishOutcome } from "./pipeline.ts";
import type {
  Engine,
  EngineStats,
  EventView,
  LaneLive,
  PublishRequest,
  PublishResult,
  SettledAttempt,
  WebhookChanges,
  WebhookFields,
} from "./port.ts";
import { Samples } from "./samples.ts";
import { Schedule } from "./schedule.ts";
import { WebhookCache } from "./webhook-cache.ts";
import { WebhookControl } from "./webhook-control.ts";

export interface DirectorDeps {
  readonly config: Config;
  readonly store: Store;
  /** At least one; each is made with the director's `takeOutcomes`. */
  readonly senders: readonly Sender[];
  /** Best a `steadyClock`. */
  readonly clock: Clock;
  readonly timers: Timers;
  /** [0, 1). */
  readonly random: () => number;
  readonly log: DirectorLog;
  /** Nothing more may be acknowledged: the process must end. */
  readonly onFatal: (error: unknown) => void;
  /** The wall clock is right, however far it is from when hookd last ran. */
  readonly acceptClock?: boolean;
}

export interface DirectorLog {
  attempts(attempts: readonly SettledAttempt[]): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}

type AttemptListener = (attempts: readonly SettledAttempt[], skipped: number) => void;

const EVENT_DELIVERIES_MAX = 100;
const COUNT_MAX = 100_000;
/** A lane with more than this of a job's deliveries gets no more of them until it has sent some. */
const JOB_BACKLOG_MAX = 2_000;

/**
 * Owns the store and the schedule. The one place where anything about a delivery is decided: everything that the API
 * asks for, and every outcome that a sender reports, goes through here, in one thread.
 */
export class Director implements Engine {
  readonly #deps: DirectorDeps;
  readonly #schedule: Schedule;
  readonly #flights = new Flights();
  readonly #webhooks: WebhookCache;
  readonly #counters = new Counters();
  readonly #samples: Samples;
  #salt: IdSalt = { a: 0, b: 0 };
  #sequence = sequence(0);
  #pipeline!: Pipeline;
  #jobs!: JobRunner;
  #housekeeping!: Housekeeping;
  #careful!: CarefulClock;
  #control!: WebhookControl;
  #phase: "starting" | "running" | "stopping" = "starting";
  readonly #attemptListeners = new Set<AttemptListener>();
  readonly #changeListeners = new Set<(userId: string) => void>();

  constructor(deps: DirectorDeps) {
    this.#deps = deps;
    const { delivery, breaker } = deps.config;
    this.#schedule = new Schedule({
      inFlightMax: delivery.inFlightMax,
      concurrencyMax: delivery.concurrencyMax,
      breaker,
    });
    this.#webhooks = new WebhookCache(deps.store, deps.config.cache.entries);
    this.#samples = new Samples(deps.senders, this.#flights, deps.clock);
  }

  /** Opens the store, makes the lanes what they were, and goes on with everything that was under way. */
  async start(): Promise<void> {
    const { store, clock, timers, config, onFatal } = this.#deps;
    const recovery = await store.open();
    this.#salt = recovery.salt;
    this.#sequence = sequence(recovery.lastSeq);
    const nextSeq = () => this.#sequence.next(clock.now());
    const known = await store.getSetting(WATERMARK);
    this.#careful = new CarefulClock(clock, known === null ? null : Number(known));
    if (this.#deps.acceptClock) this.#careful.accept();
    this.#pipeline = new Pipeline({
      ...this.#deps,
      schedule: this.#schedule,
      flights: this.#flights,
      webhooks: this.#webhooks,
      counters: this.#counters,
      salt: recovery.salt,
      nextSeq,
      hooks: {
        onSettled: (attempts) => this.#settled(attempts),
        onBroken: (lane, reason) => this.#broken(lane, reason),
        onFatal,
      },
    });
    this.#jobs = new JobRunner({
      store,
      clock,
      timers,
      nextSeq,
      refusal: (webhookId) => this.#refusalOf(webhookId),
      onChanges: (changes) => this.#lanesChanged(changes),
      isBehind: (ids) => this.#isBehind(ids),
      onFatal,
    });
    this.#control = new WebhookControl({
      store,
      clock,
      nextSeq,
      webhooks: this.#webhooks,
      onChanged: (webhook) => this.#webhookChanged(webhook),
      startJob: (spec) => this.createJob(spec),
    });
    this.#housekeeping = new Housekeeping({
      config,
      store,
      schedule: this.#schedule,
      clock,
      careful: this.#careful,
      timers,
      isIdle: () => this.#schedule.readyCount === 0,
      onChanges: (changes) => this.#lanesChanged(changes),
      onForgotten: (lanes) => this.#forgotten(lanes),
      onSuspended: (gapMs) =>
        this.#deps.log.warn(
          "the wall clock is far ahead: nothing is pruned or expired until it is confirmed",
          {
            gap_ms: gapMs,
            remedy: "check the clock, then restart with --accept-clock",
          },
        ),
      onFatal,
    });
    await this.#recoverLanes(recovery);
    this.#phase = "running";
    this.#housekeeping.start();
    for (const job of recovery.runningJobs) this.#jobs.add(job);
    this.#pipeline.kick();
  }

  /** Takes no more, lets what is in flight end for at most `delivery.drain`, makes everything durable, closes. */
  async stop(): Promise<void> {
    this.#phase = "stopping";
    const { clock, timers, config } = this.#deps;
    await this.#jobs.stop();
    this.#pipeline.stopLeasing();
    const deadline = clock.mono() + config.delivery.drainMs;
    while (this.#flights.size > 0 && clock.mono() < deadline) {
      await new Promise<void>((resolve) => timers.after(10, resolve));
    }
    await Promise.all(this.#deps.senders.map((sender) => sender.stop()));
    for (const lane of this.#schedule.lanes.values()) this.#pipeline.storeLaneState(lane);
    await this.#pipeline.stop();
    await this.#housekeeping.stop();
    await this.#deps.store.putSetting(WATERMARK, String(this.#careful.now()));
    await this.#deps.store.close();
  }

  /** Attempts have ended, in any sender. */
  takeOutcomes(outcomes: readonly Outcome[]): void {
    this.#pipeline.takeOutcomes(this.#samples.take(outcomes));
  }

  /** A sender died with these in its hands: each of its leases counts as an attempt. */
  senderLost(sender: number): void {
    const now = this.#deps.clock.now();
    const lost = [...this.#flights.all()].filter((flight) => flight.sender === sender);
    for (const lane of this.#schedule.lanes.values()) lane.targetVersion = 0;
    this.#pipeline.takeOutcomes(
      lost.map((flight) => ({
        deliveryId: flight.id,
        token: flight.token,
        webhookId: flight.lane.webhookId,
        retryAfterMs: null,
        attempt: {
          number: flight.attemptCount + 1,
          startedAt: now,
          durationMs: 0,
          verdict: "lost",
          statusCode: null,
          error: "lost",
          excerpt: null,
        },
      })),
    );
  }

  get salt(): IdSalt {
    return this.#salt;
  }

  get refusal(): Engine["refusal"] {
    if (this.#phase === "starting") return "starting";
    if (this.#phase === "stopping") return "shutting_down";
    return this.#pipeline.refusal;
  }

  async publish(event: PublishRequest): Promise<PublishResult> {
    const [outcome] = await this.publishMany([event]);
    if (!outcome || outcome instanceof Problem) throw outcome ?? new Problem("internal", "no answer");
    return outcome;
  }

  /** Events that share a commit, each with an outcome of its own. */
  publishMany(events: readonly PublishRequest[]): Promise<PublishOutcome[]> {
    if (this.#phase !== "running") {
      const problem = new Problem("shutting_down", `hookd is ${this.#phase}: publish again in a moment`);
      return Promise.resolve(events.map(() => problem));
    }
    return this.#pipeline.publish(events);
  }

  async broadcast(event: Omit<PublishRequest, "userId" | "targets">): Promise<PublishResult> {
    const fanoutMax = this.#deps.config.limits.fanoutMax;
    const { targets, next } = await this.#deps.store.broadcastRoutes(event.eventId, "", fanoutMax + 1);
    const isLarge = next !== null || targets.length > fanoutMax;
    if (targets.length === 0) return NOWHERE;
    const request: PublishRequest = {
      ...event,
      userId: "*",
      targets: isLarge ? [] : targets.map((target) => target.webhookId),
    };
    const job = isLarge ? this.#expansionOf(event.eventId) : null;
    const [outcome] = await this.#pipeline.publish([request], job);
    if (!outcome || outcome instanceof Problem) throw outcome ?? new Problem("internal", "no answer");
    if (job && !outcome.isDuplicate) this.#jobs.add(job);
    return outcome;
  }

  routes(keys: readonly RouteKey[]): Promise<readonly (readonly WebhookId[])[]> {
    return this.#deps.store.routes(keys);
  }

  createWebhook(fields: WebhookFields): Promise<Webhook> {
    return this.#control.create(fields);
  }

  putWebhook(fields: WebhookFields): Promise<{ webhook: Webhook; created: boolean }> {
    return this.#control.put(fields);
  }

  updateWebhook(id: WebhookId, changes: WebhookChanges): Promise<Webhook> {
    return this.#control.update(id, changes);
  }

  deleteWebhook(id: WebhookId): Promise<void> {
    return this.#control.delete(id);
  }

  getWebhooks(ids: readonly WebhookId[]): Promise<readonly (Webhook | null)[]> {
    return this.#deps.store.getWebhooks(ids);
  }

  listWebhooks(filter: WebhookFilter, page: Page): Promise<Paged<Webhook>> {
    return this.#deps.store.listWebhooks(filter, page);
  }

  async testWebhook(id: WebhookId): Promise<Attempt> {
    const webhook = await this.#control.get(id);
    return this.#samples.send(webhook, this.#deps.config, this.#salt);
  }

  async live(ids: readonly WebhookId[]): Promise<readonly LaneLive[]> {
    const { clock } = this.#deps;
    return ids.map((id) =>
      laneLive(this.#schedule.lanes.get(id), clock.now(), clock.mono(), this.#deps.config),
    );
  }

  listDeliveries(filter: DeliveryFilter, page: Page): Promise<Paged<Delivery>> {
    return this.#deps.store.listDeliveries(filter, page);
  }

  getDelivery(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null> {
    return this.#deps.store.getDelivery(id);
  }

  async getEvent(userId: string, uid: string): Promise<EventView | null> {
    const own = parseId("evt", uid, this.#salt) as EventSeq | null;
    const candidates = [own, await this.#deps.store.findEvent(uidKey(userId, uid))];
    for (const seq of candidates) {
      if (seq === null) continue;
      const event = await this.#deps.store.getEvent(seq, EVENT_DELIVERIES_MAX);
      const isMeant =
        event && event.userId === userId && (event.uid === uid || (event.uid === null && seq === own));
      if (!isMeant) continue;
      const { seq: number, ...rest } = event;
      return { ...rest, event: number, createdAt: timeOfSeq(seq) };
    }
    return null;
  }

  async retryDelivery(id: DeliveryId): Promise<Delivery> {
    const { store, clock } = this.#deps;
    const { delivery } = await this.#delivery(id);
    if (delivery.status === "success") {
      throw new Problem("already_delivered", "the delivery succeeded: replay it if it is wanted again");
    }
    const now = clock.now();
    const change =
      delivery.status === "dead"
        ? await store.revive(id, now)
        : delivery.isLeased
          ? null
          : await store.makeDue(id, now);
    if (change) await this.#lanesChanged([change]);
    return (await this.#delivery(id)).delivery;
  }

  async cancelDelivery(id: DeliveryId): Promise<Delivery> {
    const { delivery } = await this.#delivery(id);
    if (delivery.status === "success" || delivery.status === "dead") {
      throw new Problem("not_open", `the delivery has ended: it is ${delivery.status}`);
    }
    const flight = this.#flights.get(id);
    if (flight) {
      flight.isCancelRequested = true;
      return delivery;
    }
    const change = await this.#deps.store.kill(id, "cancelled", this.#deps.clock.now());
    if (change) {
      this.#counters.deaths.cancelled = (this.#counters.deaths.cancelled ?? 0) + 1;
      await this.#lanesChanged([change]);
    } else {
      const leased = this.#flights.get(id);
      if (leased) leased.isCancelRequested = true;
    }
    return (await this.#delivery(id)).delivery;
  }

  deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]> {
    return this.#deps.store.deadGroups(filter, by);
  }

  async countJob(spec: JobSpec): Promise<{ count: number; isExact: boolean }> {
    const count = await this.#deps.store.countSelection(this.#jobOf(spec, null), COUNT_MAX);
    return { count, isExact: count < COUNT_MAX };
  }

  async createJob(spec: JobSpec): Promise<Job> {
    const { count, isExact } = await this.countJob(spec);
    const job = this.#jobOf(spec, isExact && spec.kind !== "expand" ? count : null);
    await this.#deps.store.insertJob(job);
    this.#jobs.add(job);
    return job;
  }

  getJob(id: JobId): Promise<Job | null> {
    return this.#deps.store.getJob(id);
  }

  listJobs(userId: string | null, page: Page): Promise<Paged<Job>> {
    return this.#deps.store.listJobs(userId, page);
  }

  async cancelJob(id: JobId): Promise<Job> {
    const isCancelled = await this.#deps.store.cancelJob(id, this.#deps.clock.now());
    const job = await this.#deps.store.getJob(id);
    if (!job) throw new Problem("not_found", "there is no such job");
    if (!isCancelled) throw new Problem("not_retryable", `the job has ended: it is ${job.status}`);
    return job;
  }

  async createKey(key: Omit<ApiKey, "id" | "createdAt">): Promise<ApiKey> {
    const now = this.#deps.clock.now();
    const created = { ...key, id: this.#sequence.next(now) as KeyId, createdAt: now };
    await this.#deps.store.insertKey(created);
    return created;
  }

  findKey(hash: Uint8Array): Promise<ApiKey | null> {
    return this.#deps.store.findKey(hash);
  }

  getKey(id: KeyId): Promise<ApiKey | null> {
    return this.#deps.store.getKey(id);
  }

  listKeys(userId: string | null, page: Page): Promise<Paged<ApiKey>> {
    return this.#deps.store.listKeys(userId, page);
  }

  deleteKey(id: KeyId): Promise<boolean> {
    return this.#deps.store.deleteKey(id);
  }

  async stats(): Promise<EngineStats> {
    return engineStats({
      counters: this.#counters,
      schedule: this.#schedule,
      store: this.#deps.store.stats(),
      flights: this.#flights.size,
      jobs: this.#jobs.activeCount,
      clockGapMs: this.#careful.gapMs,
      isClockSuspended: this.#careful.isSuspended,
      now: this.#deps.clock.now(),
    });
  }

  subscribe(listener: AttemptListener): () => void {
    this.#attemptListeners.add(listener);
    return () => this.#attemptListeners.delete(listener);
  }

  onWebhookChanged(listener: (userId: string) => void): void {
    this.#changeListeners.add(listener);
  }

  async #recoverLanes({ lanes }: Recovery): Promise<void> {
    const { clock, store } = this.#deps;
    const now = clock.now();
    const nowMono = clock.mono();
    for (let at = 0; at < lanes.length; at += RECOVER_CHUNK) {
      const chunk = lanes.slice(at, at + RECOVER_CHUNK);
      const webhooks = await store.getWebhooks(chunk.map((lane) => lane.webhookId));
      chunk.forEach((found, index) => {
        const webhook = webhooks[index];
        if (!webhook) return;
        const lane = this.#schedule.laneOf(webhook, nowMono);
        if (found.state !== null) {
          lane.breaker = importBreaker(JSON.parse(found.state));
          lane.storedState = found.state;
        }
        this.#schedule.recover(lane, found, now, nowMono);
      });
    }
  }

  #settled(attempts: readonly SettledAttempt[]): void {
    this.#deps.log.attempts(attempts);
    for (const listener of this.#attemptListeners) listener(attempts, 0);
  }

  #broken(lane: Lane, reason: "gone" | "failing"): void {
    if (!lane.webhook.isActive) return;
    this.#control.disable(lane.webhookId, reason).catch((error) => {
      if (!(error instanceof Problem)) this.#deps.onFatal(error);
    });
  }

  /** A webhook was changed: lanes, senders and every cache see it from now on. */
  #webhookChanged(webhook: Webhook): void {
    const { clock } = this.#deps;
    const lane = this.#schedule.lanes.get(webhook.id);
    if (lane && webhook.isActive && !lane.webhook.isActive) {
      lane.breaker = importBreaker({ isOpen: false, probeAt: 0, probeDelayMs: 0, failingSince: null });
      this.#pipeline.storeLaneState(lane);
    }
    this.#webhooks.put(webhook);
    this.#schedule.webhookChanged(webhook, clock.now(), clock.mono());
    this.#pipeline.kick();
    for (const listener of this.#changeListeners) listener(webhook.userId);
  }

  async #lanesChanged(changes: readonly LaneChange[]): Promise<void> {
    await this.#webhooks.load(changes.map((change) => change.webhookId));
    const { clock } = this.#deps;
    for (const change of changes) {
      const webhook = this.#webhooks.get(change.webhookId);
      if (!webhook) continue;
      const lane = this.#schedule.laneOf(webhook, clock.mono());
      this.#schedule.enqueue(lane, change, clock.now(), clock.mono());
    }
    this.#pipeline.kick();
  }

  #forgotten(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      const sender = this.#deps.senders[lane.webhookId % this.#deps.senders.length];
      if (lane.targetVersion !== 0) sender?.dropTarget(lane.webhookId);
    }
  }

  #isBehind(ids: readonly WebhookId[]): boolean {
    return ids.some((id) => {
      const lane = this.#schedule.lanes.get(id);
      return (
        lane !== undefined && lane.pending > JOB_BACKLOG_MAX && !lane.breaker.isOpen && !lane.webhook.isPaused
      );
    });
  }

  #refusalOf(webhookId: WebhookId): "disabled" | "overflow" | null {
    const webhook = this.#webhooks.get(webhookId);
    const lane = this.#schedule.lanes.get(webhookId);
    if (webhook && (!webhook.isActive || webhook.deletedAt !== null)) return "disabled";
    const backlog = lane ? lane.pending + lane.retrying : 0;
    return backlog >= this.#deps.config.limits.laneBacklog ? "overflow" : null;
  }

  async #delivery(id: DeliveryId): Promise<{ delivery: Delivery }> {
    const found = await this.#deps.store.getDelivery(id);
    if (!found) throw new Problem("not_found", "there is no such delivery");
    return found;
  }

  #expansionOf(eventId: string): Job {
    // The job and the event commit together; the event's number is set when the batch is built.
    return this.#jobOf({ kind: "expand", userId: null, event: 0 as EventSeq, eventId }, null);
  }

  #jobOf(spec: JobSpec, total: number | null): Job {
    const now = this.#deps.clock.now();
    const id = this.#sequence.next(now) as JobId;
    return { id, spec, status: "running", total, done: 0, createdAt: now, completedAt: null };
  }
}

const RECOVER_CHUNK = 500;

const NOWHERE: PublishResult = {
  event: 0 as EventSeq,
  isDuplicate: false,
  deliveryCount: 0,
  deliveries: [],
  fanOut: null,
};
