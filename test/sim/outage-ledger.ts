import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Outcome, SendOrder } from "../../src/sender/port.ts";

/** Parts of the outage, each from its mark to the next one. */
export type Mark = "parked" | "crash" | "after the crash" | "recovered";

const SECOND = 1_000;
/** Rounding: events within a millisecond come in any order. */
const ROUNDING_MS = 2;
const PEAK_SECONDS = 12;

interface Lane {
  /** The first success after the recovery. */
  closedAtMono: number | null;
  second: number;
  inSecond: number;
}

/** What receivers and publishers saw of an outage. */
export class OutageLedger {
  readonly #roundTripMs: number;
  readonly #publishedAt: number[] = [];
  readonly #isHealthy: boolean[] = [];
  readonly #isAccepted: boolean[] = [];
  readonly #successes: number[] = [];
  readonly #hasBegun: boolean[] = [];
  readonly #lanes = new Map<WebhookId, Lane>();
  readonly #inFlight = new Map<DeliveryId, number>();
  /** Attempts at the watched ones, by second. */
  readonly #bySecond: number[] = [];
  readonly #marks = new Map<Mark, number>();
  readonly #freshMs: number[] = [];
  readonly #peaks = new Array<number>(PEAK_SECONDS).fill(0);
  #attempts = 0;
  #mono = 0;
  #isRecovered = false;
  #rampViolations = 0;
  #busiest = 0;

  constructor(roundTripMs: number) {
    this.#roundTripMs = roundTripMs;
  }

  watch(ids: Iterable<WebhookId>): void {
    for (const id of ids) this.#lanes.set(id, { closedAtMono: null, second: 0, inSecond: 0 });
  }

  /** The number of a new event, which is its payload. */
  published(mono: number, isHealthy: boolean): number {
    this.#isHealthy.push(isHealthy);
    this.#successes.push(0);
    return this.#publishedAt.push(mono) - 1;
  }

  accepted(n: number): void {
    this.#isAccepted[n] = true;
  }

  begins(order: SendOrder, mono: number, inFlight: number): void {
    const n = Number(Buffer.from(order.payload).toString());
    this.#attempts += 1;
    this.#inFlight.set(order.deliveryId, n);
    if (this.#isRecovered && this.#isHealthy[n] && !this.#hasBegun[n]) {
      this.#freshMs.push(mono - (this.#publishedAt[n] ?? 0));
    }
    this.#hasBegun[n] = true;
    const lane = this.#lanes.get(order.webhookId);
    if (!lane) return;
    const second = Math.floor(mono / SECOND);
    this.#bySecond[second] = (this.#bySecond[second] ?? 0) + 1;
    if (this.#isRecovered) this.#ramps(lane, second, mono, inFlight);
  }

  ended(outcomes: readonly Outcome[], mono: number): void {
    for (const { deliveryId, webhookId, attempt } of outcomes) {
      const n = this.#inFlight.get(deliveryId);
      this.#inFlight.delete(deliveryId);
      if (n === undefined || attempt.verdict !== "success") continue;
      this.#successes[n] = (this.#successes[n] ?? 0) + 1;
      const lane = this.#lanes.get(webhookId);
      if (this.#isRecovered && lane) lane.closedAtMono ??= mono;
    }
  }

  crashed(): void {
    this.#inFlight.clear();
  }

  tick(mono: number): void {
    this.#mono = mono;
  }

  mark(name: Mark): void {
    this.#marks.set(name, this.#mono);
  }

  recovered(): void {
    this.#isRecovered = true;
  }

  counts() {
    let accepted = 0;
    let lost = 0;
    let duplicates = 0;
    this.#successes.forEach((count, n) => {
      duplicates += Math.max(0, count - 1);
      if (!this.#isAccepted[n]) return;
      accepted += 1;
      if (count === 0) lost += 1;
    });
    return { accepted, attempts: this.#attempts, lost, duplicates };
  }

  /** Seconds of which the parked lanes' attempts are even, of so many attempts on average. */
  parkedFigures(lanes: number, stretchAttempts: number) {
    const before = this.#secondsBetween("parked", "crash");
    const after = this.#secondsBetween("after the crash", "recovered");
    const wholeAfter = this.#secondsBetween("crash", "recovered");
    const peakStretchSeconds = Math.max(1, Math.ceil(stretchAttempts / Math.max(mean(before), 1 / 60)));
    return {
      attemptsPer30sBeforeCrash: (30 * mean(before)) / lanes,
      attemptsPer30sAfterCrash: (30 * mean(wholeAfter)) / lanes,
      peakStretchSeconds,
      peakToMeanBeforeCrash: peakToMean(before, peakStretchSeconds),
      peakToMeanAfterCrash: peakToMean(after, peakStretchSeconds),
    };
  }

  recoveryFigures() {
    const fresh = this.#freshMs.sort((a, b) => a - b);
    const at = (share: number) => fresh[Math.min(fresh.length - 1, Math.floor(share * fresh.length))] ?? 0;
    return {
      rampViolations: this.#rampViolations,
      concurrencyPeaksBySecond: this.#peaks,
      busiestReceiverPerSecond: this.#busiest,
      freshP50Ms: at(0.5),
      freshP99Ms: at(0.99),
      freshMaxMs: fresh.at(-1) ?? 0,
    };
  }

  #ramps(lane: Lane, second: number, mono: number, inFlight: number): void {
    lane.inSecond = lane.second === second ? lane.inSecond + 1 : 1;
    lane.second = second;
    this.#busiest = Math.max(this.#busiest, lane.inSecond);
    const sinceMs = lane.closedAtMono === null ? 0 : mono - lane.closedAtMono;
    if (inFlight > 2 ** Math.ceil((sinceMs + ROUNDING_MS) / this.#roundTripMs)) this.#rampViolations += 1;
    const at = Math.floor(sinceMs / SECOND);
    if (at < PEAK_SECONDS) this.#peaks[at] = Math.max(this.#peaks[at] ?? 0, inFlight);
  }

  #secondsBetween(from: Mark, to: Mark): number[] {
    const first = Math.ceil((this.#marks.get(from) ?? 0) / SECOND);
    const last = Math.floor((this.#marks.get(to) ?? 0) / SECOND);
    return Array.from(
      { length: Math.max(0, last - first) },
      (_, index) => this.#bySecond[first + index] ?? 0,
    );
  }
}

function mean(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0) / Math.max(1, counts.length);
}

function peakToMean(seconds: readonly number[], stretch: number): number {
  let peak = 0;
  for (let at = 0; at + stretch <= seconds.length; at += stretch) {
    peak = Math.max(peak, mean(seconds.slice(at, at + stretch)));
  }
  return peak / mean(seconds);
}
