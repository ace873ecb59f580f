import type { Config } from "../config/config.ts";
import { concurrencyOf, firstDueAt, type Lane, NEVER, sendableAt } from "./lane.ts";
import type { LaneLive } from "./port.ts";

const IDLE: LaneLive = {
  breaker: "closed",
  inFlight: 0,
  concurrency: null,
  backlog: 0,
  oldestDueAt: null,
  parkedUntil: null,
  successRate: null,
  p50Ms: null,
  p99Ms: null,
  lastError: null,
};

/** What a lane looks like from outside. A webhook without a lane has had nothing to do for a while. */
export function laneLive(lane: Lane | undefined, now: number, nowMono: number, config: Config): LaneLive {
  if (!lane) return IDLE;
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
