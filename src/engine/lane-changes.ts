import type { Config } from "../config/config.ts";
import { importBreaker, isOverdue, spreadProbe } from "../domain/breaker.ts";
import type { DeadReason } from "../domain/delivery.ts";
import type { WebhookId } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { LaneChange, RecoveredLane, Store } from "../store/port.ts";
import { isOn } from "./lane.ts";
import type { Schedule } from "./schedule.ts";
import type { Loaded, WebhookCache } from "./webhook-cache.ts";

export interface LaneChangesDeps {
  readonly config: Config;
  readonly store: Store;
  readonly schedule: Schedule;
  readonly webhooks: WebhookCache;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  /** Lanes may have work that they had not before. */
  readonly onChanged: () => void;
}

const RECOVER_CHUNK = 500;
const LOAD_RETRY_MS = 250;
/** Probes that were due while hookd was down go so far apart on average, and all of them within the first interval of probes. */
const OVERDUE_APART_MS = 50;
/** A lane with more than this waiting gets no more of its own replay until it has sent some... */
const JOB_BACKLOG_MAX = 2_000;
/** ...and of a replay for many lanes, which one that is slow must not hold up for what waits there anyway, with this many. */
const WIDE_JOB_BACKLOG_MAX = 100_000;

/** What happens to queues outside of the pipeline: at start, by commands, bulk work, expiry. Keeps the counts true. */
export class LaneChanges {
  readonly #deps: LaneChangesDeps;
  /** The process ends: what was changed need not be counted any more, and a store that does not answer holds nobody up. */
  isStopped = false;

  constructor(deps: LaneChangesDeps) {
    this.#deps = deps;
  }

  /** Lanes as they were when hookd last ran. */
  async recover(lanes: readonly RecoveredLane[]): Promise<void> {
    const { config, clock, store, schedule, random } = this.#deps;
    const now = clock.now();
    const nowMono = clock.mono();
    const breakers = lanes.map(({ state }) => (state === null ? null : importBreaker(JSON.parse(state))));
    const overdue = breakers.filter((breaker) => breaker !== null && isOverdue(breaker, now)).length;
    const withinMs = Math.min(overdue * OVERDUE_APART_MS, config.breaker.probeMs);
    for (let at = 0; at < lanes.length; at += RECOVER_CHUNK) {
      const chunk = lanes.slice(at, at + RECOVER_CHUNK);
      const webhooks = await store.getWebhooks(chunk.map((lane) => lane.webhookId));
      chunk.forEach((found, index) => {
        const webhook = webhooks[index];
        if (!webhook) return;
        const lane = schedule.laneOf(webhook, nowMono);
        const breaker = breakers[at + index];
        if (breaker) {
          lane.storedState = found.state;
          if (isOn(webhook)) {
            spreadProbe(breaker, now, withinMs, random);
            lane.breaker = breaker;
          }
        }
        schedule.recover(lane, found, now, nowMono);
      });
    }
  }

  /**
   * Makes a store call that changes queues, and counts what it changed. Until that is done the schedule takes no count
   * for wrong: leases may come in between the two.
   */
  async run<T>(call: () => Promise<T>, changesOf: (result: T) => readonly LaneChange[]): Promise<T> {
    const { schedule } = this.#deps;
    schedule.changeBegun();
    try {
      const result = await call();
      await this.#count(changesOf(result));
      return result;
    } finally {
      schedule.changeCounted();
    }
  }

  /** `run` for a call that changes one lane, or none. */
  change(call: () => Promise<LaneChange | null>): Promise<LaneChange | null> {
    return this.run(call, (change) => (change ? [change] : []));
  }

  /** Lanes that could send, and wait for a slot. */
  get waitingCount(): number {
    return this.#deps.schedule.waitingCount;
  }

  /** Whether one of these lanes, which a job gave work to, has much to send, and sends it. `isWide`: it is a job for many. */
  areBehind(ids: readonly WebhookId[], isWide: boolean): boolean {
    const max = isWide ? WIDE_JOB_BACKLOG_MAX : JOB_BACKLOG_MAX;
    return ids.some((id) => {
      const lane = this.#deps.schedule.lanes.get(id);
      return lane !== undefined && lane.pending > max && !lane.breaker.isOpen && !lane.webhook.isPaused;
    });
  }

  /** Why a broadcast's delivery to this webhook is dead at once, or null. */
  refusalOf(webhookId: WebhookId): DeadReason | null {
    const { webhooks, schedule, config } = this.#deps;
    const lane = schedule.lanes.get(webhookId);
    const webhook = lane?.webhook ?? webhooks.get(webhookId);
    if (webhook && !isOn(webhook)) return "disabled";
    const backlog = lane ? lane.pending + lane.retrying : 0;
    return backlog >= config.limits.laneBacklog ? "overflow" : null;
  }

  async #count(changes: readonly LaneChange[]): Promise<void> {
    if (changes.length === 0) return;
    const { clock, schedule, webhooks: cache, onChanged } = this.#deps;
    const loaded = await this.#load(new Set(changes.map((change) => change.webhookId)));
    const webhooks = loaded === null ? new Map<WebhookId, Webhook>() : cache.newest(loaded);
    for (const change of changes) {
      const webhook = webhooks.get(change.webhookId);
      if (!webhook) continue;
      const lane = schedule.laneOf(webhook, clock.mono());
      schedule.changed(lane, change, clock.now(), clock.mono());
    }
    onChanged();
  }

  /** The changes are made already: a store that does not answer is asked again until it does, or hookd stops: null. */
  async #load(ids: ReadonlySet<WebhookId>): Promise<Loaded | null> {
    const { webhooks, timers } = this.#deps;
    for (;;) {
      try {
        return await webhooks.load(ids);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
      }
      if (this.isStopped) return null;
      await new Promise<void>((resolve) => {
        timers.after(LOAD_RETRY_MS, resolve);
      });
    }
  }
}
