import {
  type Breaker,
  type BreakerPolicy,
  createBreaker,
  exportBreaker,
  isProbeDue,
} from "../domain/breaker.ts";
import type { WebhookId } from "../domain/ids.ts";
import { createRamp, type Ramp } from "../domain/ramp.ts";
import { type Bucket, createBucket, nextTokenAtMono } from "../domain/rate-limit.ts";
import type { Webhook } from "../domain/webhook.ts";
import { Recent } from "./recent.ts";

/** Nothing is due. */
export const NEVER = Number.POSITIVE_INFINITY;

/**
 * All open deliveries of one webhook, as the director sees them: how many wait on disk and when the first is due, how
 * many are in flight, and what holds the lane back. Parking is only this state: no delivery is touched.
 *
 *   idle     nothing waits
 *   waiting  what waits is due later                              -> ready at that time
 *   parked   paused, breaker open, rate limit, Retry-After, hung  -> ready at that time, or when resumed
 *   full     as many in flight as its concurrency allows          -> ready when one ends
 *   silent   some in flight, and no answer to any for long        -> ready when one ends
 *   ready    due work, and room for it: it stands in the queue for a slot
 */
export interface Lane {
  readonly webhookId: WebhookId;
  webhook: Webhook;
  /** Deliveries on disk that no one holds, of each queue. Below 0 for a moment where changes are counted late. */
  pending: number;
  retrying: number;
  /** A time no later than the first of each is due; NEVER when there is none. */
  pendingDueAt: number;
  retryingDueAt: number;
  /** A time no later than the first of those that retry was queued; NEVER when there is none. */
  retryingQueuedAt: number;
  /** Deliveries of commits on their way that will wait: the next commit's must not overtake them in a fifo lane. */
  arriving: number;
  inFlight: number;
  retriesInFlight: number;
  /** When the receiver last answered in any way, or the first of those in flight began; monotonic. */
  heardMono: number;
  /** What the receiver mostly takes to answer well, ms: a moving mean. */
  usualMs: number;
  breaker: Breaker;
  ramp: Ramp;
  bucket: Bucket | null;
  /** Asked for by the receiver: nothing goes before, wall clock. */
  holdUntil: number;
  /** It hung: its turn to be tried again, so that those that hang together are not all tried at once. Wall clock. */
  turnAt: number;
  /** Earliest time for which a wake-up is set; NEVER without. */
  wakeAt: number;
  /** It stands in the queue for a slot. */
  isQueued: boolean;
  /** Version of the webhook that its sender was told; 0: none. */
  targetVersion: number;
  readonly recent: Recent;
  lastError: { readonly at: number; readonly error: string } | null;
  lastUsedMono: number;
  /** The breaker's state as it is stored: written again when it differs. */
  storedState: string | null;
  /** Careful time from which deliveries that have grown too old are looked for again. */
  sweepAt: number;
}

export function createLane(webhook: Webhook, nowMono: number): Lane {
  return {
    webhookId: webhook.id,
    webhook,
    pending: 0,
    retrying: 0,
    pendingDueAt: NEVER,
    retryingDueAt: NEVER,
    retryingQueuedAt: NEVER,
    arriving: 0,
    inFlight: 0,
    retriesInFlight: 0,
    heardMono: nowMono,
    usualMs: 0,
    breaker: createBreaker(),
    ramp: createRamp(),
    bucket: webhook.rateLimit ? createBucket(webhook.rateLimit, nowMono) : null,
    holdUntil: 0,
    turnAt: 0,
    wakeAt: NEVER,
    isQueued: false,
    targetVersion: 0,
    recent: new Recent(),
    lastError: null,
    lastUsedMono: nowMono,
    storedState: null,
    sweepAt: 0,
  };
}

export function isOn(webhook: Webhook): boolean {
  return webhook.isActive && webhook.deletedAt === null;
}

/** Of a queue in which nothing waits, nothing is due. */
export function forgetEmptyQueues(lane: Lane): void {
  if (lane.pending <= 0) lane.pendingDueAt = NEVER;
  if (lane.retrying > 0) return;
  lane.retryingDueAt = NEVER;
  lane.retryingQueuedAt = NEVER;
}

/** The first time at which anything of the lane is due; NEVER when nothing waits. */
export function firstDueAt(lane: Lane): number {
  const retryingDueAt = lane.retrying > 0 ? lane.retryingDueAt : NEVER;
  if (lane.webhook.ordering === "fifo" && lane.retrying > 0) return retryingDueAt;
  return Math.min(lane.pending > 0 ? lane.pendingDueAt : NEVER, retryingDueAt);
}

/** A receiver from which nothing has come for so long, and so many times what it usually takes, is silent... */
const SILENT_MS = 500;
const SILENT_FACTOR = 8;
/** ...and has no more than this in flight, whatever its concurrency was. */
const SILENT_CONCURRENCY = 2;

/**
 * Attempts are in flight, and no answer comes. A timeout takes 15 s to tell that a receiver hangs, and in that time its
 * lane, which has shown successes, would fill every slot there is: so it is held back as soon as it is silent.
 */
export function isSilent(lane: Lane, nowMono: number): boolean {
  return (
    lane.inFlight >= SILENT_CONCURRENCY &&
    nowMono - lane.heardMono > Math.max(SILENT_MS, lane.usualMs * SILENT_FACTOR)
  );
}

/** How many attempts the lane may have in flight now, its holds aside. */
export function concurrencyOf(lane: Lane, concurrencyMax: number, nowMono: number): number {
  if (lane.webhook.ordering === "fifo") return 1;
  if (lane.breaker.isOpen) return 1;
  if (isSilent(lane, nowMono)) return SILENT_CONCURRENCY;
  return Math.max(1, Math.min(lane.ramp.limit, lane.webhook.concurrencyMax ?? concurrencyMax));
}

/** Until when its receiver has the lane wait: by a Retry-After, or since it hung. In the past: it does not. */
export function heldUntil(lane: Lane): number {
  return Math.max(lane.holdUntil, lane.turnAt);
}

/** When the lane's own rules let it send: now or earlier, a time to come, or NEVER while it is paused. */
export function sendableAt(lane: Lane, policy: BreakerPolicy, now: number, nowMono: number): number {
  if (lane.webhook.isPaused && isOn(lane.webhook)) return NEVER;
  let at = heldUntil(lane);
  if (lane.breaker.isOpen && !isProbeDue(lane.breaker, policy, now)) at = Math.max(at, lane.breaker.probeAt);
  if (lane.bucket) at = Math.max(at, now + nextTokenAtMono(lane.bucket, nowMono) - nowMono);
  return at;
}

/** Forgets what is held against the receiver: it is another one now, or has been mended. */
export function resetHealth(lane: Lane): void {
  lane.breaker = createBreaker();
  lane.holdUntil = 0;
  lane.turnAt = 0;
}

/** The lane's state for the store; null when there is nothing to remember. */
export function stateOf(lane: Lane): string | null {
  const { breaker } = lane;
  if (!breaker.isOpen && breaker.failingSince === null) return null;
  return JSON.stringify(exportBreaker(breaker));
}

/** Nothing waits, nothing is in flight, nothing to remember: the lane can be forgotten. */
export function isForgettable(lane: Lane, now: number, nowMono: number): boolean {
  return (
    lane.pending === 0 &&
    lane.retrying === 0 &&
    lane.arriving === 0 &&
    lane.inFlight === 0 &&
    !lane.isQueued &&
    !lane.breaker.isOpen &&
    lane.breaker.failingSince === null &&
    lane.storedState === null &&
    heldUntil(lane) <= now &&
    (lane.bucket === null || isFull(lane.bucket, nowMono))
  );
}

/** A new bucket would give no more than this one. */
function isFull(bucket: Bucket, nowMono: number): boolean {
  return bucket.tokens + ((nowMono - bucket.atMono) * bucket.perSecond) / 1000 >= bucket.burst;
}
