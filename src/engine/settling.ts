import type { Config } from "../config/config.ts";
import type { DeadReason } from "../domain/delivery.ts";
import type { Clock } from "../lib/clock.ts";
import type { Outcome } from "../sender/port.ts";
import type { Settlement } from "../store/port.ts";
import type { AttemptTracing } from "./attempt-tracing.ts";
import type { Counters } from "./counters.ts";
import { deathInFlight } from "./death.ts";
import type { Flight, Flights } from "./flights.ts";
import { isOn } from "./lane.ts";
import type { Learning } from "./learning.ts";
import type { SettledAttempt } from "./port.ts";
import type { Schedule } from "./schedule.ts";
import { settle } from "./settlement.ts";

export interface SettlingDeps {
  readonly config: Config;
  readonly schedule: Schedule;
  readonly flights: Flights;
  readonly counters: Counters;
  readonly learning: Learning;
  readonly clock: Clock;
  readonly random: () => number;
  readonly tracing: AttemptTracing | null;
}

/** A leased delivery that ends without an attempt. */
export interface EndedFlight {
  readonly flight: Flight;
  readonly reason: DeadReason;
}

/** A flight's end on its way into a commit. */
export interface Settled {
  readonly flight: Flight;
  readonly settlement: Settlement;
  readonly outcome: Outcome | null;
}

/**
 * Turns the ends of flights into settlements to commit. A success frees its slot when it is heard of: the next delivery
 * need not wait for the disk. Any other end frees it when it is durable, since what it tells of the lane comes first.
 */
export class Settling {
  readonly #deps: SettlingDeps;
  /** Flights whose slots are free while their ends are not durable: no more than there are slots, however slow the disk. */
  #freed = 0;

  constructor(deps: SettlingDeps) {
    this.#deps = deps;
  }

  hear(outcomes: readonly Outcome[]): void {
    const { flights, schedule, clock, config } = this.#deps;
    const now = clock.now();
    const nowMono = clock.mono();
    for (const { deliveryId, token, attempt } of outcomes) {
      if (attempt.verdict !== "success" || this.#freed >= config.delivery.inFlightMax) continue;
      const flight = flights.get(deliveryId);
      if (!flight || flight.token !== token || flight.isSlotFree || flight.isSettling) continue;
      const { lane } = flight;
      if (lane.webhook.ordering === "fifo" || lane.breaker.isOpen) continue;
      flight.isSlotFree = true;
      this.#freed += 1;
      schedule.end(lane, flight.isRetry, now, nowMono);
    }
  }

  /** Outcomes of leases that are not held, or that are being settled already, are counted and passed over. */
  claim(outcomes: readonly Outcome[], ended: readonly EndedFlight[], now: number): readonly Settled[] {
    const { flights, counters } = this.#deps;
    const settled: Settled[] = [];
    for (const outcome of outcomes) {
      const flight = flights.claim(outcome.deliveryId, outcome.token);
      if (flight) settled.push({ flight, settlement: this.#settlementOf(flight, outcome, now), outcome });
      else counters.staleOutcomes += 1;
    }
    for (const { flight, reason } of ended) {
      if (!flights.claim(flight.id, flight.token)) continue;
      settled.push({ flight, settlement: endOf(flight, reason, now), outcome: null });
    }
    return settled;
  }

  /** The commit was refused: the same ends are claimed again later. */
  unclaim(settled: readonly Settled[]): { outcomes: Outcome[]; ended: EndedFlight[] } {
    const outcomes: Outcome[] = [];
    const ended: EndedFlight[] = [];
    for (const { flight, settlement, outcome } of settled) {
      flight.isSettling = false;
      if (outcome) outcomes.push(outcome);
      else if (settlement.reason !== null) ended.push({ flight, reason: settlement.reason });
    }
    return { outcomes, ended };
  }

  /** The commit is durable, apart from the settlements at `stale`. The attempts, for those who watch. */
  apply(settled: readonly Settled[], stale: readonly number[], now: number): readonly SettledAttempt[] {
    const { schedule, clock, flights, counters, learning, tracing } = this.#deps;
    const nowMono = clock.mono();
    const seen: SettledAttempt[] = [];
    settled.forEach(({ flight, settlement, outcome }, index) => {
      const { lane } = flight;
      flights.remove(flight.id);
      lane.lastUsedMono = nowMono;
      if (stale.includes(index)) {
        counters.staleOutcomes += 1;
      } else {
        if (settlement.reason !== null) counters.died(deathInFlight(flight, settlement, settlement.reason));
        if (settlement.status === "success") counters.delivered += 1;
        if (outcome) {
          learning.learn(flight, outcome, now, nowMono);
          const attempt = settledAttempt(flight, settlement, outcome);
          seen.push(attempt);
          if (flight.trace !== null) tracing?.ended(flight.trace, lane.webhook.callbackUrl, attempt);
        }
        if (settlement.dueAt !== null) schedule.retry(lane, settlement.dueAt, flight.queuedAt, now, nowMono);
      }
      if (flight.isSlotFree) {
        this.#freed -= 1;
        schedule.touch(lane, now, nowMono);
      } else {
        schedule.end(lane, flight.isRetry, now, nowMono);
      }
    });
    return seen;
  }

  #settlementOf(flight: Flight, outcome: Outcome, now: number): Settlement {
    const { config, random } = this.#deps;
    const { webhook } = flight.lane;
    const delivery = {
      attemptCount: flight.attemptCount,
      roundStart: flight.roundStart,
      isCancelRequested: flight.isCancelRequested,
      isWebhookOn: isOn(webhook),
    };
    const policy = webhook.retry ?? config.retry.policy;
    const verdict = settle(outcome, delivery, policy, config.retry.jitter, now, random);
    return {
      id: flight.id,
      webhookId: flight.lane.webhookId,
      token: flight.token,
      ...verdict,
      attemptCount: flight.attemptCount + 1,
      attempt: outcome.attempt,
      settledAt: now,
    };
  }
}

function endOf(flight: Flight, reason: DeadReason, now: number): Settlement {
  return {
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
