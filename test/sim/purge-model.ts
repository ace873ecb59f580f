import { attemptsMax } from "../../src/domain/retry.ts";
import type { DeliveryEntry, Moment } from "./ledger.ts";
import type { Simulation } from "./simulation.ts";

/** Somebody had the dead deliveries of a webhook deleted, and was not refused. */
export interface Purge {
  readonly webhookId: number;
  /** Deliveries are older than the job; infinite where the process ended before it was told. */
  readonly jobId: number;
  /** The director's clock when the job was made: what ends later is not the job's. */
  readonly madeAt: number;
  readonly asked: Moment;
  /** When it was answered, or the process ended: whatever was to be committed before it has been by then. */
  readonly answered: Moment;
}

const ROUNDING_MS = 2;

/** Whether one of the purges may have taken the delivery, which is there no more. */
export function isPurged(sim: Simulation, entry: DeliveryEntry): boolean {
  return sim.purges.some((purge) => isTakenBy(sim, entry, purge));
}

/**
 * It was dead by then, by its own record; or it may have died between the last look at the disk and the making
 * of the job, of something that happened to it before that.
 */
function isTakenBy(sim: Simulation, entry: DeliveryEntry, purge: Purge): boolean {
  const { kept } = entry;
  if (entry.webhookId !== purge.webhookId || entry.id >= purge.jobId) return false;
  if (kept?.status === "dead" && (kept.completedAt ?? 0) <= purge.madeAt) return true;
  if (kept?.status === "success" && !entry.isMoved) return false;
  const seen = kept === null ? entry.since : sim.lastLook;
  // A life that began with an earlier clock may date an end before the purge.
  const earliest = seen.now - (sim.world.regressMs - seen.regressMs);
  return earliest <= purge.answered.now && mayHaveDied(sim, entry, purge);
}

function mayHaveDied(sim: Simulation, entry: DeliveryEntry, purge: Purge): boolean {
  const { ageMaxMs } = sim.world.config.delivery;
  const isOld = sim.ledger.elapsedMs(entry.since, purge.asked) >= ageMaxMs - ROUNDING_MS;
  const mayOverflow = entry.kept === null && sim.ledger.events.get(entry.n)?.isBroadcast === true;
  const wasOff = sim.lanes.get(entry.webhookId).wasOff;
  return isOld || mayOverflow || wasOff || entry.isCancelAsked || hasFailed(sim, entry, purge);
}

/** Its last attempt ended it, by then, and that was not on the disk when that was looked at. */
function hasFailed(sim: Simulation, { last, kept }: DeliveryEntry, purge: Purge): boolean {
  if (!last?.ended || last.ended.now > purge.madeAt || last.number <= (kept?.attemptCount ?? 0)) return false;
  switch (last.verdict) {
    case "retry":
    case "lost": {
      const roundStart = kept?.roundStart ?? last.roundStart ?? 0;
      return last.number - roundStart >= attemptsMax(sim.world.config.retry.policy);
    }
    case "permanent":
    case "gone":
    case "blocked":
      return true;
    case "success":
    case null:
      return false;
  }
}
