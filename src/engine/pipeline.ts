import type { Config } from "../config/config.ts";
import { exportBreaker, recordFailure, recordPermanent, recordSuccess } from "../domain/breaker.ts";
import type { DeadReason } from "../domain/delivery.ts";
import { formatId, type IdSalt, type WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import { rampReset, rampSuccess, rampTimeout } from "../domain/ramp.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Outcome, Sender, SendOrder } from "../sender/port.ts";
import type { Committed, Leased, NewDelivery, Settlement, Store } from "../store/port.ts";
import { addTo, type Counters } from "./counters.ts";
import type { Flight, Flights } from "./flights.ts";
import { type Entry, Intake, resultOf } from "./intake.ts";
import { isOn, type Lane } from "./lane.ts";
import type { PublishRequest, PublishResult, SettledAttempt } from "./port.ts";
import type { Plan, Schedule } from "./schedule.ts";
import { settle } from "./settlement.ts";
import { targetOf } from "./target.ts";
import type { WebhookCache } from "./webhook-cache.ts";

export interface PipelineDeps {
  readonly config: Config;
  readonly store: Store;
  readonly senders: readonly Sender[];
  readonly schedule: Schedule;
  readonly flights: Flights;
  readonly webhooks: WebhookCache;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly salt: IdSalt;
  readonly nextSeq: () => number;
  readonly hooks: PipelineHooks;
}

/** What others are told, after the commit that made it so. */
export interface PipelineHooks {
  onSettled(attempts: readonly SettledAttempt[]): void;
  /** A receiver answered 410, or has done nothing but fail for `breaker.disable_after`. */
  onBroken(lane: Lane, reason: "gone" | "failing"): void;
  /** An error that is no `Problem`: the thread must end, nothing more may be acknowledged. */
  onFatal(error: unknown): void;
}

export type PublishOutcome = PublishResult | Problem;

/** Requests that share a commit: what the intake handed over at once. */
interface Group {
  readonly requests: readonly PublishRequest[];
  readonly expansion: Job | null;
  readonly resolve: (outcomes: PublishOutcome[]) => void;
}

/** A leased delivery that ends without an attempt. */
interface EndedFlight {
  readonly flight: Flight;
  readonly reason: DeadReason;
}

/** Events in one commit: larger ones make the waiting longer and the batch no cheaper. */
const COMMIT_EVENTS_MAX = 2_000;
/** Events that may wait for their commit: a tenth of a second's work, beyond that a 503. */
const QUEUED_EVENTS_MAX = 20_000;
/** And their payload bytes. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** Rounds of leasing after one commit. */
const LEASE_ROUNDS_MAX = 4;
/** The receiver's Retry-After holds its whole lane at most so long. */
const HOLD_MAX_MS = 5 * 60_000;
const COMMIT_RETRY_MS = 250;
/** No wait is longer, so that a step of the wall clock is noticed. */
const SLEEP_MAX_MS = 1_000;
const LEASE_GRACE_MS = 30_000;

/**
 * The director's loop: one cycle takes what has arrived (new events, outcomes), commits it together, answers, and
 * leases what the free slots allow. While a commit runs the next batch gathers; there is no delay but that.
 *
 *   asleep --work arrives, a lane wakes--> cycling --nothing left--> asleep
 */
export class Pipeline {
  readonly #deps: PipelineDeps;
  readonly #intake: Intake;
  #groups: Group[] = [];
  #queuedEvents = 0;
  #queuedBytes = 0;
  #outcomes: Outcome[] = [];
  #ended: EndedFlight[] = [];
  readonly #laneStates = new Set<Lane>();
  #orders: SendOrder[][];
  #isCycling = false;
  #isStopped = false;
  #isLeasing = true;
  #cancelTimer: (() => void) | null = null;
  /** The store refused the last commit for this reason. */
  refusal: "disk_full" | "store_unavailable" | null = null;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
    this.#intake = new Intake(deps);
    this.#orders = deps.senders.map(() => []);
  }

  /** Events for the next commit, all in one. Resolves when that is durable, with one outcome per request. */
  publish(requests: readonly PublishRequest[], expansion: Job | null = null): Promise<PublishOutcome[]> {
    const bytes = requests.reduce((sum, request) => sum + request.payload.length, 0);
    const refusal = this.#refusalOf(requests.length, bytes);
    if (refusal) {
      for (const _ of requests) this.#deps.counters.refuse(refusal.code);
      return Promise.resolve(requests.map(() => refusal));
    }
    this.#queuedEvents += requests.length;
    this.#queuedBytes += bytes;
    return new Promise((resolve) => {
      this.#groups.push({ requests, expansion, resolve });
      this.kick();
    });
  }

  /** Attempts have ended. */
  takeOutcomes(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) this.#outcomes.push(outcome);
    this.kick();
  }

  /** Something may be due or have room. */
  kick(): void {
    if (this.#isCycling || this.#isStopped) return;
    this.#isCycling = true;
    this.#deps.timers.soon(() => {
      this.#cycle().catch((error) => this.#deps.hooks.onFatal(error));
    });
  }

  /** From now on nothing is leased; what is in flight may end. */
  stopLeasing(): void {
    this.#isLeasing = false;
  }

  /** Commits what has arrived and stops. */
  async stop(): Promise<void> {
    this.#isLeasing = false;
    while (this.#isCycling || this.#groups.length > 0 || this.#outcomes.length > 0) {
      this.kick();
      await new Promise<void>((resolve) => this.#deps.timers.soon(resolve));
      if (this.refusal) break;
    }
    this.#isStopped = true;
    this.#cancelTimer?.();
  }

  /** The lane's breaker state goes to disk with the next commit. */
  storeLaneState(lane: Lane): void {
    this.#laneStates.add(lane);
    this.kick();
  }

  #refusalOf(events: number, bytes: number): Problem | null {
    if (this.#isStopped) return new Problem("shutting_down", "hookd is stopping: publish again in a moment");
    if (this.refusal) {
      return new Problem(this.refusal, "the store takes no writes at the moment: publish again in a moment", {
        retryAfterSeconds: 5,
      });
    }
    const isFull = this.#queuedEvents > 0 && this.#queuedEvents + events > QUEUED_EVENTS_MAX;
    if (isFull || this.#queuedBytes + bytes > QUEUED_BYTES_MAX) {
      return new Problem(
        "overloaded",
        `${this.#queuedEvents} events are waiting to be stored: publish more slowly`,
      );
    }
    return null;
  }

  async #cycle(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    await this.#commitArrived();
    await this.#lease();
    this.#dispatch();
    this.#isCycling = false;
    if (this.#isStopped) return;
    const hasMore =
      this.#groups.length > 0 ||
      this.#outcomes.length > 0 ||
      this.#ended.length > 0 ||
      this.#laneStates.size > 0;
    if (hasMore && !this.refusal) this.kick();
    else if (this.#isLeasing && this.#deps.schedule.hasRoom) this.kick();
    else this.#sleep();
  }

  #sleep(): void {
    const { schedule, clock, timers } = this.#deps;
    const untilWake = Math.max(0, schedule.nextWakeAt - clock.now());
    const ms = this.refusal ? COMMIT_RETRY_MS : Math.min(SLEEP_MAX_MS, untilWake);
    this.#cancelTimer = timers.after(ms, () => this.kick());
  }

  async #commitArrived(): Promise<void> {
    const groups = this.#takeGroups();
    const outcomes = this.#outcomes;
    const ended = this.#ended;
    const laneStates = [...this.#laneStates];
    const isProbe = this.refusal !== null;
    if (groups.length + outcomes.length + ended.length + laneStates.length === 0 && !isProbe) return;
    this.#outcomes = [];
    this.#ended = [];
    this.#laneStates.clear();

    const { clock, store, counters } = this.#deps;
    await this.#deps.webhooks.load(targetsOf(groups));
    const now = clock.now();
    const begun = clock.mono();
    const entries = this.#prepare(groups, now, begun);
    const settlements = this.#settlementsOf(outcomes, ended, now);
    try {
      const committed = await store.commit({
        now,
        appends: entries.accepted.map(({ entry }) => entry.event),
        settlements: settlements.map(({ settlement }) => settlement),
        laneStates: laneStates.map((lane) => ({ webhookId: lane.webhookId, state: stateOf(lane) })),
      });
      if (isProbe) await store.putSetting("probe", String(now));
      this.refusal = null;
      counters.commitMs.observe(clock.mono() - begun);
      counters.commitEvents.observe(entries.accepted.length + settlements.length);
      for (const lane of laneStates) lane.storedState = stateOf(lane);
      this.#answer(groups, entries, committed, now);
      this.#applySettlements(settlements, now);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      counters.commitFailures += 1;
      this.refusal = error.code === "disk_full" ? "disk_full" : "store_unavailable";
      this.#answerFailed(groups, entries, error, now);
      for (const { flight } of settlements) flight.isSettling = false;
      this.#outcomes = [...outcomes, ...this.#outcomes];
      this.#ended = [...ended, ...this.#ended];
      for (const lane of laneStates) this.#laneStates.add(lane);
    }
  }

  #takeGroups(): Group[] {
    const taken: Group[] = [];
    let events = 0;
    while (this.#groups.length > taken.length && events < COMMIT_EVENTS_MAX) {
      const group = this.#groups[taken.length];
      if (!group) break;
      taken.push(group);
      events += group.requests.length;
      for (const request of group.requests) this.#queuedBytes -= request.payload.length;
    }
    this.#groups = this.#groups.slice(taken.length);
    this.#queuedEvents -= events;
    return taken;
  }

  #prepare(groups: readonly Group[], now: number, nowMono: number): Prepared {
    this.#intake.begin();
    const outcomes: (Entry | Problem)[][] = [];
    const accepted: { entry: Entry; group: number; index: number }[] = [];
    groups.forEach((group, groupIndex) => {
      const prepared = group.requests.map((request) =>
        this.#intake.prepare(request, group.expansion, now, nowMono),
      );
      prepared.forEach((entry, index) => {
        if (!(entry instanceof Problem)) accepted.push({ entry, group: groupIndex, index });
      });
      outcomes.push(prepared);
    });
    return { outcomes, accepted };
  }

  #answer(
    groups: readonly Group[],
    { outcomes, accepted }: Prepared,
    committed: Committed,
    now: number,
  ): void {
    const { counters, clock } = this.#deps;
    const answers: PublishOutcome[][] = outcomes.map((group) =>
      group.map((entry) => (entry instanceof Problem ? entry : UNANSWERED)),
    );
    const nowMono = clock.mono();
    accepted.forEach(({ entry, group, index }, position) => {
      const appended = committed.appended[position];
      if (!appended) return;
      this.#intake.settled(entry, appended, now, nowMono);
      const answer = resultOf(entry, appended);
      const answersOfGroup = answers[group];
      if (answersOfGroup) answersOfGroup[index] = answer;
      if (appended.kind === "duplicate") counters.duplicates += 1;
      else if (appended.kind === "conflict") counters.conflicts += 1;
      else this.#accepted(entry);
    });
    groups.forEach((group, index) => {
      group.resolve(answers[index] ?? []);
    });
  }

  #accepted(entry: Entry): void {
    const { counters } = this.#deps;
    counters.accepted += 1;
    counters.acceptedDeliveries += entry.event.targets.length;
    entry.event.targets.forEach((target, index) => {
      const lane = entry.lanes[index];
      if (target.reason !== null) addTo(counters.deaths, target.reason);
      if (!lane || target.token === 0) return;
      counters.handedOff += 1;
      this.#sendFresh(entry, target, lane);
    });
  }

  #answerFailed(
    groups: readonly Group[],
    { outcomes, accepted }: Prepared,
    problem: Problem,
    now: number,
  ): void {
    const nowMono = this.#deps.clock.mono();
    for (const { entry } of accepted) this.#intake.settled(entry, null, now, nowMono);
    groups.forEach((group, index) => {
      group.resolve((outcomes[index] ?? []).map((entry) => (entry instanceof Problem ? entry : problem)));
    });
  }

  /** Direct handoff: from the commit to a sender, without a read. */
  #sendFresh(entry: Entry, target: NewDelivery, lane: Lane): void {
    const { event } = entry;
    const flight: Flight = {
      id: target.id,
      token: target.token,
      lane,
      event: event.seq,
      eventUid: event.uid ?? formatId("evt", event.seq, this.#deps.salt),
      eventId: event.eventId,
      userId: target.userId,
      attemptCount: 0,
      roundStart: 0,
      queuedAt: this.#deps.clock.now(),
      isRetry: false,
      sender: this.#senderOf(lane),
      isCancelRequested: false,
      isSettling: false,
    };
    this.#send(flight, event.contentType, event.payload);
  }

  #send(flight: Flight, contentType: string, payload: Uint8Array): void {
    this.#deps.flights.add(flight);
    this.#tellTarget(flight.lane, flight.sender);
    this.#orders[flight.sender]?.push({
      deliveryId: flight.id,
      token: flight.token,
      webhookId: flight.lane.webhookId,
      attemptNumber: flight.attemptCount + 1,
      eventUid: flight.eventUid,
      eventId: flight.eventId,
      contentType,
      payload,
    });
  }

  /** A lane's attempts all go through one sender: its connections are reused. */
  #senderOf(lane: Lane): number {
    return lane.webhookId % this.#deps.senders.length;
  }

  #tellTarget(lane: Lane, sender: number): void {
    if (lane.targetVersion === lane.webhook.version) return;
    lane.targetVersion = lane.webhook.version;
    this.#deps.senders[sender]?.putTarget(targetOf(lane.webhook, this.#deps.config, this.#deps.salt));
  }

  /** Fills the free slots, lane by lane in turn. */
  async #lease(): Promise<void> {
    const { schedule, clock, store, flights, config } = this.#deps;
    schedule.wake(clock.now(), clock.mono());
    for (let round = 0; round < LEASE_ROUNDS_MAX && this.#isLeasing && this.refusal === null; round += 1) {
      const now = clock.now();
      const plans = schedule.plan(now, clock.mono());
      if (plans.length === 0) return;
      const wants = plans.map((plan) => ({
        webhookId: plan.lane.webhookId,
        status: plan.status,
        limit: plan.limit,
        dueBy: now,
        firstToken: flights.takeTokens(plan.limit),
        until: now + (plan.lane.webhook.timeoutMs ?? config.delivery.timeoutMs) + LEASE_GRACE_MS,
      }));
      const grants = await store.lease(wants);
      plans.forEach((plan, index) => {
        const grant = grants[index];
        if (!grant) return;
        schedule.granted(plan, grant, now, clock.mono());
        for (const leased of grant.leased) this.#takeLease(plan, leased, now);
      });
    }
  }

  #takeLease(plan: Plan, leased: Leased, now: number): void {
    const { lane } = plan;
    const flight: Flight = {
      id: leased.id,
      token: leased.token,
      lane,
      event: leased.event,
      eventUid: leased.uid ?? formatId("evt", leased.event, this.#deps.salt),
      eventId: leased.eventId,
      userId: leased.userId,
      attemptCount: leased.attemptCount,
      roundStart: leased.roundStart,
      queuedAt: leased.queuedAt,
      isRetry: plan.status === "retrying",
      sender: this.#senderOf(lane),
      isCancelRequested: false,
      isSettling: false,
    };
    const reason = !isOn(lane.webhook)
      ? "disabled"
      : now - leased.queuedAt > this.#deps.config.delivery.ageMaxMs
        ? "expired"
        : null;
    if (reason === null) {
      this.#send(flight, leased.contentType, leased.payload);
      return;
    }
    this.#deps.flights.add(flight);
    this.#ended.push({ flight, reason });
  }

  #dispatch(): void {
    this.#orders.forEach((orders, sender) => {
      if (orders.length === 0) return;
      this.#deps.senders[sender]?.send(orders);
      this.#orders[sender] = [];
    });
  }

  #settlementsOf(outcomes: readonly Outcome[], ended: readonly EndedFlight[], now: number): Settling[] {
    const { config, random, flights, counters } = this.#deps;
    const settling: Settling[] = [];
    for (const outcome of outcomes) {
      const flight = flights.claim(outcome.deliveryId, outcome.token);
      if (!flight) {
        counters.staleOutcomes += 1;
        continue;
      }
      const webhook = flight.lane.webhook;
      const delivery = {
        attemptCount: flight.attemptCount,
        roundStart: flight.roundStart,
        isCancelRequested: flight.isCancelRequested,
        isWebhookOn: isOn(webhook),
      };
      const policy = webhook.retry ?? config.retry.policy;
      const verdict = settle(outcome, delivery, policy, config.retry.jitter, now, random);
      const settlement: Settlement = {
        id: flight.id,
        webhookId: flight.lane.webhookId,
        token: flight.token,
        ...verdict,
        attemptCount: flight.attemptCount + 1,
        attempt: outcome.attempt,
        settledAt: now,
      };
      settling.push({ flight, settlement, outcome });
    }
    for (const { flight, reason } of ended) {
      if (!flights.claim(flight.id, flight.token)) continue;
      const settlement: Settlement = {
        id: flight.id,
        webhookId: flight.lane.webhookId,
        token: flight.token,
        status: "dead",
        reason,
        dueAt: null,
        attemptCount: flight.attemptCount,
        attempt: null,
        settledAt: now,
      };
      settling.push({ flight, settlement, outcome: null });
    }
    return settling;
  }

  #applySettlements(settling: readonly Settling[], now: number): void {
    const { schedule, clock, flights, counters, hooks } = this.#deps;
    const nowMono = clock.mono();
    const seen: SettledAttempt[] = [];
    for (const { flight, settlement, outcome } of settling) {
      const { lane } = flight;
      flights.remove(flight.id);
      lane.lastUsedMono = nowMono;
      if (settlement.reason !== null) addTo(counters.deaths, settlement.reason);
      if (settlement.status === "success") counters.delivered += 1;
      if (outcome) {
        this.#learn(lane, flight, outcome, now, nowMono);
        seen.push(settledAttempt(flight, settlement, outcome));
      }
      if (settlement.dueAt !== null) {
        const change = { pending: 0, retrying: 1, dueAt: settlement.dueAt };
        schedule.enqueue(lane, change, now, nowMono);
      }
      schedule.end(lane, flight.isRetry, now, nowMono);
    }
    if (seen.length > 0) hooks.onSettled(seen);
  }

  /** What an attempt tells about its lane: breaker, concurrency, hold, statistics. */
  #learn(lane: Lane, flight: Flight, outcome: Outcome, now: number, nowMono: number): void {
    const { config, counters, schedule, random, hooks } = this.#deps;
    const { attempt } = outcome;
    addTo(counters.attempts, attempt.verdict);
    counters.attemptMs.observe(attempt.durationMs);
    lane.recent.record(attempt.verdict === "success", attempt.durationMs, nowMono);
    let transition: "opened" | "closed" | null;
    if (attempt.verdict === "success") {
      if (flight.attemptCount === 0) counters.deliveryMs.observe(Math.max(0, now - flight.queuedAt));
      transition = recordSuccess(lane.breaker);
      schedule.changeRamp(lane, () => {
        if (transition === "closed") rampReset(lane.ramp);
        rampSuccess(lane.ramp, lane.webhook.concurrencyMax ?? config.delivery.concurrencyMax);
      });
    } else {
      addTo(counters.attemptErrors, attempt.error ?? "status");
      lane.lastError = { at: now, error: attempt.error ?? `status ${attempt.statusCode ?? "?"}` };
      if (attempt.verdict === "retry" || attempt.verdict === "lost") {
        transition = recordFailure(lane.breaker, config.breaker, flight.id, now, random);
        if (attempt.error === "timeout") rampTimeout(lane.ramp);
      } else {
        transition = recordPermanent(lane.breaker, now);
      }
      if (attempt.verdict === "gone") hooks.onBroken(lane, "gone");
      const failingSince = lane.breaker.failingSince;
      if (failingSince !== null && now - failingSince > config.breaker.disableAfterMs) {
        hooks.onBroken(lane, "failing");
      }
    }
    if (outcome.retryAfterMs !== null) lane.holdUntil = now + Math.min(outcome.retryAfterMs, HOLD_MAX_MS);
    if (transition !== null) this.#laneStates.add(lane);
  }
}

interface Prepared {
  readonly outcomes: readonly (readonly (Entry | Problem)[])[];
  readonly accepted: readonly { readonly entry: Entry; readonly group: number; readonly index: number }[];
}

interface Settling {
  readonly flight: Flight;
  readonly settlement: Settlement;
  readonly outcome: Outcome | null;
}

const UNANSWERED = new Problem("internal", "the event was not answered");

function targetsOf(groups: readonly Group[]): Set<WebhookId> {
  const ids = new Set<WebhookId>();
  for (const group of groups)
    for (const request of group.requests) for (const id of request.targets) ids.add(id);
  return ids;
}

/** The lane's state for the store; null when there is nothing to remember. */
export function stateOf(lane: Lane): string | null {
  const { breaker } = lane;
  if (!breaker.isOpen && breaker.failingSince === null) return null;
  return JSON.stringify(exportBreaker(breaker));
}

function settledAttempt(flight: Flight, settlement: Settlement, outcome: Outcome): SettledAttempt {
  return {
    deliveryId: flight.id,
    webhookId: flight.lane.webhookId,
    userId: flight.userId,
    eventId: flight.eventId,
    eventUid: flight.eventUid,
    attempt: outcome.attempt,
    status: settlement.status,
    reason: settlement.reason,
    nextRetryAt: settlement.dueAt,
  };
}
