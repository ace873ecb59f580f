import type { Rates } from "./trouble.ts";

/** Rates are of so many seconds: fewer jump, more lag behind. */
const SECONDS = 10;

/**
 * Attempts a second of each webhook, from the stream's rows. Where the stream is a sample each row stands for as many
 * attempts as the exact counts say.
 */
export class RateMeter {
  /** Newest last. */
  #seconds: ReadonlyMap<string, number>[] = [];
  #rows = new Map<string, number>();
  #rowCount = 0;
  #attempts = 0;

  row(webhookId: string): void {
    this.#rows.set(webhookId, (this.#rows.get(webhookId) ?? 0) + 1);
    this.#rowCount += 1;
  }

  counted(attempts: number): void {
    this.#attempts += attempts;
  }

  /** A second has passed. Gives the rates. */
  second(): Rates {
    const weight = this.#rowCount === 0 ? 0 : Math.max(1, this.#attempts / this.#rowCount);
    this.#seconds.push(new Map([...this.#rows].map(([id, rows]) => [id, rows * weight])));
    if (this.#seconds.length > SECONDS) this.#seconds.shift();
    this.#rows = new Map();
    this.#rowCount = 0;
    this.#attempts = 0;
    const rates = new Map<string, number>();
    for (const second of this.#seconds) {
      for (const [id, count] of second) rates.set(id, (rates.get(id) ?? 0) + count / this.#seconds.length);
    }
    return rates;
  }
}
