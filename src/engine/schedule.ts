import type { BreakerPolicy } from "../domain/breaker.ts";
import { FairQueue } from "../domain/fairness.ts";
import type { WebhookId } from "../domain/ids.ts";
import { rampReset } from "../domain/ramp.ts";
import { createBucket, takeTokens } from "../domain/rate-limit.ts";
import type { Webhook } from "../domain/webhook.ts";
import { KeyedHeap } from "../lib/keyed-heap.ts";
import { Sums } from "../lib/sums.ts";
import type { LaneChange, LeaseGrant, RecoveredLane } from "../store/port.ts";
import {
  concurrencyOf,
  createLane,
  firstDueAt,
  forgetEmptyQueues,
  isForgettable,
  isOn,
  type Lane,
  NEVER,
  resetHealth,
  sendableAt,
} from "./lane.ts";
import { LaneFigures } from "./lane-figures.ts";

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
  /** Changes that were counted when it was made. */
  readonly changesCounted: number;
}

/** Deliveries that a user may be given in one turn, at most: fewer while there are fewer free slots than that for each. */
const QUANTUM_MAX = 16;
/** Leases planned in one pass: some 3 ms of reading. */
const PLANNED_MAX = 64;
/** While fresh deliveries wait, retries hold at most this share of all slots... */
const RETRY_SHARE = 0.2;
/** ...and lanes that have not shown a success yet this one: black holes cannot take every socket. */
const UNPROVEN_SHARE = 0.5;
/** Users that hold more than an equal share of the slots leave the rest of this one to those who hold less. */
const CROWD_SHARE = 0.9;
/**
 * While so many slots are taken at most, a new delivery goes straight to its sender though others stand in the queue: those
 * wait for their turn to be read, and not for a slot.
 */
const HANDOFF_SHARE = 0.5;
/** Where the store has less than was counted, and a change of it is not counted yet: when to look again. */
const RECOUNT_MS = 100;

/**
 * Which lane sends next. Everything here is in memory and costs nothing for lanes with nothing to do: a lane is known
 * by its counts and the time its first delivery is due. A lane with due work and room is in one of three places, or it
 * would be forgotten: in the fair queue while it could send, in the heap while it waits for a time, or held while its
 * kind has used up its share of the slots.
 */
export class Schedule {
  readonly lanes = new Map<WebhookId, Lane>();
  readonly figures = new LaneFigures();
  inFlight = 0;
  /** Deliveries that wait on disk, over all lanes. */
  backlog = 0;
  /** Times the kept counts and the store differed on whether there was work: always 0 but for a bug. */
  countDrift = 0;
  /** Nothing is given a slot any more. */
  isStopped = false;
  /** The same, until somebody says otherwise. */
  isPaused = false;
  /** Store calls whose changes are not counted yet, and how many were: meanwhile the counts may differ from what is stored. */
  #changesUnderWay = 0;
  #changesCounted = 0;
  #limits!: ScheduleLimits;
  readonly #ready = new FairQueue<Lane>(QUANTUM_MAX);
  /** Each lane once: one that is woken again and again before a far retry must not leave an entry for it each time. */
  readonly #wakes = new KeyedHeap<Lane>();
  readonly #userBacklog = new Sums<string>();
  /** Lanes that could send, but for the share of the slots that retries, unproven lanes, or users with many, may have. */
  readonly #heldRetries = new Set<Lane>();
  readonly #heldUnproven = new Set<Lane>();
  readonly #heldCrowding = new Set<Lane>();
  /** Users with something in flight. */
  readonly #userInFlight = new Sums<string>();
  #crowdMax = 0;
  #handOffMax = 0;
  #retryMax = 0;
  #unprovenMax = 0;
  #retriesInFlight = 0;
  /** A lane that was planned in this pass has more fresh deliveries, and comes back for them. */
  #hasMoreFresh = false;
  #unprovenInFlight = 0;

  constructor(limits: ScheduleLimits) {
    this.#setLimits(limits);
  }

  /** From now on. What is in flight beyond them ends in its time; lanes that they held back are looked at again. */
  changeLimits(limits: ScheduleLimits, now: number, nowMono: number): void {
    this.#setLimits(limits);
    for (const lane of this.lanes.values()) this.touch(lane, now, nowMono);
  }

  /** When the next lane wakes up; NEVER when none waits for a time. */
  get nextWakeAt(): number {
    return this.#wakes.firstKey;
  }

  /** Lanes that a wake-up is set for. */
  get wakeCount(): number {
    return this.#wakes.size;
  }

  get readyCount(): number {
    return this.#ready.size;
  }

  /** With those that are held while others of their kind use up their share. */
  get waitingCount(): number {
    return this.#ready.size + this.#heldRetries.size + this.#heldUnproven.size + this.#heldCrowding.size;
  }

  /** Whether `plan` would find something. */
  get hasRoom(): boolean {
    if (this.#isHolding || this.inFlight >= this.#limits.inFlightMax) return false;
    return (
      this.#ready.size > 0 ||
      (this.#heldRetries.size > 0 && this.#heldCrowding.size === 0) ||
      (this.#heldUnproven.size > 0 && !this.#isUnprovenShareUsed()) ||
      (this.#heldCrowding.size > 0 && this.inFlight < this.#crowdMax)
    );
  }

  get #isHolding(): boolean {
    return this.isStopped || this.isPaused;
  }

  backlogOfUser(userId: string): number {
    return this.#userBacklog.of(userId);
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
    lane.retryingQueuedAt = found.retrying > 0 ? 0 : NEVER;
    this.touch(lane, now, nowMono);
  }

  /**
   * The webhook was changed: its lane obeys at once. A new URL is a new receiver, of which nothing is known yet; being
   * switched on, or off, ends what is held against the old one. `isMended`: somebody says that the receiver works again.
   */
  webhookChanged(webhook: Webhook, isMended: boolean, now: number, nowMono: number): void {
    const lane = this.lanes.get(webhook.id);
    if (!lane) return;
    const before = lane.webhook;
    lane.webhook = webhook;
    if (before.callbackUrl !== webhook.callbackUrl) this.changeRamp(lane, () => rampReset(lane.ramp));
    const isOther = before.callbackUrl !== webhook.callbackUrl || isOn(before) !== isOn(webhook);
    const { openedAt } = lane.breaker;
    if (isOther || isMended) resetHealth(lane);
    // Its next success is the recovery that the operator is told of.
    if (!isOther && isMended) lane.breaker.openedAt = openedAt;
    if (JSON.stringify(before.rateLimit) !== JSON.stringify(webhook.rateLimit)) {
      lane.bucket = webhook.rateLimit ? createBucket(webhook.rateLimit, nowMono) : null;
    }
    this.touch(lane, now, nowMono);
  }

  /** Whether a new delivery may go straight to a sender. Takes its slot: `end` or `giveBack` free it. */
  tryHandOff(lane: Lane, now: number, nowMono: number): boolean {
    if (
      this.#isHolding ||
      lane.pending > 0 ||
      lane.isQueued ||
      firstDueAt(lane) <= now ||
      (lane.webhook.ordering === "fifo" && (lane.retrying > 0 || lane.arriving > 0)) ||
      lane.inFlight >= concurrencyOf(lane, this.#limits.concurrencyMax, nowMono) ||
      this.inFlight >= this.#limits.inFlightMax ||
      (this.#ready.size > 0 && this.inFlight >= this.#handOffMax) ||
      (!lane.ramp.isProven && this.#isUnprovenShareUsed()) ||
      this.#roomOfUser(lane.webhook.userId) <= 0 ||
      sendableAt(lane, this.#limits.breaker, now, nowMono) > now
    ) {
      return false;
    }
    if (lane.bucket && takeTokens(lane.bucket, 1, nowMono) === 0) return false;
    this.#begin(lane, false, nowMono);
    return true;
  }

  /** A store call may change what waits; `changeCounted` follows. */
  changeBegun(): void {
    this.#changesUnderWay += 1;
  }

  /** Call when its changes have been given to `changed`, or it failed. */
  changeCounted(): void {
    this.#changesUnderWay -= 1;
    this.#changesCounted += 1;
  }

  /** A new delivery waits in the lane. */
  wait(lane: Lane, dueAt: number, now: number, nowMono: number): void {
    lane.pendingDueAt = Math.min(lane.pendingDueAt, dueAt);
    this.#recount(lane, 1, 0, now, nowMono);
  }

  /** A delivery waits to be tried again. */
  retry(lane: Lane, dueAt: number, queuedAt: number, now: number, nowMono: number): void {
    lane.retryingDueAt = Math.min(lane.retryingDueAt, dueAt);
    lane.retryingQueuedAt = Math.min(lane.retryingQueuedAt, queuedAt);
    this.#recount(lane, 0, 1, now, nowMono);
  }

  /** A store call has changed what waits in the lane; where it changed no count, it made something due. */
  changed(lane: Lane, change: LaneChange, now: number, nowMono: number): void {
    const { pending, retrying, dueAt } = change;
    const isOnlyDue = pending === 0 && retrying === 0;
    if (dueAt !== null && (pending > 0 || isOnlyDue)) lane.pendingDueAt = Math.min(lane.pendingDueAt, dueAt);
    if (dueAt !== null && (retrying > 0 || isOnlyDue))
      lane.retryingDueAt = Math.min(lane.retryingDueAt, dueAt);
    // How old they are it does not say.
    if (retrying > 0) lane.retryingQueuedAt = 0;
    this.#recount(lane, pending, retrying, now, nowMono);
  }

  /** A slot was taken and not used: it is free again, and so is its token of the rate limit. */
  giveBack(lane: Lane, isRetry: boolean, now: number, nowMono: number): void {
    if (lane.bucket) lane.bucket.tokens = Math.min(lane.bucket.burst, lane.bucket.tokens + 1);
    this.end(lane, isRetry, now, nowMono);
  }

  /** An attempt has ended: its slot is free. Settle the lane's breaker and ramp before. */
  end(lane: Lane, isRetry: boolean, now: number, nowMono: number): void {
    lane.inFlight -= 1;
    this.inFlight -= 1;
    if (isRetry) {
      lane.retriesInFlight -= 1;
      this.#retriesInFlight -= 1;
    }
    if (!lane.ramp.isProven) this.#unprovenInFlight -= 1;
    this.#userInFlight.add(lane.webhook.userId, -1);
    this.touch(lane, now, nowMono);
    if (this.#heldCrowding.size > 0) this.#admitOne(this.#heldCrowding, now, nowMono);
    if (this.#retriesInFlight < this.#retryMax) this.#admitOne(this.#heldRetries, now, nowMono);
    if (!this.#isUnprovenShareUsed()) this.#admitOne(this.#heldUnproven, now, nowMono);
  }

  /** Call around whatever may make a lane proven or unproven, so that its slots are counted where they belong. */
  changeRamp(lane: Lane, change: () => void): void {
    const wasProven = lane.ramp.isProven;
    change();
    if (wasProven === lane.ramp.isProven) return;
    this.#unprovenInFlight += wasProven ? lane.inFlight : -lane.inFlight;
  }

  /** Leases to take now, in the order in which users and lanes take turns. Slots are taken: `granted` or `refused` follow. */
  plan(now: number, nowMono: number): Plan[] {
    const plans: Plan[] = [];
    let room = PLANNED_MAX;
    this.#hasMoreFresh = false;
    // Slots come free a few at a time when all are used: a turn of 16 would be one user's for several rounds.
    this.#ready.quantum = (this.#limits.inFlightMax - this.inFlight) / Math.max(1, this.#ready.userCount);
    while (!this.#isHolding && room > 0 && this.inFlight < this.#limits.inFlightMax) {
      if (this.#ready.size === 0) this.#admitHeld(now, nowMono);
      const turn = this.#ready.next();
      if (!turn) break;
      const lane = turn.lane;
      this.#ready.remove(turn.user, lane);
      lane.isQueued = false;
      const slots = Math.min(turn.quantum, room, this.#limits.inFlightMax - this.inFlight);
      const plan = this.#planOf(lane, slots, now, nowMono);
      if (!plan) continue;
      this.#ready.charge(turn.user, plan.limit);
      for (let slot = 0; slot < plan.limit; slot += 1) this.#begin(lane, plan.status === "retrying", nowMono);
      this.#hasMoreFresh ||= this.#hasMoreFreshThan(plan, now, nowMono);
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
    const left = isRetry ? lane.retrying : lane.pending;
    let nextDueAt = grant.nextDueAt ?? NEVER;
    if (left > 0 !== nextDueAt < NEVER) {
      if (this.#changesUnderWay > 0 || plan.changesCounted !== this.#changesCounted) {
        nextDueAt = Math.min(nextDueAt, now + RECOUNT_MS);
      } else {
        // The store is right: nothing may be stuck behind a count, nor the lane look for what is not there.
        this.countDrift += 1;
        const missing = (nextDueAt < NEVER ? 1 : 0) - left;
        this.#count(lane, isRetry ? 0 : missing, isRetry ? missing : 0);
        if (isRetry) lane.retryingQueuedAt = 0;
      }
    }
    if (isRetry) lane.retryingDueAt = nextDueAt;
    else lane.pendingDueAt = nextDueAt;
    if (isRetry && nextDueAt === NEVER) lane.retryingQueuedAt = NEVER;
    for (let slot = used; slot < plan.limit; slot += 1) this.giveBack(lane, isRetry, now, nowMono);
    this.touch(lane, now, nowMono);
  }

  /** The store did not answer: everything is as before the plan. */
  refused(plan: Plan, now: number, nowMono: number): void {
    const isRetry = plan.status === "retrying";
    for (let slot = 0; slot < plan.limit; slot += 1) this.giveBack(plan.lane, isRetry, now, nowMono);
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
    this.figures.note(lane, now);
    if (lane.isQueued) return;
    const dueAt = firstDueAt(lane);
    if (dueAt === NEVER || lane.inFlight >= concurrencyOf(lane, this.#limits.concurrencyMax, nowMono)) return;
    const at = Math.max(dueAt, sendableAt(lane, this.#limits.breaker, now, nowMono));
    if (at > now) {
      this.#wakeAt(lane, at);
      return;
    }
    lane.isQueued = true;
    this.#ready.add(lane.webhook.userId, lane);
  }

  /** Drops a lane that has nothing to do, unless it was used since; true: whoever keeps things by lane drops them too. */
  forgetIfIdle(lane: Lane, unusedSinceMono: number, now: number, nowMono: number): boolean {
    if (lane.lastUsedMono >= unusedSinceMono || !isForgettable(lane, now, nowMono)) return false;
    this.figures.drop(lane);
    this.#wakes.delete(lane);
    return this.lanes.delete(lane.webhookId);
  }

  #planOf(lane: Lane, slots: number, now: number, nowMono: number): Plan | null {
    const room = concurrencyOf(lane, this.#limits.concurrencyMax, nowMono) - lane.inFlight;
    const status = room > 0 ? this.#queueOf(lane, now) : null;
    if (!status || sendableAt(lane, this.#limits.breaker, now, nowMono) > now) {
      this.touch(lane, now, nowMono);
      return null;
    }
    const isUnproven = !lane.ramp.isProven;
    if (isUnproven && this.#isUnprovenShareUsed()) {
      this.#heldUnproven.add(lane);
      return null;
    }
    const userRoom = this.#roomOfUser(lane.webhook.userId);
    if (userRoom <= 0) {
      this.#heldCrowding.add(lane);
      return null;
    }
    const isRetry = status === "retrying";
    const isShared = isRetry && this.#isFreshWaiting(lane, now);
    if (isShared && this.#retriesInFlight >= this.#retryMax) {
      this.#heldRetries.add(lane);
      return null;
    }
    let limit = Math.min(slots, room, userRoom, isRetry ? lane.retrying : lane.pending);
    if (isUnproven) limit = Math.min(limit, this.#unprovenMax - this.#unprovenInFlight);
    if (isShared) limit = Math.min(limit, this.#retryMax - this.#retriesInFlight);
    if (lane.bucket) limit = takeTokens(lane.bucket, limit, nowMono);
    if (limit > 0) return { lane, status, limit, changesCounted: this.#changesCounted };
    this.#wakeAt(lane, now + 1);
    return null;
  }

  /** The queue whose first delivery was due first, unless retries have used up their share; null: nothing is due. */
  #queueOf(lane: Lane, now: number): "pending" | "retrying" | null {
    const isRetryingDue = lane.retrying > 0 && lane.retryingDueAt <= now;
    if (lane.webhook.ordering === "fifo" && lane.retrying > 0) return isRetryingDue ? "retrying" : null;
    const isPendingDue = lane.pending > 0 && lane.pendingDueAt <= now;
    if (!isPendingDue) return isRetryingDue ? "retrying" : null;
    const isRetryFirst = isRetryingDue && lane.retryingDueAt <= lane.pendingDueAt;
    return isRetryFirst && this.#retriesInFlight < this.#retryMax ? "retrying" : "pending";
  }

  /** Whether fresh deliveries, or lanes that may have some, wait for the slots that this lane's retries would take. */
  #isFreshWaiting(lane: Lane, now: number): boolean {
    if (this.#ready.size > 0 || this.#hasMoreFresh || this.#heldCrowding.size > 0) return true;
    // Behind a fifo lane's retrying head nothing waits for a slot.
    return lane.webhook.ordering !== "fifo" && lane.pending > 0 && lane.pendingDueAt <= now;
  }

  #hasMoreFreshThan({ lane, status, limit }: Plan, now: number, nowMono: number): boolean {
    const left = lane.pending - (status === "pending" ? limit : 0);
    const hasRoom = lane.inFlight < concurrencyOf(lane, this.#limits.concurrencyMax, nowMono);
    return left > 0 && lane.pendingDueAt <= now && hasRoom;
  }

  #begin(lane: Lane, isRetry: boolean, nowMono: number): void {
    if (lane.inFlight === 0) lane.heardMono = nowMono;
    lane.inFlight += 1;
    this.inFlight += 1;
    if (isRetry) {
      lane.retriesInFlight += 1;
      this.#retriesInFlight += 1;
    }
    if (!lane.ramp.isProven) this.#unprovenInFlight += 1;
    this.#userInFlight.add(lane.webhook.userId, 1);
  }

  /** Slots that the user may take: up to an equal share of all, and beyond that while all together leave some free. */
  #roomOfUser(userId: string): number {
    const held = this.#userInFlight.of(userId);
    const share = Math.ceil(this.#limits.inFlightMax / Math.max(1, this.#userInFlight.size));
    return Math.max(share - held, this.#crowdMax - this.inFlight);
  }

  #isUnprovenShareUsed(): boolean {
    return this.#unprovenInFlight >= this.#unprovenMax;
  }

  /**
   * Nobody waits in the queue: what is held back goes on, a lane at a time. Retries need no share now; and a held lane
   * that did not use the slot it was admitted for must not leave the others waiting for an end that never comes.
   */
  #admitHeld(now: number, nowMono: number): void {
    while (this.#ready.size === 0 && this.#heldUnproven.size > 0 && !this.#isUnprovenShareUsed()) {
      this.#admitOne(this.#heldUnproven, now, nowMono);
    }
    while (this.#ready.size === 0 && this.#heldCrowding.size > 0 && this.inFlight < this.#crowdMax) {
      this.#admitOne(this.#heldCrowding, now, nowMono);
    }
    const isFreshHeld = this.#hasMoreFresh || this.#heldCrowding.size > 0;
    while (this.#ready.size === 0 && !isFreshHeld && this.#heldRetries.size > 0) {
      this.#admitOne(this.#heldRetries, now, nowMono);
    }
  }

  #setLimits(limits: ScheduleLimits): void {
    this.#limits = limits;
    this.#retryMax = Math.max(1, Math.floor(limits.inFlightMax * RETRY_SHARE));
    this.#unprovenMax = Math.max(1, Math.floor(limits.inFlightMax * UNPROVEN_SHARE));
    this.#crowdMax = Math.max(1, Math.floor(limits.inFlightMax * CROWD_SHARE));
    this.#handOffMax = Math.floor(limits.inFlightMax * HANDOFF_SHARE);
  }

  #admitOne(held: Set<Lane>, now: number, nowMono: number): void {
    const [lane] = held;
    if (!lane) return;
    held.delete(lane);
    this.touch(lane, now, nowMono);
  }

  #wakeAt(lane: Lane, at: number): void {
    if (at >= lane.wakeAt) return;
    lane.wakeAt = at;
    this.#wakes.set(lane, at);
  }

  #recount(lane: Lane, pending: number, retrying: number, now: number, nowMono: number): void {
    this.#count(lane, pending, retrying);
    forgetEmptyQueues(lane);
    this.touch(lane, now, nowMono);
  }

  #count(lane: Lane, pending: number, retrying: number): void {
    lane.pending += pending;
    lane.retrying += retrying;
    const change = pending + retrying;
    if (change === 0) return;
    this.backlog += change;
    this.#userBacklog.add(lane.webhook.userId, change);
  }
}
