import type { Config } from "../config/config.ts";
import type { Webhook } from "../domain/webhook.ts";
import { concurrencyOf, createLane, firstDueAt, type Lane, NEVER, sendableAt } from "./lane.ts";
import type { LaneLive } from "./port.ts";

/** Of a webhook that is not there. */
const NONE: LaneLive = {
  concurrency: 0,
  breaker: "closed",
  inFlight: 0,
  backlog: 0,
  oldestDueAt: null,
  parkedUntil: null,
  successRate: null,
  p50Ms: null,
  p99Ms: null,
  lastError: null,
};

/**
 * What a lane looks like from outside. A webhook without a lane has had nothing to do for a while: it is as the lane that
 * it would be given.
 */
export function laneLive(
  known: Lane | undefined,
  webhook: Webhook | undefined,
  now: number,
  nowMono: number,
  config: Config,
): LaneLive {
  const lane = known ?? (webhook && createLane(webhook, nowMono));
  if (!lane) return NONE;
  const oldestDueAt = firstDueAt(lane);
  const sendable = sendableAt(lane, config.breaker, now, nowMono);
  return {
    breaker: lane.breaker.isOpen ? "open" : "closed",
    inFlight: lane.inFlight,
    backlog: lane.pending + lane.retrying,
    oldestDueAt: oldestDueAt === NEVER ? null : oldestDueAt,
    concurrency: concurrencyOf(lane, config.delivery.concurrencyMax, nowMono),
    parkedUntil: sendable > now && sendable !== NEVER ? Math.ceil(sendable) : null,
    ...lane.recent.summary(nowMono),
    lastError: lane.lastError,
  };
}
