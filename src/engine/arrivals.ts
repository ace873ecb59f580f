import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { PublishOutcome, PublishRequest } from "./port.ts";

/**
 * What was handed over at once. It is read when its turn comes: objects that wait would be copied by the collector, and marked.
 */
export interface Arrival {
  readonly count: number;
  readonly bytes: number;
  /** Events that whoever hands them over waits for answers to, with these. */
  readonly outstanding: number;
  read(): readonly PublishRequest[];
}

/** Requests that share a commit. */
export interface Group {
  readonly requests: readonly PublishRequest[];
  /** The job that will expand a large broadcast; it commits with the event. */
  readonly expansion: Job | null;
  /** One outcome per request, in order. */
  readonly resolve: (outcomes: readonly PublishOutcome[]) => void;
}

interface Waiting extends Omit<Group, "requests"> {
  readonly arrival: Arrival;
}

/** Events that may wait for their commit: a tenth of a second's work, beyond that a 503. */
const QUEUED_EVENTS_MAX = 20_000;
/** And their payload bytes; one larger group is taken where nothing else waits. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** With so many waiting, or not answered yet, publishers are near being refused. */
const PRESSED_EVENTS = QUEUED_EVENTS_MAX / 2;

/** Events that wait for their commit, in the order in which they came. */
export class Arrivals {
  #groups: Waiting[] = [];
  #events = 0;
  #bytes = 0;
  #outstanding = 0;

  get isEmpty(): boolean {
    return this.#groups.length === 0;
  }

  get eventCount(): number {
    return this.#events;
  }

  get isPressed(): boolean {
    return Math.max(this.#events, this.#outstanding) >= PRESSED_EVENTS;
  }

  get isFull(): boolean {
    return this.#events >= QUEUED_EVENTS_MAX || this.#bytes >= QUEUED_BYTES_MAX;
  }

  /** Null where there is room for these. */
  refusalOf({ count, bytes }: Arrival): Problem | null {
    const isFull = this.#events + count > QUEUED_EVENTS_MAX || this.#bytes + bytes > QUEUED_BYTES_MAX;
    if (!isFull || this.#events === 0) return null;
    return new Problem("overloaded", `${this.#events} events are waiting to be stored: publish more slowly`);
  }

  /** Resolves when the events' commit is durable, or was refused. */
  add(arrival: Arrival, expansion: Job | null): Promise<readonly PublishOutcome[]> {
    this.#events += arrival.count;
    this.#bytes += arrival.bytes;
    this.#outstanding = arrival.outstanding;
    return new Promise((resolve) => {
      this.#groups.push({ arrival, expansion, resolve });
    });
  }

  /** The oldest groups, until they have `eventsMax` events, read. */
  take(eventsMax: number): readonly Group[] {
    let count = 0;
    let events = 0;
    for (const { arrival } of this.#groups) {
      if (events >= eventsMax) break;
      count += 1;
      events += arrival.count;
      this.#bytes -= arrival.bytes;
    }
    this.#events -= events;
    const taken = this.#groups;
    this.#groups = taken.slice(count);
    return taken
      .slice(0, count)
      .map(({ arrival, expansion, resolve }) => ({ requests: arrival.read(), expansion, resolve }));
  }
}

export function eventsOf(groups: readonly Group[]): number {
  return groups.reduce((sum, { requests }) => sum + requests.length, 0);
}

/** Of requests that have been read already. */
export function arrivalOf(requests: readonly PublishRequest[]): Arrival {
  let bytes = 0;
  for (const { payload } of requests) bytes += payload.length;
  return { count: requests.length, bytes, outstanding: requests.length, read: () => requests };
}
