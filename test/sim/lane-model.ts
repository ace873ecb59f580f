import type { WebhookId } from "../../src/domain/ids.ts";
import type { RateLimit, Webhook } from "../../src/domain/webhook.ts";

/** What a webhook's owner has asked for, and when it began to hold. */
export interface LaneEntry {
  readonly id: WebhookId;
  readonly isFifo: boolean;
  readonly rateLimit: RateLimit | null;
  cap: number;
  /** Attempts decided before this order number may have been so by the cap before. */
  capSince: number;
  capBefore: number;
  pausedSince: number | null;
  /** It was off at some time, so that deliveries may have ended for that. */
  wasOff: boolean;
  /** When a replay of its delivered ones was last answered: what had ended by then may be sent again. */
  replayedMono: number;
  replayedNow: number;
  tokens: number;
  tokensAtMono: number;
}

const TOLERANCE = 1e-6;

/** The limits of lanes, as their owners know them. */
export class LaneModel {
  readonly lanes = new Map<WebhookId, LaneEntry>();
  readonly #capDefault: number;

  constructor(capDefault: number) {
    this.#capDefault = capDefault;
  }

  add(webhook: Webhook): LaneEntry {
    const cap = webhook.concurrencyMax ?? this.#capDefault;
    const entry: LaneEntry = {
      id: webhook.id,
      isFifo: webhook.ordering === "fifo",
      rateLimit: webhook.rateLimit,
      cap,
      capSince: 0,
      capBefore: cap,
      pausedSince: null,
      wasOff: false,
      replayedMono: 0,
      replayedNow: 0,
      tokens: webhook.rateLimit?.burst ?? 0,
      tokensAtMono: 0,
    };
    this.lanes.set(webhook.id, entry);
    return entry;
  }

  get(id: WebhookId): LaneEntry {
    const entry = this.lanes.get(id);
    if (!entry) throw new Error(`webhook ${id} is not the simulation's`);
    return entry;
  }

  capAt(lane: LaneEntry, leasedAt: number): number {
    if (lane.isFifo) return 1;
    return leasedAt > lane.capSince ? lane.cap : Math.max(lane.cap, lane.capBefore);
  }

  /** A new process begins with full buckets. */
  refill(): void {
    for (const lane of this.lanes.values()) lane.tokens = lane.rateLimit?.burst ?? 0;
  }

  /** Takes a token for an attempt that was decided at that time. False: there was none. */
  takeToken(lane: LaneEntry, leasedMono: number): boolean {
    if (!lane.rateLimit) return true;
    const { perSecond, burst } = lane.rateLimit;
    const elapsedMs = Math.max(0, leasedMono - lane.tokensAtMono);
    lane.tokens = Math.min(burst, lane.tokens + (elapsedMs * perSecond) / 1000);
    lane.tokensAtMono = Math.max(lane.tokensAtMono, leasedMono);
    lane.tokens -= 1;
    return lane.tokens >= -TOLERANCE;
  }
}
