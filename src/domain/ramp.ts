import type { Webhook } from "./webhook.ts";

const LIMIT_START = 2;
/**
 * A receiver that comes back from an outage has a backlog in front of it: its limit starts at 1 and may double only
 * this often, so that 128 takes 10.5 s (docs/decisions/0006). Successes alone would take it there in 50 ms.
 */
const RECOVERY_DOUBLING_MS = 1_500;

/**
 * How many attempts a lane may have in flight, learned from their outcomes: TCP's congestion window, with
 * attempts for segments. It starts at 2 and grows by one with each success (slow start: it doubles with each
 * window) until the first timeout; from then on by one per window of `limit` successes. A timeout halves it,
 * and then the next `limit - 1` outcomes only pass by: attempts that flew together and timed out together are
 * one signal, not many.
 */
export interface Ramp {
  /** An integer, 1 at least. */
  limit: number;
  isSlowStart: boolean;
  /** The lane has shown a success; lanes that have not share a part of all slots (docs/state-machine.md). */
  isProven: boolean;
  /** Successes since the limit last grew; counted after slow start only. */
  successes: number;
  /** Outcomes still to pass by after a halving. */
  cooldown: number;
  /** Since when the receiver recovers from an outage, monotonic ms; null when it does not. */
  recoversSinceMono: number | null;
}

/** What a webhook's lane begins with, which it has not yet or no more. */
export function startConcurrency(
  { ordering, concurrencyMax }: Pick<Webhook, "ordering" | "concurrencyMax">,
  max: number,
): number {
  return ordering === "fifo" ? 1 : Math.min(LIMIT_START, concurrencyMax ?? max);
}

export function createRamp(): Ramp {
  return {
    limit: LIMIT_START,
    isSlowStart: true,
    isProven: false,
    successes: 0,
    cooldown: 0,
    recoversSinceMono: null,
  };
}

/**
 * An attempt ended well. `max` is the lane's `concurrency_max`; a limit above it (it was lowered) comes down
 * at once.
 */
export function rampSuccess(state: Ramp, max: number, nowMono: number): void {
  state.isProven = true;
  if (state.cooldown > 0) {
    state.cooldown -= 1;
  } else if (state.isSlowStart) {
    state.limit += 1;
  } else {
    state.successes += 1;
    if (state.successes >= state.limit) {
      state.successes = 0;
      state.limit += 1;
    }
  }
  const bound = Math.min(max, recoveryBound(state, max, nowMono));
  if (state.limit > bound) state.limit = Math.max(1, Math.floor(bound));
}

/** An attempt timed out. */
export function rampTimeout(state: Ramp): void {
  if (state.cooldown > 0) {
    state.cooldown -= 1;
    return;
  }
  state.isSlowStart = false;
  state.successes = 0;
  state.cooldown = state.limit - 1;
  state.limit = Math.max(1, Math.floor(state.limit / 2));
}

/** Back to a new lane's state: its breaker opened, or its URL changed. */
export function rampReset(state: Ramp): void {
  Object.assign(state, createRamp());
}

/** The lane's breaker has closed: as new, but from 1, and growing gently. */
export function rampRecover(state: Ramp, nowMono: number): void {
  rampReset(state);
  state.limit = 1;
  state.recoversSinceMono = nowMono;
}

/** What the limit may be by now; the recovery is over when that is `max`. */
function recoveryBound(state: Ramp, max: number, nowMono: number): number {
  if (state.recoversSinceMono === null) return max;
  const bound = 2 ** Math.floor((nowMono - state.recoversSinceMono) / RECOVERY_DOUBLING_MS);
  if (bound >= max) state.recoversSinceMono = null;
  return bound;
}
