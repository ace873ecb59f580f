import type { Config } from "../config/config.ts";
import type { IdSalt } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Leased, LeaseGrant, LeaseWant, Store } from "../store/port.ts";
import { type AttemptTracing, traceOf } from "./attempt-tracing.ts";
import type { CarefulClock } from "./careful-clock.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { createFlight, type Flights } from "./flights.ts";
import { isOn } from "./lane.ts";
import type { Plan, Schedule } from "./schedule.ts";
import type { EndedFlight } from "./settling.ts";

export interface LeasingDeps {
  readonly config: Config;
  readonly store: Store;
  readonly schedule: Schedule;
  readonly flights: Flights;
  readonly dispatcher: Dispatcher;
  readonly clock: Clock;
  readonly careful: CarefulClock;
  readonly salt: IdSalt;
  readonly tracing: AttemptTracing | null;
}

/**
 * A cycle leases for so long, and for one round at least: events that come meanwhile wait for it. When a thousand hanging
 * receivers time out together, as many deliveries wait for their slots, at 50 us each.
 */
const LEASING_MS = 3;
const ROUNDS_MAX = 64;

/** Fills the free slots, lane by lane in turn. The webhook is looked at again here: a change is obeyed. */
export class Leasing {
  readonly #deps: LeasingDeps;

  constructor(deps: LeasingDeps) {
    this.#deps = deps;
  }

  /**
   * Until the time is up and `share` deliveries are leased, or nothing is left. What was leased goes to the dispatcher; what
   * must end without an attempt is told to `onEnded`, at once.
   */
  async lease(share: number, onEnded: (ended: EndedFlight) => void): Promise<void> {
    const { schedule, clock } = this.#deps;
    schedule.wake(clock.now(), clock.mono());
    const begunMono = clock.mono();
    let leasedCount = 0;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      if (leasedCount >= share && clock.mono() - begunMono >= LEASING_MS) return;
      const now = clock.now();
      const plans = schedule.plan(now, clock.mono());
      if (plans.length === 0) return;
      const grants = await this.#grantsOf(plans, now);
      plans.forEach((plan, index) => {
        const grant = grants[index];
        if (!grant) throw new Error(`the store granted ${grants.length} of ${plans.length} wants`);
        schedule.granted(plan, grant, now, clock.mono());
        leasedCount += grant.leased.length;
        for (const leased of grant.leased) {
          const end = this.#begin(plan, leased);
          if (end) onEnded(end);
        }
      });
    }
  }

  async #grantsOf(plans: readonly Plan[], now: number): Promise<readonly LeaseGrant[]> {
    const { store, schedule, clock } = this.#deps;
    try {
      return await store.lease(plans.map((plan) => this.#wantOf(plan, now)));
    } catch (error) {
      if (error instanceof Problem) for (const plan of plans) schedule.refused(plan, now, clock.mono());
      throw error;
    }
  }

  #wantOf({ lane, status, limit }: Plan, now: number): LeaseWant {
    const { flights } = this.#deps;
    return {
      webhookId: lane.webhookId,
      status,
      limit,
      dueBy: now,
      firstToken: flights.takeTokens(limit),
    };
  }

  #begin(plan: Plan, leased: Leased): EndedFlight | null {
    const { dispatcher, flights, careful, config } = this.#deps;
    const { lane } = plan;
    const flight = createFlight(leased, {
      lane,
      isRetry: plan.status === "retrying",
      sender: dispatcher.senderOf(lane),
      trace: traceOf(leased.trace, this.#deps.tracing),
      salt: this.#deps.salt,
    });
    const isExpired = careful.now() - leased.queuedAt > config.delivery.ageMaxMs;
    const reason = !isOn(lane.webhook) ? "disabled" : isExpired ? "expired" : null;
    if (reason === null) {
      dispatcher.add(flight, leased.contentType, leased.payload);
      return null;
    }
    flights.add(flight);
    return { flight, reason };
  }
}
