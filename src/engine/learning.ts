import type { Config } from "../config/config.ts";
import { type BreakerTransition, recordFailure, recordPermanent, recordSuccess } from "../domain/breaker.ts";
import type { Attempt } from "../domain/delivery.ts";
import { rampRecover, rampReset, rampSuccess, rampTimeout } from "../domain/ramp.ts";
import type { Outcome } from "../sender/port.ts";
import type { CarefulClock } from "./careful-clock.ts";
import { addTo, type Counters } from "./counters.ts";
import type { Flight } from "./flights.ts";
import { HungTurns } from "./hung-turns.ts";
import { isOn, type Lane, stateOf } from "./lane.ts";
import type { Schedule } from "./schedule.ts";

export interface LearningDeps {
  readonly config: Config;
  readonly schedule: Schedule;
  readonly counters: Counters;
  readonly careful: CarefulClock;
  readonly random: () => number;
  /** A receiver answered 410, or has done nothing but fail for `breaker.disable_after`. */
  readonly onBroken: (lane: Lane, reason: "gone" | "failing") => void;
  /** The first success since its breaker opened. */
  readonly onRecovered: (lane: Lane, openedAt: number) => void;
  /** What must outlive a restart is not what the store has. */
  readonly onStateChanged: (lane: Lane) => void;
}

/** The receiver's Retry-After holds its whole lane at most so long. */
const HOLD_MAX_MS = 5 * 60_000;
/** Of the newest duration in the moving mean of a lane. */
const USUAL_WEIGHT = 0.1;
/** What a crash takes at most from the time that a receiver has been failing, while its breaker has never opened. */
const FAILING_STORED_MS = 60 * 60_000;

/** What settled attempts tell about their lanes: breaker, concurrency, hold, statistics. */
export class Learning {
  readonly #deps: LearningDeps;
  readonly #turns = new HungTurns();

  constructor(deps: LearningDeps) {
    this.#deps = deps;
  }

  learn(flight: Flight, outcome: Outcome, now: number, nowMono: number): void {
    const { counters, schedule } = this.#deps;
    const { lane } = flight;
    const { attempt } = outcome;
    addTo(counters.attempts, attempt.verdict);
    counters.attemptMs.observe(attempt.durationMs);
    lane.recent.record(attempt.verdict === "success", attempt.durationMs, nowMono);
    if (attempt.error !== "timeout") lane.heardMono = nowMono;
    if (attempt.verdict === "success") {
      const weight = lane.usualMs === 0 ? 1 : USUAL_WEIGHT;
      lane.usualMs += (attempt.durationMs - lane.usualMs) * weight;
      if (flight.attemptCount === 0) counters.deliveryMs.observe(Math.max(0, now - flight.queuedAt));
    } else {
      addTo(counters.attemptErrors, attempt.error ?? "status");
      lane.lastError = { at: now, error: attempt.error ?? `status ${attempt.statusCode ?? "?"}` };
    }
    // Of a webhook that is off nothing is held against what it will be when it is switched on; nor of an old URL against a
    // new one.
    const isJudged = isOn(lane.webhook) && flight.callbackUrl === lane.webhook.callbackUrl;
    if (isJudged) this.#judge(lane, flight, outcome, now, nowMono);
    // Its slot may be kept until the outcome is on disk; what is told of it need not wait for that.
    schedule.figures.note(lane, now);
  }

  #judge(lane: Lane, flight: Flight, outcome: Outcome, now: number, nowMono: number): void {
    const { config, schedule, careful, onBroken, onRecovered, onStateChanged } = this.#deps;
    const { attempt } = outcome;
    const { openedAt } = lane.breaker;
    const transition = this.#recordInBreaker(lane, flight, outcome, now);
    schedule.changeRamp(lane, () => {
      if (transition === "closed") rampRecover(lane.ramp, nowMono);
      // Broken now, it shares the slots of those that have shown nothing yet, so that its probes cannot take all.
      if (transition === "opened") rampReset(lane.ramp);
      const max = lane.webhook.concurrencyMax ?? config.delivery.concurrencyMax;
      if (attempt.verdict === "success") {
        lane.turnAt = 0;
        rampSuccess(lane.ramp, max, nowMono);
      } else if (attempt.error === "timeout" && transition !== "opened")
        this.#slowDown(lane, attempt, now, nowMono);
    });
    if (outcome.retryAfterMs !== null) {
      lane.holdUntil = Math.max(lane.holdUntil, now + Math.min(outcome.retryAfterMs, HOLD_MAX_MS));
    }
    if (openedAt !== null && lane.breaker.openedAt === null) onRecovered(lane, openedAt);
    if (attempt.verdict === "gone") onBroken(lane, "gone");
    const { failingSince } = lane.breaker;
    if (failingSince !== null && careful.now() - failingSince > config.breaker.disableAfterMs) {
      onBroken(lane, "failing");
    }
    if (this.#isWorthStoring(lane, now) && stateOf(lane) !== lane.storedState) onStateChanged(lane);
  }

  /** One timeout among answers halves the lane's pace; where nothing was heard since it began, all that is known is void. */
  #slowDown(lane: Lane, attempt: Attempt, now: number, nowMono: number): void {
    if (lane.heardMono > nowMono - attempt.durationMs) {
      rampTimeout(lane.ramp);
      return;
    }
    rampReset(lane.ramp);
    // Those that hung together with this one, or after its breaker opened, take no turn of their own.
    if (lane.breaker.isOpen || lane.turnAt > now) return;
    lane.turnAt = this.#turns.next(now);
  }

  /**
   * Written when it opens, probes and closes. Of a closed breaker only that it has failed for long: there may be a first
   * failure a second.
   */
  #isWorthStoring({ breaker, storedState }: Lane, now: number): boolean {
    if (breaker.isOpen || storedState !== null) return true;
    return breaker.failingSince !== null && now - breaker.failingSince > FAILING_STORED_MS;
  }

  #recordInBreaker(lane: Lane, flight: Flight, { attempt }: Outcome, now: number): BreakerTransition {
    switch (attempt.verdict) {
      case "success":
        return recordSuccess(lane.breaker);
      case "retry":
        return recordFailure(lane.breaker, this.#deps.config.breaker, flight.id, now, this.#deps.random);
      case "permanent":
      case "gone":
      case "blocked":
        return recordPermanent(lane.breaker, now);
      case "lost":
        // hookd's own thread died: that says nothing about the receiver.
        return null;
    }
  }
}
