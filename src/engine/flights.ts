import { type DeliveryId, type EventSeq, formatId, type IdSalt } from "../domain/ids.ts";
import { IdMap } from "../lib/id-map.ts";
import type { Leased } from "../store/port.ts";
import type { AttemptTrace } from "./attempt-tracing.ts";
import type { Lane } from "./lane.ts";

/** A leased delivery: in a sender's hands, or on its way there or back. */
export interface Flight {
  readonly id: DeliveryId;
  readonly token: number;
  readonly lane: Lane;
  /** Where it goes: the webhook may have another URL by the time it ends. */
  readonly callbackUrl: string;
  readonly event: EventSeq;
  readonly eventUid: string;
  readonly eventId: string;
  readonly userId: string;
  readonly attemptCount: number;
  readonly roundStart: number;
  readonly queuedAt: number;
  readonly isRetry: boolean;
  readonly sender: number;
  /** Null: the attempt is not traced. */
  readonly trace: AttemptTrace | null;
  isCancelRequested: boolean;
  /** Its outcome is in a commit that runs: a second one is stale. */
  isSettling: boolean;
  /** Its attempt succeeded, and its slot is another's: what is left is to store that. */
  isSlotFree: boolean;
}

/** What a flight is made of beside its delivery. */
export interface Way {
  readonly lane: Lane;
  readonly isRetry: boolean;
  readonly sender: number;
  readonly trace: AttemptTrace | null;
  /** Names the event that its publisher did not. */
  readonly salt: IdSalt;
}

/** Of a delivery that was leased from disk, or is handed off behind its commit. */
export function createFlight(
  leased: Omit<Leased, "webhookId" | "contentType" | "payload" | "trace">,
  { lane, isRetry, sender, trace, salt }: Way,
): Flight {
  return {
    id: leased.id,
    token: leased.token,
    lane,
    callbackUrl: lane.webhook.callbackUrl,
    event: leased.event,
    eventUid: leased.uid ?? formatId("evt", leased.event, salt),
    eventId: leased.eventId,
    userId: leased.userId,
    attemptCount: leased.attemptCount,
    roundStart: leased.roundStart,
    queuedAt: leased.queuedAt,
    isRetry,
    sender,
    trace,
    isCancelRequested: false,
    isSettling: false,
    isSlotFree: false,
  };
}

/** Deliveries in flight, by id. Bounded by `delivery.in_flight_max`, which the schedule keeps. */
export class Flights {
  readonly #flights = new IdMap<DeliveryId, Flight>();
  #lastToken = 0;

  get size(): number {
    return this.#flights.size;
  }

  /** The first of `count` tokens that no lease of this process has had. */
  takeTokens(count: number): number {
    const first = this.#lastToken + 1;
    this.#lastToken += count;
    return first;
  }

  add(flight: Flight): void {
    this.#flights.set(flight.id, flight);
  }

  get(id: DeliveryId): Flight | undefined {
    return this.#flights.get(id);
  }

  /** The flight that an outcome is of: null for another lease's, and for one that is being settled already. */
  claim(id: DeliveryId, token: number): Flight | null {
    const flight = this.#flights.get(id);
    if (!flight || flight.token !== token || flight.isSettling) return null;
    flight.isSettling = true;
    return flight;
  }

  remove(id: DeliveryId): void {
    this.#flights.delete(id);
  }

  all(): Iterable<Flight> {
    return this.#flights.values();
  }
}
