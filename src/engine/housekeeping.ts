import type { Archive } from "../archive/port.ts";
import type { Config } from "../config/config.ts";
import { Problem } from "../domain/problem.ts";
import { WATERMARK } from "../domain/setting.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Store } from "../store/port.ts";
import type { Backups } from "./backups.ts";
import type { CarefulClock } from "./careful-clock.ts";
import type { Counters } from "./counters.ts";
import type { DiskWatch } from "./disk-watch.ts";
import type { Lane } from "./lane.ts";
import type { LaneChanges } from "./lane-changes.ts";
import { Retention } from "./retention.ts";
import type { Schedule } from "./schedule.ts";

export interface HousekeepingDeps {
  readonly config: Config;
  readonly store: Store;
  readonly archive: Archive | null;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly careful: CarefulClock;
  readonly disk: DiskWatch;
  readonly timers: Timers;
  readonly lanes: LaneChanges;
  readonly counters: Counters;
  readonly backups: Backups;
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
  readonly onForgotten: (lanes: readonly Lane[]) => void;
  readonly onSuspended: (gapMs: number) => void;
  readonly onFatal: (error: unknown) => void;
}

/** Between looks for quiet moments, in which the store does what waits for one. */
const TICK_MS = 250;
const SWEEP_EVERY_MS = 10_000;
const EXPIRE_ROWS = 500;
/** Of one lane in one sweep: the others are to have their turn. */
const EXPIRE_SLICES_MAX = 20;
/** In times of what a slice took. */
const EXPIRE_REST = 3;
const WATERMARK_EVERY_MS = 30_000;
/** A lane that had no delivery that is too old is asked again after this share of the age. */
const SWEEP_AGE_SHARE = 0.01;
/** As long as what a lane knows of its recent attempts is shown. */
const LANE_IDLE_MS = 5 * 60_000;
/** Lanes kept for that alone, some 2 KiB each. While there are more, one is forgotten as soon as it has been idle for... */
const LANES_KEPT_MAX = 100_000;
const LANE_IDLE_MIN_MS = 1_000;
/** Lanes looked at in one go: a fraction of a millisecond. */
const SWEEP_SLICE = 2_000;

/** What has to be done now and then, in slices: folding in quiet moments, expiry; and retention, at a pace of its own. */
export class Housekeeping {
  readonly #deps: HousekeepingDeps;
  readonly #retention: Retention;
  #cancel: (() => void) | null = null;
  #cancelLook: (() => void) | null = null;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #nextSweep = 0;
  #nextWatermark = 0;
  #wasSuspended = false;

  constructor(deps: HousekeepingDeps) {
    this.#deps = deps;
    this.#retention = new Retention(deps);
  }

  start(): void {
    this.#look();
    this.#schedule();
    this.#retention.start();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    this.#cancelLook?.();
    await Promise.all([this.#running, this.#retention.stop()]);
  }

  #schedule(): void {
    if (this.#isStopped) return;
    this.#cancel = this.#deps.timers.after(TICK_MS, () => {
      this.#running = this.#tick()
        .catch((error) => {
          // A store that takes nothing at the moment is the pipeline's to notice; the work waits.
          if (!(error instanceof Problem)) this.#deps.onFatal(error);
        })
        .finally(() => this.#schedule());
    });
  }

  /** At a pace of its own: a sweep may take longer than the disk takes to fill. */
  #look(): void {
    if (this.#isStopped) return;
    this.#deps.disk.look();
    this.#deps.backups.look();
    this.#cancelLook = this.#deps.timers.after(TICK_MS, () => this.#look());
  }

  async #tick(): Promise<void> {
    const { store, clock, schedule } = this.#deps;
    while (schedule.readyCount === 0 && !this.#isStopped && (await store.maintain())) await this.#breathe();
    const mono = clock.mono();
    if (mono >= this.#nextWatermark) {
      this.#nextWatermark = mono + WATERMARK_EVERY_MS;
      this.#watch();
      await store.putSetting(WATERMARK, String(this.#deps.careful.now()));
    }
    if (mono >= this.#nextSweep) {
      this.#nextSweep = mono + SWEEP_EVERY_MS;
      await this.#sweep();
    }
  }

  #watch(): void {
    const { careful, onSuspended } = this.#deps;
    if (careful.isSuspended && !this.#wasSuspended) onSuspended(careful.gapMs);
    this.#wasSuspended = careful.isSuspended;
  }

  /** Deliveries that have been open for too long end, also those of lanes that send nothing; idle lanes are forgotten. */
  async #sweep(): Promise<void> {
    const { schedule, clock, careful } = this.#deps;
    // What comes while the sweep runs is looked at by the next one.
    let left = schedule.lanes.size;
    let forgotten: Lane[] = [];
    for (const lane of schedule.lanes.values()) {
      if (this.#mayHoldOld(lane, careful.now())) await this.#expire(lane);
      const idleMs = schedule.lanes.size > LANES_KEPT_MAX ? LANE_IDLE_MIN_MS : LANE_IDLE_MS;
      const nowMono = clock.mono();
      if (schedule.forgetIfIdle(lane, nowMono - idleMs, clock.now(), nowMono)) forgotten.push(lane);
      left -= 1;
      if (left % SWEEP_SLICE !== 0) continue;
      this.#deps.onForgotten(forgotten);
      forgotten = [];
      if (left === 0) return;
      await this.#breathe();
      if (this.#isStopped) return;
    }
    this.#deps.onForgotten(forgotten);
  }

  /**
   * A pending delivery has been due since it was queued. Of retries, only those that are due are looked at (a later one
   * is looked at when it is leased). Not at every sweep: a thousand parked lanes would keep the store busy.
   */
  #mayHoldOld(lane: Lane, now: number): boolean {
    const { ageMaxMs } = this.#deps.config.delivery;
    if (lane.sweepAt > now) return false;
    if (lane.pending > 0 && lane.pendingDueAt < now - ageMaxMs) return true;
    return lane.retrying > 0 && lane.retryingDueAt <= now && lane.retryingQueuedAt < now - ageMaxMs;
  }

  async #expire(lane: Lane): Promise<void> {
    const { clock } = this.#deps;
    for (let slice = 0; slice < EXPIRE_SLICES_MAX && !this.#isStopped; slice += 1) {
      const begunMono = clock.mono();
      if ((await this.#expireSlice(lane)) < EXPIRE_ROWS) return;
      await this.#rest((clock.mono() - begunMono) * EXPIRE_REST);
    }
  }

  /** How many ended. */
  async #expireSlice(lane: Lane): Promise<number> {
    const { store, clock, careful, config, lanes, counters } = this.#deps;
    const now = careful.now();
    const queuedBefore = now - config.delivery.ageMaxMs;
    const change = await lanes.change(() =>
      store.expire(lane.webhookId, queuedBefore, EXPIRE_ROWS, clock.now()),
    );
    await this.#breathe();
    const died = change?.died ?? 0;
    counters.died({ webhookId: lane.webhookId, reason: "expired", count: died, delivery: null });
    if (died > 0) return died;
    lane.sweepAt = now + config.delivery.ageMaxMs * SWEEP_AGE_SHARE;
    // What is left was queued later: the time at which the ended ones were due says nothing any more.
    if (lane.pending > 0) lane.pendingDueAt = Math.max(lane.pendingDueAt, queuedBefore);
    return 0;
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => this.#deps.timers.after(ms, resolve));
  }

  /** Lets a commit go first. */
  #breathe(): Promise<void> {
    return new Promise((resolve) => this.#deps.timers.soon(resolve));
  }
}
