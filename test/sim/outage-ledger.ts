import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Outcome, SendOrder } from "../../src/sender/port.ts";

/** Parts of the outage, each from its mark to the next one. */
export type Mark = "parked" | "crash" | "restart" | "recovered";

const SECOND = 1_000;
/** Rounding: events within a millisecond come in any order. */
const ROUNDING_MS = 2;
const PEAK_SECONDS = 12;
/** No second is to have more than so many times the mean... */
const PEAK_TO_MEAN = 1.5;
/**
 * ...but for what chance adds where the mean is small: attempts that fall into seconds by chance are Poisson
 * distributed, and their number strays from the mean by its square root. Four times that comes to 22 on a mean of 30 a
 * second, and to 68 on the 290 of 10,000 lanes.
 */
const STRAY = 4;

/** Attempts at the watched lanes in each second from a mark on. */
interface Stretch {
  readonly fromMono: number;
  untilMono: number;
  readonly bySecond: number[];
}

interface Lane {
  /** The first success after the recovery. */
  closedAtMono: number | null;
  second: number;
  inSecond: number;
}

/** The attempts at parked lanes, from the start of a stretch on. */
export interface ParkedFigures {
  /** Of one lane, on average. */
  readonly attemptsPer30s: number;
  readonly meanPerSecond: number;
  readonly busiestSecond: number;
  readonly busiestAtSecond: number;
  /** What no second may go beyond, and how many do. */
  readonly allowedInSecond: number;
  readonly secondsBeyond: number;
  readonly firstSeconds: readonly number[];
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
  readonly #stretches = new Map<Mark, Stretch>();
  #stretch: Stretch = { fromMono: 0, untilMono: 0, bySecond: [] };
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
    const { fromMono, bySecond } = this.#stretch;
    const second = Math.floor((mono - fromMono) / SECOND);
    bySecond[second] = (bySecond[second] ?? 0) + 1;
    if (this.#isRecovered) this.#ramps(lane, Math.floor(mono / SECOND), mono, inFlight);
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
    this.#stretch.untilMono = this.#mono;
    this.#stretch = { fromMono: this.#mono, untilMono: this.#mono, bySecond: [] };
    this.#stretches.set(name, this.#stretch);
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

  /** How even the parked lanes' attempts are, second by second. */
  parkedFigures(lanes: number): { readonly beforeCrash: ParkedFigures; readonly afterCrash: ParkedFigures } {
    return {
      beforeCrash: this.#figuresFrom("parked", lanes),
      afterCrash: this.#figuresFrom("restart", lanes),
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

  #figuresFrom(mark: Mark, lanes: number): ParkedFigures {
    const { fromMono, untilMono, bySecond } = this.#stretches.get(mark) as Stretch;
    // Seconds without an attempt are holes.
    const counts = Array.from(bySecond, (count) => count ?? 0);
    const attempts = counts.reduce((sum, count) => sum + count, 0);
    const mean = (attempts * SECOND) / (untilMono - fromMono);
    const allowed = PEAK_TO_MEAN * mean + STRAY * Math.sqrt(mean);
    const busiest = Math.max(...counts);
    return {
      attemptsPer30s: (30 * mean) / lanes,
      meanPerSecond: mean,
      busiestSecond: busiest,
      busiestAtSecond: counts.indexOf(busiest),
      allowedInSecond: allowed,
      secondsBeyond: counts.filter((count) => count > allowed).length,
      firstSeconds: counts.slice(0, PEAK_SECONDS),
    };
  }
}
