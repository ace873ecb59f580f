import type { DeliveryId } from "../domain/ids.ts";
import type { Clock } from "../lib/clock.ts";
import { Pacer } from "../lib/pacer.ts";
import type { Timers } from "../lib/timers.ts";
import type { SendFailure } from "../sender/failure.ts";

/** Attempts that failed inside hookd, since the last report: how many, and the last of them. */
export interface FailureReport {
  readonly count: number;
  readonly deliveryId: DeliveryId;
  /** For the operator's log: no byte of a receiver. */
  readonly message: string;
}

const EVERY_MS = 1_000;

/**
 * What an attempt records of a failure inside hookd is `internal`; why goes to the operator's log, by way of `report`, once a
 * second at most: out of files or memory, all attempts fail alike.
 */
export class OwnFailures {
  readonly #pacer: Pacer;
  #count = 0;
  #last: Omit<FailureReport, "count"> | null = null;

  constructor(clock: Clock, timers: Timers, report: (report: FailureReport) => void) {
    this.#pacer = new Pacer(
      () => {
        if (this.#last === null) return;
        report({ count: this.#count, ...this.#last });
        this.#count = 0;
        this.#last = null;
      },
      EVERY_MS,
      clock,
      timers,
    );
  }

  /** Failures of receivers are theirs, and not told. */
  add(deliveryId: DeliveryId, { kind, message }: SendFailure): void {
    if (kind !== "internal") return;
    this.#count += 1;
    this.#last = { deliveryId, message };
    this.#pacer.ask();
  }
}
