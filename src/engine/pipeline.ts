import type { Config } from "../config/config.ts";
import { lostAttempt } from "../domain/delivery.ts";
import type { IdSalt, WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import { type Refusal, refusalProblem } from "../domain/refusal.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Outcome, Sender } from "../sender/port.ts";
import type { CommitBatch, Committed, NewDelivery, Store } from "../store/port.ts";
import { type Arrival, Arrivals, eventsOf, type Group } from "./arrivals.ts";
import { type AttemptTracing, traceOf } from "./attempt-tracing.ts";
import type { CarefulClock } from "./careful-clock.ts";
import { CommitPace } from "./commit-pace.ts";
import { outcomesBeside } from "./commit-parts.ts";
import type { Counters } from "./counters.ts";
import { deathAtArrival } from "./death.ts";
import { Dispatcher } from "./dispatcher.ts";
import { createFlight, type Flights } from "./flights.ts";
import { type Entry, Intake, resultOf } from "./intake.ts";
import { type Lane, NEVER, stateOf } from "./lane.ts";
import { Learning } from "./learning.ts";
import { Leasing } from "./leasing.ts";
import { LeasingPace } from "./leasing-pace.ts";
import type { PublishOutcome, SettledAttempt } from "./port.ts";
import type { Schedule } from "./schedule.ts";
import { type EndedFlight, type Settled, Settling } from "./settling.ts";
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
  readonly careful: CarefulClock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly salt: IdSalt;
  readonly nextSeq: (now: number) => number;
  /** Null: nothing is traced. */
  readonly tracing: AttemptTracing | null;
  readonly hooks: PipelineHooks;
}

/** What others are told, after the commit that made it so. */
export interface PipelineHooks {
  onSettled(attempts: readonly SettledAttempt[]): void;
  /** A receiver answered 410, or has done nothing but fail for `breaker.disable_after`. */
  onBroken(lane: Lane, reason: "gone" | "failing"): void;
  /** The first success since its breaker opened. */
  onRecovered(lane: Lane, openedAt: number): void;
  /** An error that is no `Problem`: the thread must end, nothing more may be acknowledged. */
  onFatal(error: unknown): void;
}

/** Between tries while the store takes nothing. */
const COMMIT_RETRY_MS = 250;
/** Timers tell time in whole milliseconds: what is nearer is now. */
const TIMER_MS = 1;
/** No wait is longer, so that a step of the wall clock is noticed. */
const SLEEP_MAX_MS = 1_000;

/**
 * The director's loop: one cycle takes what has arrived (new events, outcomes), hands it to the store as one commit,
 * and leases what the free slots allow. When the commit is durable its events are answered and sent. While the disk is
 * busy with one commit the next batch gathers, and is written behind it when it is large; under load a batch gathers for
 * some milliseconds (commit-pace.ts).
 *
 *   asleep  --work is worth a commit, a lane wakes--> cycling
 *   cycling --nothing left--> asleep; a commit on its way wakes it when it is durable
 *   cycling, asleep --the store refuses a commit--> refused
 *   refused --a quarter of a second--> cycling: it tries again, and nothing else does meanwhile
 *   stopped: after `stop`, when all that had arrived is committed
 */
export class Pipeline {
  readonly #deps: PipelineDeps;
  readonly #arrivals = new Arrivals();
  readonly #intake: Intake;
  readonly #dispatcher: Dispatcher;
  readonly #leasing: Leasing;
  readonly #settling: Settling;
  #outcomes: Outcome[] = [];
  #ended: EndedFlight[] = [];
  readonly #laneStates = new Set<Lane>();
  readonly #pace = new CommitPace();
  readonly #leasingPace = new LeasingPace();
  #isCycling = false;
  #commits = 0;
  #isClosed = false;
  #isDead = false;
  #cancelTimer: (() => void) | null = null;
  /** When the timer that is set fires; NEVER without one. */
  #wakeAtMono = NEVER;
  #asleepSinceMono: number | null = null;
  #onCycled: (() => void)[] = [];
  /** Why the store takes nothing at the moment. */
  refusal: Extract<Refusal, "disk_full" | "store_unavailable"> | null = null;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
    this.#intake = new Intake(deps);
    this.#dispatcher = new Dispatcher(deps);
    this.#leasing = new Leasing({ ...deps, dispatcher: this.#dispatcher });
    const learning = new Learning({
      ...deps,
      onBroken: deps.hooks.onBroken,
      onRecovered: deps.hooks.onRecovered,
      onStateChanged: (lane) => this.storeLaneState(lane),
    });
    this.#settling = new Settling({ ...deps, learning });
  }

  get isFull(): boolean {
    return this.#arrivals.isFull;
  }

  /** Events for the next commit, all in one. Resolves when that is durable, with one outcome per request. */
  publish(arrival: Arrival, expansion: Job | null = null): Promise<readonly PublishOutcome[]> {
    const refusal = this.#refusalOf(arrival);
    if (refusal) {
      for (let event = 0; event < arrival.count; event += 1) this.#deps.counters.refuse(refusal.code);
      return Promise.resolve(new Array<Problem>(arrival.count).fill(refusal));
    }
    const outcomes = this.#arrivals.add(arrival, expansion);
    this.kick();
    return outcomes;
  }

  /** Attempts have ended. */
  takeOutcomes(outcomes: readonly Outcome[]): void {
    if (this.#isClosed) return;
    this.#settling.hear(outcomes);
    for (const outcome of outcomes) this.#outcomes.push(outcome);
    this.kick();
  }

  /** A sender died with these in its hands: each of its leases counts as an attempt. */
  senderLost(sender: number): void {
    const now = this.#deps.clock.now();
    for (const lane of this.#deps.schedule.lanes.values()) {
      if (this.#dispatcher.senderOf(lane) === sender) lane.targetVersion = 0;
    }
    this.takeOutcomes(
      this.#dispatcher.takeLost(sender).map((flight) => ({
        deliveryId: flight.id,
        token: flight.token,
        webhookId: flight.lane.webhookId,
        retryAfterMs: null,
        attempt: lostAttempt(flight.attemptCount + 1, now),
      })),
    );
  }

  /** Something may be due or have room. */
  kick(): void {
    if (this.#isCycling || this.#isClosed || this.refusal) return;
    const waitMs = this.#waitMs;
    if (waitMs <= 0) this.#begin();
    else if (this.#deps.clock.mono() + waitMs < this.#wakeAtMono - TIMER_MS) this.#sleep(waitMs);
  }

  /** From now on nothing is leased; what is in flight may end. Resolves when nothing is on its way there any more. */
  async stopLeasing(): Promise<void> {
    this.#deps.schedule.isStopped = true;
    await this.#cycled();
  }

  /** Takes no more, commits what has arrived (where the store takes it: one try), and stops. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    if (!this.#isCycling) this.#begin();
    while (this.#isBusy) await this.#cycled();
    const problem = refusalProblem("shutting_down");
    for (const { requests, resolve } of this.#arrivals.take(NEVER)) resolve(requests.map(() => problem));
  }

  /** The lane's breaker state goes to disk with the next commit. */
  storeLaneState(lane: Lane): void {
    this.#laneStates.add(lane);
    this.kick();
  }

  #refusalOf(arrival: Arrival): Problem | null {
    if (this.#isClosed) return refusalProblem("shutting_down");
    return this.refusal ? refusalProblem(this.refusal) : this.#arrivals.refusalOf(arrival);
  }

  get #hasWork(): boolean {
    return (
      !this.#arrivals.isEmpty ||
      this.#outcomes.length > 0 ||
      this.#ended.length > 0 ||
      this.#laneStates.size > 0
    );
  }

  get #isBusy(): boolean {
    return this.#isCycling || this.#commits > 0;
  }

  /** How long what has arrived should wait for its commit; Infinity where there is nothing to commit, or no telling. */
  get #commitWaitMs(): number {
    if (this.refusal !== null) return this.#commits === 0 ? 0 : NEVER;
    if (!this.#hasWork) return NEVER;
    if (this.#isClosed) return this.#commits === 0 ? 0 : NEVER;
    const waiting = this.#arrivals.eventCount + this.#outcomes.length;
    const waitMs = this.#pace.waitMs(waiting, this.#commits, this.#deps.clock.mono());
    return waitMs < TIMER_MS ? 0 : waitMs;
  }

  /** How long until there is something to do. */
  get #waitMs(): number {
    const { schedule, clock } = this.#deps;
    if (this.#isClosed) return this.#commitWaitMs;
    if (schedule.hasRoom) return 0;
    return Math.min(this.#commitWaitMs, Math.max(0, schedule.nextWakeAt - clock.now()));
  }

  #begin(): void {
    this.#isCycling = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#wakeAtMono = NEVER;
    if (this.#asleepSinceMono !== null) this.#pace.wasIdle(this.#deps.clock.mono() - this.#asleepSinceMono);
    this.#asleepSinceMono = null;
    this.#deps.timers.soon(() => {
      this.#cycle()
        .catch((error) => this.#die(error))
        .finally(() => this.#tellCycled());
    });
  }

  #die(error: unknown): void {
    this.#isDead = true;
    this.#isClosed = true;
    this.#isCycling = false;
    this.#deps.hooks.onFatal(error);
  }

  #cycled(): Promise<void> {
    if (!this.#isBusy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onCycled.push(resolve);
    });
  }

  #tellCycled(): void {
    if (this.#isBusy) return;
    for (const resolve of this.#onCycled.splice(0)) resolve();
  }

  async #cycle(): Promise<void> {
    try {
      const committed = this.#commitWaitMs <= 0 ? await this.#commitArrived() : 0;
      const share = this.#leasingPace.share(committed, this.#arrivals.isPressed);
      if (!this.refusal && share !== null) {
        await this.#leasing.lease(share, (ended) => this.#ended.push(ended));
      }
    } catch (error) {
      this.#refuse(error);
    }
    this.#isCycling = false;
    this.#goOn();
  }

  /** After a cycle, and after a commit. */
  #goOn(): void {
    if (this.#isDead) return;
    this.#dispatcher.send();
    if (this.#isCycling) return;
    if (this.refusal) {
      if (!this.#isClosed) this.#sleep(COMMIT_RETRY_MS);
      return;
    }
    const waitMs = this.#waitMs;
    if (waitMs <= 0) this.#begin();
    else if (!this.#isClosed) this.#sleep(waitMs);
  }

  /** The store takes nothing at the moment. Throws what is no problem of the store. */
  #refuse(error: unknown): void {
    if (!(error instanceof Problem)) throw error;
    this.refusal = error.code === "disk_full" ? "disk_full" : "store_unavailable";
  }

  #sleep(ms: number): void {
    this.#cancelTimer?.();
    this.#asleepSinceMono ??= this.#deps.clock.mono();
    const waitMs = Math.max(0, Math.min(ms, SLEEP_MAX_MS));
    this.#wakeAtMono = this.#deps.clock.mono() + waitMs;
    this.#cancelTimer = this.#deps.timers.after(waitMs, () => {
      this.#wakeAtMono = NEVER;
      if (!this.#isCycling && !this.#isClosed) this.#begin();
    });
  }

  /**
   * One group commit, all or nothing: resolves when the store has it under way, with the number of its events, and while
   * the store refuses, when it is done. Rejects with the store's problem, when nothing is lost but time.
   */
  async #commitArrived(): Promise<number> {
    const groups = this.#arrivals.take(this.#pace.eventsMax(this.#arrivals.isPressed));
    const outcomes = this.#outcomes.splice(0, outcomesBeside(eventsOf(groups), this.#outcomes.length));
    const ended = this.#ended;
    this.#ended = [];
    const { clock, store, webhooks } = this.#deps;
    try {
      // An empty commit writes nothing: whether the store takes writes again, only a write tells.
      if (this.refusal) await store.putSetting("probe", String(clock.now()));
      const targets = webhooks.newest(await webhooks.load(targetsOf(groups)));
      const prepared = this.#prepare(groups, targets, outcomes, ended);
      this.#pace.begin(prepared.accepted.length + prepared.settled.length, prepared.begunMono);
      const committing = this.#commit(groups, prepared);
      if (this.refusal) await committing;
      return prepared.accepted.length;
    } catch (error) {
      this.#putBack(error, groups, null, { outcomes, ended });
      throw error;
    }
  }

  /** From here to the answers; never rejects. */
  async #commit(groups: readonly Group[], prepared: Prepared): Promise<void> {
    const { clock, store, counters, schedule } = this.#deps;
    this.#commits += 1;
    schedule.changeBegun();
    try {
      const committed = await store.commit(prepared.batch);
      this.refusal = null;
      counters.commitMs.observe(clock.mono() - prepared.begunMono);
      counters.commitEvents.observe(prepared.accepted.length + prepared.settled.length);
      this.#committed(groups, prepared, committed);
    } catch (error) {
      if (error instanceof Problem) {
        this.#putBack(error, groups, prepared, this.#undo(prepared));
        this.#refuse(error);
      } else {
        this.#die(error);
      }
    }
    schedule.changeCounted();
    this.#commits -= 1;
    this.#goOn();
    this.#tellCycled();
  }

  /** Nothing was stored: the ends of flights wait for the next commit, the events are refused. */
  #putBack(
    error: unknown,
    groups: readonly Group[],
    prepared: Prepared | null,
    left: { readonly outcomes: readonly Outcome[]; readonly ended: readonly EndedFlight[] },
  ): void {
    if (!(error instanceof Problem)) return;
    this.#deps.counters.commitFailures += 1;
    this.#outcomes = [...left.outcomes, ...this.#outcomes];
    this.#ended = [...left.ended, ...this.#ended];
    groups.forEach(({ requests, resolve }, group) => {
      const entries = prepared?.entries[group];
      resolve(requests.map((_, index) => problemOf(entries?.[index]) ?? error));
    });
  }

  #prepare(
    groups: readonly Group[],
    targets: Parameters<Intake["begin"]>[0],
    outcomes: readonly Outcome[],
    ended: readonly EndedFlight[],
  ): Prepared {
    const { clock } = this.#deps;
    const now = clock.now();
    const begunMono = clock.mono();
    this.#intake.begin(targets);
    const accepted: Entry[] = [];
    const entries = groups.map(({ requests, expansion }) =>
      requests.map((request) => {
        const entry = this.#intake.prepare(request, expansion, now, begunMono);
        if (!(entry instanceof Problem)) accepted.push(entry);
        return entry;
      }),
    );
    const settled = this.#settling.claim(outcomes, ended, now);
    const laneStates = [...this.#laneStates].map((lane) => ({ lane, state: stateOf(lane) }));
    this.#laneStates.clear();
    const batch: CommitBatch = {
      now,
      appends: accepted.map((entry) => entry.event),
      settlements: settled.map(({ settlement }) => settlement),
      laneStates: laneStates.map(({ lane, state }) => ({ webhookId: lane.webhookId, state })),
    };
    return { batch, begunMono, entries, accepted, settled, laneStates };
  }

  #committed(groups: readonly Group[], prepared: Prepared, { appended, stale }: Committed): void {
    const { counters, clock, hooks } = this.#deps;
    const { now } = prepared.batch;
    for (const { lane, state } of prepared.laneStates) lane.storedState = state;
    const nowMono = clock.mono();
    const results = prepared.accepted.map((entry, position) => {
      const given = appended[position];
      if (!given) throw new Error(`the store answered ${appended.length} of ${prepared.accepted.length}`);
      this.#intake.appended(entry, given, now, nowMono);
      const result = resultOf(entry, given);
      if (given.kind === "duplicate") counters.duplicates += 1;
      else if (given.kind === "conflict") counters.conflicts += 1;
      else this.#accepted(entry, now);
      return result;
    });
    let answered = 0;
    groups.forEach(({ resolve }, group) => {
      const entries = prepared.entries[group] ?? [];
      resolve(entries.map((entry) => problemOf(entry) ?? results[answered++] ?? UNANSWERED));
    });
    const seen = this.#settling.apply(prepared.settled, stale, now);
    if (seen.length > 0) hooks.onSettled(seen);
  }

  /** Nothing of it was stored: slots and flights are as before. */
  #undo(prepared: Prepared): { outcomes: readonly Outcome[]; ended: readonly EndedFlight[] } {
    const nowMono = this.#deps.clock.mono();
    for (const entry of prepared.accepted) this.#intake.appended(entry, null, prepared.batch.now, nowMono);
    for (const { lane } of prepared.laneStates) this.#laneStates.add(lane);
    return this.#settling.unclaim(prepared.settled);
  }

  #accepted(entry: Entry, now: number): void {
    const { counters } = this.#deps;
    counters.accepted += 1;
    counters.acceptedDeliveries += entry.event.targets.length;
    entry.event.targets.forEach((target, index) => {
      const lane = entry.lanes[index];
      if (target.reason !== null) counters.died(deathAtArrival(entry.event, target, target.reason));
      if (!lane || target.token === 0) return;
      counters.handedOff += 1;
      this.#handOff(entry, target, lane, now);
    });
  }

  /** Direct handoff: from the commit to a sender, without a read. */
  #handOff({ event }: Entry, target: NewDelivery, lane: Lane, now: number): void {
    const delivery = {
      id: target.id,
      token: target.token,
      event: event.seq,
      uid: event.uid,
      eventId: event.eventId,
      userId: target.userId,
      attemptCount: 0,
      roundStart: 0,
      queuedAt: now,
    };
    const flight = createFlight(delivery, {
      lane,
      isRetry: false,
      sender: this.#dispatcher.senderOf(lane),
      trace: traceOf(event.trace, this.#deps.tracing),
      salt: this.#deps.salt,
    });
    this.#dispatcher.add(flight, event.contentType, event.payload);
  }
}

/** What one commit is made of. */
interface Prepared {
  readonly batch: CommitBatch;
  readonly begunMono: number;
  /** Per group and request. */
  readonly entries: readonly (readonly (Entry | Problem)[])[];
  readonly accepted: readonly Entry[];
  readonly settled: readonly Settled[];
  readonly laneStates: readonly { readonly lane: Lane; readonly state: string | null }[];
}

const UNANSWERED = new Problem("internal", "the event was not answered");

function problemOf(entry: Entry | Problem | undefined): Problem | null {
  return entry instanceof Problem ? entry : null;
}

function targetsOf(groups: readonly Group[]): Set<WebhookId> {
  const ids = new Set<WebhookId>();
  for (const { requests } of groups) {
    for (const request of requests) for (const id of request.targets) ids.add(id);
  }
  return ids;
}
