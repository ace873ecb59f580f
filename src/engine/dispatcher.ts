import type { Config } from "../config/config.ts";
import type { IdSalt } from "../domain/ids.ts";
import { formatTraceparent } from "../domain/trace-context.ts";
import type { Sender, SendOrder } from "../sender/port.ts";
import type { Flight, Flights } from "./flights.ts";
import type { Lane } from "./lane.ts";
import { senderOf, targetOf } from "./target.ts";

export interface DispatcherDeps {
  readonly config: Config;
  readonly senders: readonly Sender[];
  readonly flights: Flights;
  readonly salt: IdSalt;
}

/** Hands flights to senders, those of one cycle as one batch. Each sender is told of a webhook once per version. */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  #orders: SendOrder[][];

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#orders = deps.senders.map(() => []);
  }

  /** A lane's attempts all go through one sender: its connections are reused. */
  senderOf(lane: Lane): number {
    return senderOf(lane.webhookId, this.#deps.senders.length);
  }

  /** The flight goes with the next batch. */
  add(flight: Flight, contentType: string, payload: Uint8Array): void {
    this.#deps.flights.add(flight);
    const { trace } = flight;
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
      traceparent:
        trace !== null && this.#deps.config.trace.propagate ? formatTraceparent(trace.context) : null,
    });
  }

  send(): void {
    this.#orders.forEach((orders, sender) => {
      if (orders.length === 0) return;
      this.#deps.senders[sender]?.send(orders);
      this.#orders[sender] = [];
    });
  }

  /** The sender's flights, which ended with it: those that wait for the next batch too, as their targets went to it. */
  takeLost(sender: number): readonly Flight[] {
    this.#orders[sender] = [];
    return [...this.#deps.flights.all()].filter((flight) => flight.sender === sender);
  }

  #tellTarget(lane: Lane, sender: number): void {
    if (lane.targetVersion === lane.webhook.version) return;
    lane.targetVersion = lane.webhook.version;
    this.#deps.senders[sender]?.putTarget(targetOf(lane.webhook, this.#deps.config, this.#deps.salt));
  }
}
