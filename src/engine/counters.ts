import { ATTEMPT_ERRORS, DEAD_REASONS, VERDICTS } from "../domain/delivery.ts";
import { OPERATIONAL_EVENTS } from "../domain/operational-event.ts";
import type { Death } from "./death.ts";
import type { HistogramSnapshot } from "./port.ts";

/** Upper bounds in milliseconds: from a quick commit to the longest timeout. */
const MS_BOUNDS = [
  0.25, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
] as const;
const SIZE_BOUNDS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000] as const;

/** A histogram with fixed bounds: one addition per observation. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > (this.#bounds[at] ?? 0)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  snapshot(): HistogramSnapshot {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}

/** What the director counts. Names and meanings: observe/metric-names.ts. */
export class Counters {
  accepted = 0;
  acceptedDeliveries = 0;
  duplicates = 0;
  conflicts = 0;
  handedOff = 0;
  delivered = 0;
  staleOutcomes = 0;
  commitFailures = 0;
  pruned = 0;
  archived = 0;
  isArchiveFailing = false;
  readonly backups = zeros(["done", "failed", "cancelled"]);
  readonly refused = new Map<string, number>();
  readonly attempts = zeros([...VERDICTS]);
  /** `status`: an answer other than 2xx. */
  readonly attemptErrors = zeros([...ATTEMPT_ERRORS, "status"]);
  readonly deaths = zeros([...DEAD_REASONS]);
  /** Who else is told of deaths; null while nobody asks. */
  onDied: ((death: Death) => void) | null = null;
  readonly operational = zeros(OPERATIONAL_EVENTS);
  operationalDropped = 0;
  readonly commitMs = new Histogram(MS_BOUNDS);
  readonly commitEvents = new Histogram(SIZE_BOUNDS);
  readonly attemptMs = new Histogram(MS_BOUNDS);
  /** From acceptance to the end of the first attempt, where that succeeded. */
  readonly deliveryMs = new Histogram(MS_BOUNDS);

  died(death: Death): void {
    if (death.count === 0) return;
    addTo(this.deaths, death.reason, death.count);
    this.onDied?.(death);
  }

  refuse(code: string): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }
}

export function zeros(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, 0]));
}

export function addTo(counts: Record<string, number>, name: string, by = 1): void {
  counts[name] = (counts[name] ?? 0) + by;
}
