import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { PublishOutcome, PublishRequest } from "./port.ts";

/** Requests that share a commit: what was handed over at once. */
export interface Group {
  readonly requests: readonly PublishRequest[];
  /** The job that will expand a large broadcast; it commits with the event. */
  readonly expansion: Job | null;
  /** One outcome per request, in order. */
  readonly resolve: (outcomes: readonly PublishOutcome[]) => void;
}

/** Events that may wait for their commit: a tenth of a second's work, beyond that a 503. */
const QUEUED_EVENTS_MAX = 20_000;
/** And their payload bytes; one larger group is taken where nothing else waits. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;

/** Events that wait for their commit, in the order in which they came. */
export class Arrivals {
  #groups: Group[] = [];
  #events = 0;
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#groups.length === 0;
  }

  get eventCount(): number {
    return this.#events;
  }

  get isFull(): boolean {
    return this.#events >= QUEUED_EVENTS_MAX || this.#bytes >= QUEUED_BYTES_MAX;
  }

  /** Null where there is room for these. */
  refusalOf(requests: readonly PublishRequest[]): Problem | null {
    const isFull =
      this.#events + requests.length > QUEUED_EVENTS_MAX ||
      this.#bytes + bytesOf(requests) > QUEUED_BYTES_MAX;
    if (!isFull || this.#events === 0) return null;
    return new Problem("overloaded", `${this.#events} events are waiting to be stored: publish more slowly`);
  }

  /** Resolves when the events' commit is durable, or was refused. */
  add(requests: readonly PublishRequest[], expansion: Job | null): Promise<readonly PublishOutcome[]> {
    this.#events += requests.length;
    this.#bytes += bytesOf(requests);
    return new Promise((resolve) => {
      this.#groups.push({ requests, expansion, resolve });
    });
  }

  /** The oldest groups, until they have `eventsMax` events. */
  take(eventsMax: number): readonly Group[] {
    let count = 0;
    let events = 0;
    for (const { requests } of this.#groups) {
      if (events >= eventsMax) break;
      count += 1;
      events += requests.length;
      this.#bytes -= bytesOf(requests);
    }
    this.#events -= events;
    const taken = this.#groups;
    this.#groups = taken.slice(count);
    return count === taken.length ? taken : taken.slice(0, count);
  }
}

export function eventsOf(groups: readonly Group[]): number {
  return groups.reduce((sum, { requests }) => sum + requests.length, 0);
}

function bytesOf(requests: readonly PublishRequest[]): number {
  let bytes = 0;
  for (const { payload } of requests) bytes += payload.length;
  return bytes;
}
