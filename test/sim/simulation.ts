import type { Overrides } from "../../src/config/load.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { SettledAttempt } from "../../src/engine/port.ts";
import type { Outcome } from "../../src/sender/port.ts";
import type { CommitBatch, Committed, LeaseGrant } from "../../src/store/port.ts";
import { seededRandom } from "../support/fake-clock.ts";
import type { SeenAttempt } from "../support/scripted-sender.ts";
import { checkAttempt } from "./attempt-rules.ts";
import { BreakerModel, type Instant } from "./breaker-model.ts";
import type { OpenBroadcasts } from "./broadcast-rules.ts";
import { Dice } from "./dice.ts";
import { type LaneEntry, LaneModel } from "./lane-model.ts";
import { Ledger, type Moment } from "./ledger.ts";
import type { ActivePlant } from "./plants.ts";
import type { Purge } from "./purge-model.ts";
import { SimWorld, type WorldWatcher } from "./world.ts";

/** When, and in which order, the director decided to make an attempt. */
export interface Decision {
  readonly order: number;
  readonly mono: number;
}

export interface Violation {
  readonly invariant: string;
  readonly what: string;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly store: "memory" | "sqlite";
  readonly plant: ActivePlant;
  /** What was done, as it is done. */
  readonly trace: (line: string) => void;
}

/** So many violations tell enough. */
const WRONG_MAX = 20;

/** A world, and what its publishers, owners and receivers know of it. */
export class Simulation implements WorldWatcher {
  readonly seed: number;
  readonly dice: Dice;
  readonly world: SimWorld;
  readonly ledger: Ledger;
  readonly lanes: LaneModel;
  readonly breakers: BreakerModel;
  readonly wrong: Violation[] = [];
  readonly decisions = new Map<DeliveryId, Decision>();
  readonly trace: (line: string) => void;
  /**
   * What a commit records is dated by its beginning: those on their way, and the last one that was answered.
   */
  readonly #commitsAt = new Map<number, Instant & { readonly now: number }>();
  readonly #arrivedAt = new Map<DeliveryId, Instant>();
  #commitAt = { mono: 0, jumpsMs: 0, backwardMs: 0, now: 0 };
  behaviourChanges = 0;
  /** The delivery of each event to each webhook: `17/42`. */
  readonly stored = new Map<string, DeliveryId>();
  /** Reported ends of attempts whose record is not durable yet: their slots are in use. */
  readonly unsettled = new Map<DeliveryId, WebhookId>();
  readonly purges: Purge[] = [];
  readonly broadcasts: OpenBroadcasts = new Map();
  /** When the whole disk was last read. */
  lastLook: Moment = { mono: 0, now: 0, forwardMs: 0, regressMs: 0 };
  /** Webhooks that broadcasts and events find, by event. */
  readonly webhooks: Webhook[] = [];

  constructor(options: SimulationOptions) {
    const { seed, store, plant } = options;
    this.seed = seed;
    this.trace = options.trace;
    this.dice = new Dice(seededRandom(seed));
    const config = drawConfig(this.dice);
    const senders = 1 + this.dice.below(3);
    this.world = new SimWorld(
      { seed: seed + 1, config, senders, store, alter: plant.deps, alterOutcomes: plant.outcomes },
      this,
    );
    const { breaker, delivery } = this.world.config;
    this.ledger = new Ledger(() => this.moment());
    this.lanes = new LaneModel(delivery.concurrencyMax);
    this.breakers = new BreakerModel(breaker.consecutive, breaker.probeMs);
    this.world.receivers.onAttempt = (seen) => this.#attemptBegins(seen);
  }

  say(invariant: string, what: string): void {
    this.trace(`  VIOLATED ${invariant}: ${what}`);
    if (this.wrong.length < WRONG_MAX) this.wrong.push({ invariant, what });
  }

  /** A webhook's lane, any. */
  pickLane(): LaneEntry {
    return this.lanes.get(this.dice.pick(this.webhooks).id);
  }

  moment(): Moment {
    const { time, clock, forwardMs, regressMs } = this.world;
    return { mono: time.mono(), now: clock.now(), forwardMs, regressMs };
  }

  instant(): Instant {
    const { time, forwardMs, backwardMs, regressMs } = this.world;
    return { mono: time.mono(), jumpsMs: forwardMs + backwardMs, backwardMs: backwardMs + regressMs };
  }

  onCommitBegun(batch: CommitBatch, begun: number, begunMono: number): void {
    this.breakers.commitBegun(begun);
    this.#commitsAt.set(begun, { ...this.instant(), now: this.world.clock.now() });
    for (const { targets } of batch.appends) {
      for (const { id, token } of targets) {
        if (token !== 0) this.decisions.set(id, { order: begun, mono: begunMono });
      }
    }
  }

  onCommitted(_batch: CommitBatch, _committed: Committed, begun: number): void {
    this.#commitAt = this.#commitsAt.get(begun) ?? this.#commitAt;
    this.#commitsAt.delete(begun);
    this.breakers.committed(begun);
  }

  onLeased(grants: readonly LeaseGrant[], begun: number, begunMono: number): void {
    for (const { leased } of grants) {
      for (const { id } of leased) this.decisions.set(id, { order: begun, mono: begunMono });
    }
  }

  onWebhook(webhook: Webhook): void {
    const lane = this.lanes.lanes.get(webhook.id);
    if (!lane) return;
    if (!webhook.isActive) lane.wasOff = true;
    this.#resetBreaker(webhook.id);
  }

  outcomes(outcomes: readonly Outcome[]): void {
    for (const { deliveryId, token, webhookId, attempt, retryAfterMs } of outcomes) {
      const isNew = this.ledger.ended(deliveryId, token, attempt.verdict, retryAfterMs ?? 0);
      if (!isNew) continue;
      this.unsettled.set(deliveryId, webhookId);
      this.#arrivedAt.set(deliveryId, this.instant());
    }
  }

  settled(attempts: readonly SettledAttempt[]): void {
    const { order } = this.world.faults;
    for (const attempt of attempts) {
      const leasedAt = this.decisions.get(attempt.deliveryId)?.order ?? 0;
      // It was judged after it had come, and before its commit: that may have waited for webhooks to be read.
      const judgedAt = this.#arrivedAt.get(attempt.deliveryId) ?? this.#commitAt;
      this.#arrivedAt.delete(attempt.deliveryId);
      this.breakers.settled(attempt, leasedAt, order, judgedAt);
      this.unsettled.delete(attempt.deliveryId);
      const entry = this.ledger.deliveries.get(attempt.deliveryId);
      if (!entry || attempt.status !== "success") continue;
      const { replayedMono, replayedNow } = this.lanes.get(attempt.webhookId);
      // The director's clock may stand still after a crash: what is delivered in the moment of a replay is the replay's too.
      const isAfter = this.#commitAt.mono > replayedMono && this.#commitAt.now > replayedNow;
      if (isAfter) entry.isRecorded = true;
      else this.ledger.reopen(entry);
    }
  }

  crashed(): void {
    this.unsettled.clear();
    this.#arrivedAt.clear();
    this.ledger.crashed();
    this.breakers.crashed();
    this.lanes.refill();
  }

  /** The owners' view after a start: what was asked when the process ended may have been done. */
  async readWebhooks(): Promise<void> {
    const { world } = this;
    const found = await world.call(world.director.getWebhooks(this.webhooks.map(({ id }) => id)));
    const { order } = world.faults;
    for (const webhook of found) {
      if (!webhook) continue;
      const lane = this.lanes.get(webhook.id);
      lane.cap = webhook.concurrencyMax ?? world.config.delivery.concurrencyMax;
      lane.capBefore = lane.cap;
      lane.pausedSince = webhook.isPaused && webhook.isActive ? order : null;
      lane.wasOff ||= !webhook.isActive;
    }
  }

  #resetBreaker(webhookId: WebhookId): void {
    this.breakers.reset(webhookId, this.world.faults.order);
  }

  #attemptBegins(seen: SeenAttempt): void {
    this.world.receivers.attempts.length = 0;
    checkAttempt(this, seen);
  }
}

/** Times that let everything happen within an hour; sizes that make lanes, users and slots compete. */
function drawConfig(dice: Dice): Overrides {
  return {
    "delivery.in_flight_max": dice.pick([6, 10, 40, 200]),
    "delivery.concurrency_max": dice.pick([4, 16, 128]),
    "delivery.timeout": "5s",
    "delivery.drain": "6s",
    "delivery.age_max": "30m",
    "retry.schedule": ["1s", "5s", "30s", "5m"],
    "breaker.consecutive": 3 + dice.below(3),
    "breaker.window": dice.pick([10, 20]),
    "breaker.probe": "10s",
    "breaker.probe_max": dice.pick(["10s", "1m"]),
    "breaker.disable_after": "40m",
    "limits.lane_backlog": dice.pick([100, 300]),
    "limits.user_backlog": 1_000,
    "limits.fanout_max": 2,
    "retention.success": "20m",
    "retention.dead": "1h",
    "cache.entries": 3,
  };
}
