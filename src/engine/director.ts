import type { Config } from "../config/config.ts";
import { shortenProbe } from "../domain/breaker.ts";
import type { Attempt, Delivery } from "../domain/delivery.ts";
import {
  type DeliveryId,
  type IdSalt,
  type JobId,
  type KeyId,
  sequence,
  timeOfSeq,
  type WebhookId,
} from "../domain/ids.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page, RouteKey, WebhookFilter } from "../domain/query.ts";
import { type Refusal, refusalProblem } from "../domain/refusal.ts";
import { type Pause, WATERMARK } from "../domain/setting.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Outcome } from "../sender/port.ts";
import type { Paged, Recovery } from "../store/port.ts";
import { type Arrival, arrivalOf } from "./arrivals.ts";
import { createAttemptTracing } from "./attempt-tracing.ts";
import { Backups } from "./backups.ts";
import { broadcast } from "./broadcasting.ts";
import { CarefulClock } from "./careful-clock.ts";
import { Counters } from "./counters.ts";
import { DeliveryCommands } from "./delivery-commands.ts";
import type { DirectorDeps } from "./director-deps.ts";
import { DiskWatch } from "./disk-watch.ts";
import { engineStats } from "./engine-stats.ts";
import { eventView } from "./event-view.ts";
import { Flights } from "./flights.ts";
import { Housekeeping } from "./housekeeping.ts";
import { JobCommands } from "./job-commands.ts";
import { JobRunner } from "./job-runner.ts";
import { type Lane, stateOf } from "./lane.ts";
import { LaneChanges } from "./lane-changes.ts";
import { laneLive } from "./lane-live.ts";
import { OperationalEvents } from "./operational-events.ts";
import { Pausing } from "./pausing.ts";
import { Pipeline } from "./pipeline.ts";
import type {
  Backup,
  Engine,
  EngineStats,
  EventView,
  LaneLive,
  PublishOutcome,
  PublishRequest,
  PublishResult,
  SettledAttempt,
  Watched,
  WatchFilter,
  WebhookChanges,
  WebhookFields,
} from "./port.ts";
import { Samples } from "./samples.ts";
import { Schedule, type ScheduleLimits } from "./schedule.ts";
import { senderOf } from "./target.ts";
import { warnOfClock, warnOfDisk } from "./warnings.ts";
import { Watches } from "./watches.ts";
import { WebhookCache } from "./webhook-cache.ts";
import { WebhookControl } from "./webhook-control.ts";

/** Between looks at whether the last flight has ended, in a stop. */
const DRAIN_LOOK_MS = 10;

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
  readonly #lanes: LaneChanges;
  readonly #deliveries: DeliveryCommands;
  readonly #pausing: Pausing;
  #salt: IdSalt = { a: 0, b: 0 };
  #sequence = sequence(0);
  #careful!: CarefulClock;
  #disk!: DiskWatch;
  #pipeline!: Pipeline;
  #runner!: JobRunner;
  #jobs!: JobCommands;
  #housekeeping!: Housekeeping;
  #control!: WebhookControl;
  #backups!: Backups;
  #operational!: OperationalEvents;
  #phase: "starting" | "running" | "stopping" = "starting";
  readonly #watches: Watches;
  readonly #changeListeners = new Set<(userId: string) => void>();

  constructor(deps: DirectorDeps) {
    this.#deps = deps;
    this.#schedule = new Schedule(scheduleLimits(deps.config));
    this.#webhooks = new WebhookCache(deps.store, deps.config.cache.entries);
    this.#watches = new Watches(deps.timers, deps.random);
    this.#samples = new Samples(deps.senders, this.#flights, deps.clock);
    const parts = { ...deps, schedule: this.#schedule, webhooks: this.#webhooks };
    this.#lanes = new LaneChanges({ ...parts, onChanged: () => this.#pipeline.kick() });
    this.#pausing = new Pausing({ ...parts, onResumed: () => this.#pipeline.kick() });
    this.#deliveries = new DeliveryCommands({
      ...parts,
      lanes: this.#lanes,
      flights: this.#flights,
      counters: this.#counters,
    });
  }

  /** Opens the store, makes the lanes what they were, and goes on with everything that was under way. */
  async start(): Promise<void> {
    const { store, clock } = this.#deps;
    const recovery = await store.open();
    // What waits was dated by the clock of before: set back meanwhile, it would stand still until that time comes again.
    if (recovery.lastSeq > 0) clock.resumeFrom(timeOfSeq(recovery.lastSeq));
    await this.#deps.admit?.();
    const known = await store.getSetting(WATERMARK);
    this.#careful = new CarefulClock(clock, known === null ? null : Number(known));
    if (this.#deps.acceptClock) this.#careful.accept();
    this.#disk = new DiskWatch({
      freeBytes: this.#deps.freeBytes,
      reusableBytes: () => store.reusableBytes(),
      limitBytes: () => this.#deps.config.limits.diskFreeBytes,
      onChange: (isLow, bytes) => warnOfDisk(this.#deps.log, isLow, bytes, this.#deps.config),
    });
    this.#build(recovery);
    await this.#pausing.start();
    await this.#lanes.recover(recovery.lanes);
    await this.#operational.start();
    this.#phase = "running";
    this.#housekeeping.start();
    for (const job of recovery.runningJobs) this.#runner.add(job);
    this.#pipeline.kick();
  }

  #build(recovery: Recovery): void {
    const { clock, onFatal, onSpan, random } = this.#deps;
    this.#salt = recovery.salt;
    this.#sequence = sequence(recovery.lastSeq);
    const nextSeq = (now = clock.now()) => this.#sequence.next(now);
    const parts = {
      ...this.#deps,
      schedule: this.#schedule,
      flights: this.#flights,
      webhooks: this.#webhooks,
      counters: this.#counters,
      careful: this.#careful,
      disk: this.#disk,
      lanes: this.#lanes,
      salt: recovery.salt,
      nextSeq,
      tracing: onSpan ? createAttemptTracing({ onSpan, random, salt: recovery.salt }) : null,
    };
    const hooks = {
      onSettled: (attempts: readonly SettledAttempt[]) => this.#settled(attempts),
      onBroken: (lane: Lane, reason: "gone" | "failing") => this.#broken(lane, reason),
      onRecovered: (lane: Lane, openedAt: number) => this.#operational.recovered(lane, openedAt),
      onFatal,
    };
    this.#pipeline = new Pipeline({ ...parts, hooks });
    this.#operational = new OperationalEvents({
      ...parts,
      publish: (requests) => this.#pipeline.publish(arrivalOf(requests)),
    });
    this.#runner = new JobRunner(parts);
    this.#jobs = new JobCommands({ ...parts, runner: this.#runner });
    this.#control = new WebhookControl({
      ...parts,
      onChanged: (webhook, before, isMended) => this.#webhookChanged(webhook, before, isMended),
      jobs: this.#jobs,
    });
    this.#backups = new Backups(parts);
    this.#housekeeping = new Housekeeping({
      ...parts,
      archive: this.#deps.archive ?? null,
      backups: this.#backups,
      onForgotten: (lanes) => this.#forgotten(lanes),
      onSuspended: (gapMs) => warnOfClock(this.#deps.log, gapMs),
    });
  }

  /** The configuration was changed: what does not read it at each use takes it up here. Senders know it already. */
  configChanged(): void {
    if (this.#phase === "starting") return;
    const { config, clock, random } = this.#deps;
    for (const lane of this.#schedule.lanes.values()) {
      lane.targetVersion = 0;
      lane.sweepAt = 0;
      shortenProbe(lane.breaker, config.breaker, clock.now(), random);
    }
    this.#schedule.changeLimits(scheduleLimits(config), clock.now(), clock.mono());
    this.#disk.look();
    this.#operational.configChanged();
    this.#pipeline.kick();
  }

  /** Takes no more, lets what is in flight end for at most `delivery.drain`, makes everything durable, closes. */
  async stop(): Promise<void> {
    this.#phase = "stopping";
    this.#lanes.isStopped = true;
    const { clock, timers, config, senders, store } = this.#deps;
    await Promise.all([this.#runner.stop(), this.#backups.stop()]);
    await this.#pipeline.stopLeasing();
    const deadline = clock.mono() + config.delivery.drainMs;
    while (this.#flights.size > 0 && clock.mono() < deadline) {
      await new Promise<void>((resolve) => timers.after(DRAIN_LOOK_MS, resolve));
    }
    await Promise.all(senders.map((sender) => sender.stop()));
    senders.forEach((_, sender) => {
      this.#samples.lost(sender);
    });
    await this.#operational.stop();
    for (const lane of this.#schedule.lanes.values()) {
      if (stateOf(lane) !== lane.storedState) this.#pipeline.storeLaneState(lane);
    }
    await this.#pipeline.stop();
    await this.#housekeeping.stop();
    await this.#deps.archive?.stop();
    try {
      await store.putSetting(WATERMARK, String(this.#careful.now()));
      await this.#operational.save();
    } catch (error) {
      // A full disk does not keep hookd from stopping: the next start knows an older time, which is careful enough.
      if (!(error instanceof Problem)) throw error;
    }
    await store.close();
  }

  /** Attempts have ended, in any sender. */
  takeOutcomes(outcomes: readonly Outcome[]): void {
    this.#pipeline.takeOutcomes(this.#samples.take(outcomes));
  }

  /** A sender died: each lease that it had counts as an attempt. Call when another one has taken its place. */
  senderLost(sender: number): void {
    if (this.#phase === "starting") return;
    this.#samples.lost(sender);
    this.#pipeline.senderLost(sender);
  }

  get salt(): IdSalt {
    return this.#salt;
  }

  get isFull(): boolean {
    return this.#pipeline.isFull;
  }

  get refusal(): Engine["refusal"] {
    return this.#refusalByPhase ?? this.#pipeline.refusal ?? (this.#disk.isLow ? "disk_full" : null);
  }

  async publish(event: PublishRequest): Promise<PublishResult> {
    const [outcome] = await this.publishMany([event]);
    if (!outcome || outcome instanceof Problem) throw outcome ?? new Problem("internal", "no answer");
    return outcome;
  }

  submit(event: PublishRequest, done: (outcome: PublishOutcome) => void): void {
    this.publish(event).then(done, done);
  }

  /** Events that share a commit, each with an outcome of its own. */
  publishMany(events: readonly PublishRequest[]): Promise<readonly PublishOutcome[]> {
    return this.publishArrival(arrivalOf(events));
  }

  /** The same, of events that are still to be read. */
  publishArrival(arrival: Arrival): Promise<readonly PublishOutcome[]> {
    const problem = this.#refusalToTake();
    if (problem) return Promise.resolve(new Array<Problem>(arrival.count).fill(problem));
    return this.#pipeline.publish(arrival);
  }

  async broadcast(event: Omit<PublishRequest, "userId" | "targets">): Promise<PublishResult> {
    const problem = this.#refusalToTake();
    if (problem) throw problem;
    const { config, store } = this.#deps;
    return broadcast(
      { config, store, pipeline: this.#pipeline, jobs: this.#jobs, runner: this.#runner },
      event,
    );
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
    this.#pausing.assertSending();
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
    return this.#deliveries.get(id);
  }

  getEvent(userId: string, uid: string): Promise<EventView | null> {
    return eventView(this.#deps.store, this.#salt, userId, uid);
  }

  retryDelivery(id: DeliveryId): Promise<Delivery> {
    return this.#deliveries.retry(id);
  }

  cancelDelivery(id: DeliveryId): Promise<Delivery> {
    return this.#deliveries.cancel(id);
  }

  deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]> {
    return this.#deps.store.deadGroups(filter, by);
  }

  countJob(spec: JobSpec): Promise<{ count: number; isExact: boolean }> {
    return this.#jobs.count(spec);
  }

  createJob(spec: JobSpec): Promise<Job> {
    return this.#jobs.create(spec);
  }

  getJob(id: JobId): Promise<Job | null> {
    return this.#deps.store.getJob(id);
  }

  listJobs(userId: string | null, page: Page): Promise<Paged<Job>> {
    return this.#deps.store.listJobs(userId, page);
  }

  cancelJob(id: JobId): Promise<Job> {
    return this.#jobs.cancel(id);
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

  createBackup(name: string | null): Promise<Backup> {
    return this.#backups.create(name);
  }

  listBackups(): Promise<readonly Backup[]> {
    return this.#backups.list();
  }

  getBackup(name: string): Promise<Backup | null> {
    return this.#backups.get(name);
  }

  deleteBackup(name: string): Promise<void> {
    return this.#backups.delete(name);
  }

  pause(): Promise<Pause> {
    return this.#pausing.pause();
  }

  resume(): Promise<void> {
    return this.#pausing.resume();
  }

  async getPause(): Promise<Pause | null> {
    return this.#pausing.current;
  }

  async stats(): Promise<EngineStats> {
    return engineStats({
      counters: this.#counters,
      schedule: this.#schedule,
      store: this.#deps.store.stats(),
      flights: this.#flights.size,
      jobs: this.#runner.activeCount,
      clockGapMs: this.#careful.gapMs,
      isClockSuspended: this.#careful.isSuspended,
      diskFreeBytes: this.#disk.writableBytes,
      isPaused: this.#pausing.current !== null,
      isBackupRunning: this.#backups.isRunning,
      now: this.#deps.clock.now(),
    });
  }

  watch(filter: WatchFilter, tell: (watched: Watched) => void): () => void {
    return this.#watches.add(filter, tell);
  }

  onWebhookChanged(listener: (userId: string) => void): void {
    this.#changeListeners.add(listener);
  }

  #settled(attempts: readonly SettledAttempt[]): void {
    this.#deps.log.attempts(attempts);
    this.#watches.settled(attempts);
  }

  #broken(lane: Lane, reason: "gone" | "failing"): void {
    if (!lane.webhook.isActive) return;
    this.#control.disable(lane.webhook, reason).catch((error) => {
      if (!(error instanceof Problem)) this.#deps.onFatal(error);
    });
  }

  /** A webhook was changed: lanes, senders and every cache see it from now on. */
  #webhookChanged(webhook: Webhook, before: Webhook | null, isMended: boolean): void {
    const { clock } = this.#deps;
    this.#operational.webhookChanged(webhook, before, this.#schedule.lanes.get(webhook.id));
    this.#webhooks.put(webhook);
    this.#schedule.webhookChanged(webhook, isMended, clock.now(), clock.mono());
    const lane = this.#schedule.lanes.get(webhook.id);
    if (lane && lane.storedState !== null && stateOf(lane) === null) this.#pipeline.storeLaneState(lane);
    this.#pipeline.kick();
    for (const listener of this.#changeListeners) listener(webhook.userId);
  }

  #forgotten(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      // It may have a lane again, which has told the sender of it meanwhile.
      const again = this.#schedule.lanes.get(lane.webhookId);
      if (again !== undefined && again.targetVersion !== 0) continue;
      const sender = this.#deps.senders[senderOf(lane.webhookId, this.#deps.senders.length)];
      if (lane.targetVersion !== 0) sender?.dropTarget(lane.webhookId);
    }
  }

  /** Why no event is taken at all, the store's own refusals aside: those the pipeline gives, and counts. */
  #refusalToTake(): Problem | null {
    const refusal = this.#refusalByPhase ?? (this.#disk.isLow ? "disk_full" : null);
    return refusal && refusalProblem(refusal);
  }

  get #refusalByPhase(): Refusal | null {
    if (this.#phase === "starting") return "starting";
    return this.#phase === "stopping" ? "shutting_down" : null;
  }
}

function scheduleLimits({ delivery, breaker }: Config): ScheduleLimits {
  return { inFlightMax: delivery.inFlightMax, concurrencyMax: delivery.concurrencyMax, breaker };
}
