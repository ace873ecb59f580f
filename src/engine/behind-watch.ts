import type { Config } from "../config/config.ts";
import { OPERATOR_USER } from "../domain/names.ts";
import { WAITS, type WaitsFor } from "../domain/operational-event.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import { concurrencyOf, firstDueAt, isOn, type Lane, sendableAt } from "./lane.ts";
import type { Schedule } from "./schedule.ts";

export interface BehindWatchDeps {
  readonly config: Config;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** The longest wait among lanes that nothing holds back. */
export interface LongestWait {
  /** From when the delivery was due and its lane free to send, wall clock. */
  readonly since: number;
  readonly dueAt: number;
  readonly webhook: Webhook;
  /** Webhooks whose deliveries wait longer than `events.behind_after`. */
  readonly webhooks: number;
}

export type Waits = Readonly<Record<WaitsFor, LongestWait | null>>;

/** Lanes looked at in one go: a fraction of a millisecond. */
const SLICE = 2_000;

/**
 * How long deliveries wait that could go: for a slot, or (their lane has as many in flight as it may) for their own
 * receiver. A wait counts from when the lane was last seen parked: a breaker that closes leaves old deliveries behind,
 * which are late for their receiver's sake.
 */
export class BehindWatch {
  readonly #deps: BehindWatchDeps;
  readonly #parkedAt = new WeakMap<Lane, number>();
  /** When a lane last had as many in flight as it may: between two of them it has room for a moment. */
  readonly #fullAt = new WeakMap<Lane, number>();
  #allParkedAt = 0;

  constructor(deps: BehindWatchDeps) {
    this.#deps = deps;
  }

  async look(): Promise<Waits> {
    const { schedule, clock, timers, config } = this.#deps;
    const longest: Record<WaitsFor, LongestWait | null> = { slots: null, receivers: null };
    const counts = { slots: 0, receivers: 0 };
    if (schedule.isPaused || schedule.isStopped) this.#allParkedAt = clock.now();
    if (schedule.backlog <= 0) return longest;
    // What comes while this looks on is looked at the next time.
    let left = schedule.lanes.size;
    for (const lane of schedule.lanes.values()) {
      const now = clock.now();
      const waitsFor = this.#waitOf(lane, now, clock.mono());
      if (waitsFor !== null) {
        const dueAt = firstDueAt(lane);
        const since = Math.max(dueAt, this.#parkedAt.get(lane) ?? 0, this.#allParkedAt);
        if (now - since > config.events.behindAfterMs) counts[waitsFor] += 1;
        const known = longest[waitsFor];
        if (!known || since < known.since) {
          longest[waitsFor] = { since, dueAt, webhook: lane.webhook, webhooks: 0 };
        }
      }
      left -= 1;
      if (left === 0) break;
      if (left % SLICE === 0) await new Promise<void>((resolve) => timers.soon(resolve));
    }
    for (const name of WAITS) {
      const wait = longest[name];
      if (wait) longest[name] = { ...wait, webhooks: counts[name] };
    }
    return longest;
  }

  /** Null: nothing of it is due, or it is held back, or it is the operator's own. */
  #waitOf(lane: Lane, now: number, nowMono: number): WaitsFor | null {
    const { config } = this.#deps;
    if (firstDueAt(lane) > now || lane.webhook.userId === OPERATOR_USER) return null;
    const isFree =
      isOn(lane.webhook) && !lane.breaker.isOpen && sendableAt(lane, config.breaker, now, nowMono) <= now;
    if (!isFree) {
      this.#parkedAt.set(lane, now);
      return null;
    }
    const isFull = lane.inFlight >= concurrencyOf(lane, config.delivery.concurrencyMax, nowMono);
    if (isFull) this.#fullAt.set(lane, now);
    return now - (this.#fullAt.get(lane) ?? 0) < config.events.behindAfterMs ? "receivers" : "slots";
  }
}
