import type { Attempt, Delivery } from "../domain/delivery.ts";
import type { DeliveryId } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Store } from "../store/port.ts";
import type { Counters } from "./counters.ts";
import type { Flights } from "./flights.ts";
import type { LaneChanges } from "./lane-changes.ts";

export interface DeliveryCommandsDeps {
  readonly store: Store;
  readonly lanes: LaneChanges;
  readonly flights: Flights;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** Looks at a delivery that is on its way into or out of a flight; a commit is over long before. */
const LOOKS_MAX = 10_000;

/** What a user does with a single delivery. */
export class DeliveryCommands {
  readonly #deps: DeliveryCommandsDeps;

  constructor(deps: DeliveryCommandsDeps) {
    this.#deps = deps;
  }

  get(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null> {
    return this.#deps.store.getDelivery(id);
  }

  async retry(id: DeliveryId): Promise<Delivery> {
    const { store, clock, lanes } = this.#deps;
    const delivery = await this.#find(id);
    const now = clock.now();
    switch (delivery.status) {
      case "success":
        throw new Problem("already_delivered", "the delivery succeeded: replay it if it is wanted again");
      case "dead":
        await lanes.change(() => store.revive(id, now));
        break;
      case "pending":
      case "retrying":
        // What is due keeps its place: a later due time would put it behind the others of its lane.
        if (delivery.isLeased || (delivery.dueAt ?? 0) <= now) return delivery;
        await lanes.change(() => store.makeDue(id, now));
    }
    return this.#find(id);
  }

  /** While it is leased the outcome decides: a success in flight still wins, a failure ends it as cancelled. */
  async cancel(id: DeliveryId): Promise<Delivery> {
    const { store, clock, flights, counters, lanes } = this.#deps;
    for (let look = 0; look < LOOKS_MAX; look += 1) {
      const delivery = await this.#find(id);
      if (delivery.status === "success" || delivery.status === "dead") {
        throw new Problem("not_open", `the delivery has ended: it is ${delivery.status}`);
      }
      const flight = flights.get(id);
      if (flight && !flight.isSettling) {
        flight.isCancelRequested = true;
        return delivery;
      }
      if (!flight && (await lanes.change(() => store.kill(id, "cancelled", clock.now())))) {
        counters.died({ webhookId: delivery.webhookId, reason: "cancelled", count: 1, delivery });
        return this.#find(id);
      }
      // Its outcome is being committed, or its lease is on its way here: one of the two is true in a moment.
      await new Promise<void>((resolve) => this.#deps.timers.soon(resolve));
    }
    throw new Problem("overloaded", "the delivery is being settled: try again");
  }

  async #find(id: DeliveryId): Promise<Delivery> {
    const found = await this.#deps.store.getDelivery(id);
    if (!found) throw new Problem("not_found", "there is no such delivery");
    return found.delivery;
  }
}
