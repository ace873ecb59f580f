import type { BreakerPolicy } from "../domain/breaker.ts";
import { FairQueue } from "../domain/fairness.ts";
import type { WebhookId } from "../domain/ids.ts";
import { rampReset } from "../domain/ramp.ts";
import { createBucket, takeTokens } from "../domain/rate-limit.ts";
import type { Webhook } from "../domain/webhook.ts";
import { Heap } from "../lib/heap.ts";
import type { LaneChange, LeaseGrant, RecoveredLane } from "../store/port.ts";
import {
  concurrencyOf,
  createLane,
  firstDueAt,
  isForgettable,
  type Lane,
  NEVER,
  sendableAt,
} from "./lane.ts";

export interface ScheduleLimits {
  readonly inFlightMax: number;
  readonly concurrencyMax: number;
  readonly breaker: BreakerPolicy;
}

/** One queue of one lane to lease from. */
export interface Plan {
  readonly lane: Lane;
  readonly status: "pending" | "retrying";
  readonly limit: number;
}

/** Deliveries that a user may be given in one turn. */
const QUANTUM = 16;
/** Leases planned in one pass: bounds what one pass reads and sends. */
const PLANNED_MAX = 512;
/** While fresh deliveries wait, retries hold at most this share of all slots... */
const RETRY_SHARE = 0.2;
/** ...and lanes that have not shown a success yet this one: black holes cannot take every socket. */
const UNPROVEN_SHARE = 0.5;

/**
 * Which lane sends next. Everything here is in memory and costs nothing for lanes with nothing to do: a lane is known
 * by its counts and the time its first delivery is due, stands in the fair queue while it could send, and in the heap
 * while it waits for a time.
 */
export class Schedule {
  readonly lanes = new Map<WebhookId, Lane>();
  inFlight = 0;
  /** Deliveries that wait on disk, over all lanes. */
  backlog = 0;
  /** Times the kept counts said that there was work and the store had none: always 0 but for a bug. */
  countDrift = 0;
  readonly #limits: ScheduleLimits;
  readonly #ready = new FairQueue<Lane>(QUANTUM);
  readonly #wakes = new Heap<Lane>();
  readonly #userBacklog = new Map<string, number>();
  /** Lanes that could send, but for their share of the slots. */
  readonly #awaitingRetrySlot = new Set<Lane>();
  readonly #awaitingUnprovenSlot = new Set<Lane>();
  #retriesInFlight = 0;
  #unprovenInFlight = 0;

  constructor(limits: ScheduleLimits) {
    this.#limits = limits;
  }

  /** When the next lane wakes up; NEVER when none waits for a time. */
  get nextWakeAt(): number {
    return this.#wakes.firstKey;
  }

  get readyCount(): number {
    return this.#ready.size;
  }

  get hasRoom(): boolean {
    return this.inFlight < this.#limits.inFlightMax && this.#ready.size > 0;
  }

  backlogOfUser(userId: string): number {
    return this.#userBacklog.get(userId) ?? 0;
  }

  laneOf(webhook: Webhook, nowMono: number): Lane {
    let lane = this.lanes.get(webhook.id);
    if (!lane) {
      lane = createLane(webhook, nowMono);
      this.lanes.set(webhook.id, lane);
    }
    lane.lastUsedMono = nowMono;
    return lane;
  }

  /** A lane as the store found it at start. */
  recover(lane: Lane, found: RecoveredLane, now: number, nowMono: number): void {
    this.#count(lane, found.pending, found.retrying);
    lane.pendingDueAt = found.pendingDueAt ?? NEVER;
    lane.retryingDueAt = found.retryingDueAt ?? NEVER;
    this.touch(lane, now, nowMono);
  }

  /** The webhook was changed: its lane obeys at once. A new URL is a new receiver, whose pace is not known yet. */
  webhookChanged(webhook: Webhook, now: number, nowMono: number): void {
    const lane = this.lanes.get(webhook.id);
    if (!lane) return;
    const before = lane.webhook;
    lane.webhook = webhook;
    if (before.callbackUrl !== webhook.callbackUrl) this.#resetRamp(lane);
    if (JSON.stringify(before.rateLimit) !== JSON.stringify(webhook.rateLimit)) {
      lane.bucket = webhook.rateLimit ? createBucket(webhook.rateLimit, nowMono) : null;
    }
    this.touch(lane, now, nowMono);
  }

  /** Whether a new delivery may go straight to a sender. Takes its slot: `end` gives it back. */
  tryHandOff(lane: Lane, now: number, nowMono: number): boolean {
    if (
      lane.pending > 0 ||
      lane.isQueued ||
      firstDueAt(lane) <= now ||
      (lane.webhook.ordering === "fifo" && lane.retrying > 0) ||
      lane.inFlight >= concurrencyOf(lane, this.#limits.concurrencyMax) ||
      this.inFlight >= this.#limits.inFlightMax ||
      this.#ready.size > 0 ||
      (!lane.ramp.isProven && this.#isUnprovenShareUsed()) ||
      sendableAt(lane, this.#limits.breaker, now, nowMono) > now
    ) {
      return false;
    }
    if (lane.bucket && takeTokens(lane.bucket, 1, nowMono) === 0) return false;
    this.#begin(lane, false);
    return true;
  }

  /** New deliveries wait in the lane. */
  enqueue(lane: Lane, change: Omit<LaneChange, "webhookId" | "died">, now: number, nowMono: number): void {
    this.#count(lane, change.pending, change.retrying);
    if (change.dueAt !== null) {
      if (change.pending > 0) lane.pendingDueAt = Math.min(lane.pendingDueAt, change.dueAt);
      if (change.retrying > 0) lane.retryingDueAt = Math.min(lane.retryingDueAt, change.dueAt);
      if (change.pending === 0 && change.retrying === 0) {
        if (lane.pending > 0) lane.pendingDueAt = Math.min(lane.pendingDueAt, change.dueAt);
        if (lane.retrying > 0) lane.retryingDueAt = Math.min(lane.retryingDueAt, change.dueAt);
      }
    }
    if (lane.pending === 0) lane.pendingDueAt = NEVER;
    if (lane.retrying === 0) lane.retryingDueAt = NEVER;
    this.touch(lane, now, nowMono);
  }

  /** An attempt has ended, or its slot was not used: the slot is free. Settle the lane's breaker and ramp before. */
  end(lane: Lane, isRetry: boolean, now: number, nowMono: number): void {
    lane.inFlight -= 1;
    this.inFlight -= 1;
    if (isRetry) {
      lane.retriesInFlight -= 1;
      this.#retriesInFlight -= 1;
    }
    if (!lane.ramp.isProven) this.#unprovenInFlight -= 1;
    this.touch(lane, now, nowMono);
    this.#admitWaiting(now, nowMono);
  }

  /** Call around whatever may make a lane proven or unproven, so that its slots are counted where they belong. */
  changeRamp(lane: Lane, change: () => void): void {
    const wasProven = lane.ramp.isProven;
    change();
    if (wasProven === lane.ramp.isProven) return;
    this.#unprovenInFlight += wasProven ? lane.inFlight : -lane.inFlight;
  }

  /** Leases to take now, in the order in which users and lanes take turns. Slots are taken: `grant` or `end` follow. */
  plan(now: number, nowMono: number): Plan[] {
    const plans: Plan[] = [];
    let room = PLANNED_MAX;
    while (room > 0 && this.inFlight < this.#limits.inFlightMax) {
      const turn = this.#ready.next();
      if (!turn) break;
      const lane = turn.lane;
      this.#ready.remove(turn.user, lane);
      lane.isQueued = false;
      const slots = Math.min(turn.quantum, room, this.#limits.inFlightMax - this.inFlight);
      const plan = this.#planOf(lane, slots, now, nowMono);
      if (!plan) continue;
      this.#ready.charge(turn.user, plan.limit);
      for (let slot = 0; slot < plan.limit; slot += 1) this.#begin(lane, plan.status === "retrying");
      room -= plan.limit;
      plans.push(plan);
    }
    return plans;
  }

  /** What the store gave for a plan: unused slots and tokens go back, counts and the next due time follow. */
  granted(plan: Plan, grant: LeaseGrant, now: number, nowMono: number): void {
    const { lane, status } = plan;
    const used = grant.leased.length;
    const isRetry = status === "retrying";
    this.#count(lane, isRetry ? 0 : -used, isRetry ? -used : 0);
    let nextDueAt = grant.nextDueAt ?? NEVER;
    const left = isRetry ? lane.retrying : lane.pending;
    if (left > 0 && nextDueAt === NEVER) {
      this.countDrift += 1;
      this.#count(lane, isRetry ? 0 : -left, isRetry ? -left : 0);
    }
    if (left === 0) nextDueAt = NEVER;
    if (isRetry) lane.retryingDueAt = nextDueAt;
    else lane.pendingDueAt = nextDueAt;
    const unused = plan.limit - used;
    if (lane.bucket) lane.bucket.tokens += unused;
    for (let slot = 0; slot < unused; slot += 1) this.end(lane, isRetry, now, nowMono);
    this.touch(lane, now, nowMono);
  }

  /** Lanes whose time has come stand in the queue. */
  wake(now: number, nowMono: number): void {
    while (this.#wakes.firstKey <= now) {
      const lane = this.#wakes.pop();
      if (!lane) return;
      lane.wakeAt = NEVER;
      this.touch(lane, now, nowMono);
    }
  }

  /** Puts a lane where it belongs after anything about it has changed. */
  touch(lane: Lane, now: number, nowMono: number): void {
    if (lane.isQueued) return;
    const dueAt = firstDueAt(lane);
    if (dueAt === NEVER || lane.inFlight >= concurrencyOf(lane, this.#limits.concurrencyMax)) return;
    const at = Math.max(dueAt, sendableAt(lane, this.#limits.breaker, now, nowMono));
    if (at === NEVER) return;
    if (at > now) {
      if (at >= lane.wakeAt) return;
      lane.wakeAt = at;
      this.#wakes.push(at, lane);
      return;
    }
    lane.isQueued = true;
    this.#ready.add(lane.webhook.userId, lane);
  }

  /** Drops lanes that have had nothing to do for a while; the dropped ones, for whoever keeps things by lane. */
  forgetIdle(unusedSinceMono: number): Lane[] {
    const dropped: Lane[] = [];
    for (const lane of this.lanes.values()) {
      if (lane.lastUsedMono >= unusedSinceMono || !isForgettable(lane)) continue;
      this.lanes.delete(lane.webhookId);
      dropped.push(lane);
    }
    return dropped;
  }

  #planOf(lane: Lane, slots: number, now: number, nowMono: number): Plan | null {
    const sendable = sendableAt(lane, this.#limits.breaker, now, nowMono);
    const room = concurrencyOf(lane, this.#limits.concurrencyMax) - lane.inFlight;
    if (sendable > now || room <= 0) {
      this.touch(lane, now, nowMono);
      return null;
    }
    if (!lane.ramp.isProven && this.#isUnprovenShareUsed()) {
      this.#awaitingUnprovenSlot.add(lane);
      return null;
    }
    const status = this.#queueOf(lane, now);
    if (!status) return null;
    let limit = Math.min(slots, room, status === "retrying" ? lane.retrying : lane.pending);
    if (lane.bucket) limit = takeTokens(lane.bucket, limit, nowMono);
    if (limit <= 0) {
      this.touch(lane, now, nowMono);
      return null;
    }
    return { lane, status, limit };
  }

  /** The queue whose first delivery was due first, unless retries have used up their share while others wait. */
  #queueOf(lane: Lane, now: number): "pending" | "retrying" | null {
    const isPendingDue = lane.pendingDueAt <= now;
    const isRetryingDue = lane.retryingDueAt <= now;
    if (lane.webhook.ordering === "fifo") {
      if (lane.retrying > 0) return isRetryingDue ? "retrying" : null;
      return isPendingDue ? "pending" : null;
    }
    const retryMax = Math.max(1, Math.floor(this.#limits.inFlightMax * RETRY_SHARE));
    const isShareUsed = this.#retriesInFlight >= retryMax && (this.#ready.size > 0 || isPendingDue);
    if (isRetryingDue && !isShareUsed && (!isPendingDue || lane.retryingDueAt <= lane.pendingDueAt)) {
      return "retrying";
    }
    if (isPendingDue) return "pending";
    if (isRetryingDue) this.#awaitingRetrySlot.add(lane);
    return null;
  }

  #begin(lane: Lane, isRetry: boolean): void {
    lane.inFlight += 1;
    this.inFlight += 1;
    if (isRetry) {
      lane.retriesInFlight += 1;
      this.#retriesInFlight += 1;
    }
    if (!lane.ramp.isProven) this.#unprovenInFlight += 1;
  }

  #isUnprovenShareUsed(): boolean {
    return this.#unprovenInFlight >= Math.max(1, Math.floor(this.#limits.inFlightMax * UNPROVEN_SHARE));
  }

  /** A slot has come free: those that were held back by a share try again. */
  #admitWaiting(now: number, nowMono: number): void {
    for (const waiting of [this.#awaitingRetrySlot, this.#awaitingUnprovenSlot]) {
      const [lane] = waiting;
      if (!lane) continue;
      waiting.delete(lane);
      this.touch(lane, now, nowMono);
    }
  }

  #resetRamp(lane: Lane): void {
    this.changeRamp(lane, () => rampReset(lane.ramp));
  }

  #count(lane: Lane, pending: number, retrying: number): void {
    lane.pending += pending;
    lane.retrying += retrying;
    const change = pending + retrying;
    if (change === 0) return;
    this.backlog += change;
    const userId = lane.webhook.userId;
    const left = (this.#userBacklog.get(userId) ?? 0) + change;
    if (left === 0) this.#userBacklog.delete(userId);
    else this.#userBacklog.set(userId, left);
  }
}
