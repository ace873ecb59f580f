import type { DeadReason } from "../domain/delivery.ts";
import type { WebhookId } from "../domain/ids.ts";
import type { DeadDelivery, Death } from "./death.ts";

/** Deaths of one webhook for one reason that were not reported yet. */
export interface DeathCount {
  /** Null: of webhooks that there was no room to count apart. */
  readonly webhookId: WebhookId | null;
  readonly reason: DeadReason;
  readonly count: number;
  /** When the first of them was counted, wall clock. */
  readonly since: number;
  /** The first of them that is known by its id. */
  readonly delivery: DeadDelivery | null;
}

/** Pairs of webhook and reason that wait, some 300 bytes each; further webhooks are counted together. */
const WAITING_MAX = 10_000;
const MINUTE_MS = 60_000;

/**
 * Deaths may come in floods, so they are counted here and reported in samples: a webhook and reason once a minute at
 * most, those that have waited longest first. Each report stands for all deaths since the one before, so that the sum
 * over all reports, and over what waits, is the number of deaths.
 */
export class DeathReports {
  /** In the order of their first deaths. */
  readonly #waiting = new Map<string, DeathCount>();
  /** Pairs reported within the last minute, in that order, with the monotonic time. */
  readonly #reported = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  note({ webhookId, reason, count, delivery }: Death, now: number): void {
    this.#add({ webhookId, reason, count, since: now, delivery });
  }

  /** What may be reported now; what is not, after all, comes back by `putBack`. */
  take(perMinute: number, nowMono: number): readonly DeathCount[] {
    for (const [key, atMono] of this.#reported) {
      if (atMono > nowMono - MINUTE_MS) break;
      this.#reported.delete(key);
    }
    const taken: DeathCount[] = [];
    for (const [key, count] of this.#waiting) {
      if (this.#reported.size >= perMinute) break;
      if (this.#reported.has(key)) continue;
      this.#waiting.delete(key);
      this.#reported.set(key, nowMono);
      taken.push(count);
    }
    return taken;
  }

  putBack(count: DeathCount): void {
    this.#reported.delete(keyOf(count));
    this.#add(count);
  }

  clear(): void {
    this.#waiting.clear();
    this.#reported.clear();
  }

  /** What waits, for the next process. */
  save(): string {
    return JSON.stringify([...this.#waiting.values()]);
  }

  restore(text: string): void {
    for (const count of JSON.parse(text) as readonly DeathCount[]) this.#add(count);
  }

  #add(count: DeathCount): void {
    const own = keyOf(count);
    const isApart = this.#waiting.has(own) || this.#waiting.size < WAITING_MAX;
    const counted = isApart ? count : { ...count, webhookId: null };
    const key = keyOf(counted);
    const before = this.#waiting.get(key);
    this.#waiting.set(key, before ? sumOf(before, counted) : counted);
  }
}

function keyOf({ webhookId, reason }: DeathCount): string {
  return `${webhookId ?? ""} ${reason}`;
}

function sumOf(before: DeathCount, more: DeathCount): DeathCount {
  return {
    ...before,
    count: before.count + more.count,
    since: Math.min(before.since, more.since),
    delivery: before.delivery ?? more.delivery,
  };
}
