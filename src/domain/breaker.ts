import type { DeliveryId } from "./ids.ts";

export interface BreakerPolicy {
  /** So many different deliveries failed in a row: open. */
  readonly consecutive: number;
  /** Outcomes looked back on, 32 at most. */
  readonly window: number;
  /** This share of a full window failed: open. */
  readonly ratio: number;
  /** Mean time to the first probe, ms. */
  readonly probeMs: number;
  /** What the mean time between probes grows to, ms. */
  readonly probeMaxMs: number;
}

/** The outcomes are the bits of one 32-bit word. */
export const BREAKER_WINDOW_MAX = 32;

/**
 * How far a probe's time is drawn from its mean, either way: a thousand lanes that broke at once probe apart.
 */
const PROBE_SPREAD = 0.5;

/**
 * One lane's breaker. Plain and mutable; all times are wall-clock ms.
 *
 *   closed --enough transient failures--> open --success, or any final answer--> closed
 *                                          | ^
 *                                          +-+ a probe failed: the next one waits twice as long
 *
 * Open, the lane sends nothing but probes, each at `probeAt` or later. The outcome of an attempt that was in
 * flight when the breaker opened comes before `probeAt`, and so is known not to be a probe's.
 */
export interface Breaker {
  isOpen: boolean;
  /** When the next probe may go; 0 while closed. */
  probeAt: number;
  /** Mean delay that `probeAt` was last drawn from, ms; 0 while closed. */
  probeDelayMs: number;
  /** Time of the first failure since the last success, also while closed: `disable_after` counts from it. */
  failingSince: number | null;
  /** When it first opened since the last success, also while it is closed again after a final answer. */
  openedAt: number | null;
  /** The different deliveries that failed since the last answer; `consecutive` at most, null when none. */
  failedIds: DeliveryId[] | null;
  /** Last outcomes, newest in the lowest bit, 1 for a failure. */
  outcomes: number;
  outcomeCount: number;
}

/** What must outlive a restart. */
export type BreakerSnapshot = Pick<
  Breaker,
  "isOpen" | "probeAt" | "probeDelayMs" | "failingSince" | "openedAt"
>;

export type BreakerTransition = "opened" | "closed" | null;

export function createBreaker(): Breaker {
  return {
    isOpen: false,
    probeAt: 0,
    probeDelayMs: 0,
    failingSince: null,
    openedAt: null,
    failedIds: null,
    outcomes: 0,
    outcomeCount: 0,
  };
}

/** A success closes the breaker, and ends what `failingSince` and `openedAt` tell of. */
export function recordSuccess(state: Breaker): BreakerTransition {
  state.failingSince = null;
  state.openedAt = null;
  return recordAnswer(state);
}

/**
 * A permanent failure (a 404, say): the receiver answers, so the breaker counts it as health and closes. It
 * is no success: `failingSince` stays, or starts.
 */
export function recordPermanent(state: Breaker, now: number): BreakerTransition {
  state.failingSince ??= now;
  return recordAnswer(state);
}

/**
 * A transient failure of one attempt. Retries of one delivery count once towards `consecutive`, so that one
 * poisoned delivery does not stop its lane; they count each towards the window. `random` gives [0, 1).
 */
export function recordFailure(
  state: Breaker,
  policy: BreakerPolicy,
  deliveryId: DeliveryId,
  now: number,
  random: () => number,
): BreakerTransition {
  state.failingSince ??= now;
  if (state.isOpen) {
    if (isProbeDue(state, policy, now)) {
      const delayMs = Math.min(Math.max(state.probeDelayMs, policy.probeMs) * 2, policy.probeMaxMs);
      scheduleProbe(state, delayMs, now, random);
    }
    return null;
  }
  countOutcome(state, 1);
  const isInARow = countFailedId(state, deliveryId, policy.consecutive);
  if (!isInARow && !isRatioReached(state, policy)) return null;
  state.isOpen = true;
  state.openedAt ??= now;
  state.failedIds = null;
  state.outcomes = 0;
  state.outcomeCount = 0;
  scheduleProbe(state, policy.probeMs, now, random);
  return "opened";
}

/**
 * Whether an open breaker lets a probe go now. A `probeAt` further ahead than any draw can be means that the
 * wall clock was set back: then the probe goes, rather than the lane waiting for the clock to catch up.
 */
export function isProbeDue(state: Breaker, policy: BreakerPolicy, now: number): boolean {
  if (now >= state.probeAt) return true;
  const meanMs = Math.max(state.probeDelayMs, policy.probeMs, policy.probeMaxMs);
  return state.probeAt - now > meanMs * (1 + PROBE_SPREAD) + 1;
}

/** The longest wait between probes was made shorter: a probe that is further ahead is drawn again. */
export function shortenProbe(state: Breaker, policy: BreakerPolicy, now: number, random: () => number): void {
  if (state.isOpen && state.probeDelayMs > policy.probeMaxMs) {
    scheduleProbe(state, policy.probeMaxMs, now, random);
  }
}

/**
 * Of a breaker that was not there when its probe was due, as of a process that was down: the probe is drawn anew, within so
 * long. All of them at once would be what `PROBE_SPREAD` is against.
 */
export function spreadProbe(state: Breaker, now: number, withinMs: number, random: () => number): void {
  if (isOverdue(state, now)) state.probeAt = now + Math.round(withinMs * random());
}

export function isOverdue({ isOpen, probeAt }: Pick<Breaker, "isOpen" | "probeAt">, now: number): boolean {
  return isOpen && probeAt <= now;
}

export function exportBreaker(state: Breaker): BreakerSnapshot {
  const { isOpen, probeAt, probeDelayMs, failingSince, openedAt } = state;
  return { isOpen, probeAt, probeDelayMs, failingSince, openedAt };
}

/** A breaker as it was exported (by an older hookd without `openedAt`); what led up to an opening starts anew. */
export function importBreaker(
  snapshot: Omit<BreakerSnapshot, "openedAt"> & Partial<BreakerSnapshot>,
): Breaker {
  const { isOpen, probeAt, probeDelayMs, failingSince, openedAt } = snapshot;
  return {
    ...createBreaker(),
    isOpen,
    probeAt,
    probeDelayMs,
    failingSince,
    openedAt: openedAt ?? (isOpen ? failingSince : null),
  };
}

function recordAnswer(state: Breaker): BreakerTransition {
  state.failedIds = null;
  if (!state.isOpen) {
    countOutcome(state, 0);
    return null;
  }
  state.isOpen = false;
  state.probeAt = 0;
  state.probeDelayMs = 0;
  return "closed";
}

function countOutcome(state: Breaker, bit: 0 | 1): void {
  state.outcomes = ((state.outcomes << 1) | bit) >>> 0;
  if (state.outcomeCount < BREAKER_WINDOW_MAX) state.outcomeCount += 1;
}

/** Adds to the deliveries that failed in a row; true once there are enough different ones. */
function countFailedId(state: Breaker, deliveryId: DeliveryId, consecutive: number): boolean {
  state.failedIds ??= [];
  if (!state.failedIds.includes(deliveryId)) state.failedIds.push(deliveryId);
  return state.failedIds.length >= consecutive;
}

function isRatioReached(state: Breaker, policy: BreakerPolicy): boolean {
  const window = Math.min(policy.window, BREAKER_WINDOW_MAX);
  if (state.outcomeCount < window) return false;
  return countBits(state.outcomes & (0xffff_ffff >>> (BREAKER_WINDOW_MAX - window))) >= policy.ratio * window;
}

function countBits(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/** Draws from [0.5, 1.5] times the mean. */
function scheduleProbe(state: Breaker, meanMs: number, now: number, random: () => number): void {
  state.probeDelayMs = meanMs;
  state.probeAt = now + Math.round(meanMs * (1 - PROBE_SPREAD + 2 * PROBE_SPREAD * random()));
}
