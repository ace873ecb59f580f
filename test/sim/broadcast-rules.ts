import type { WebhookId } from "../../src/domain/ids.ts";
import type { PublishResult } from "../../src/engine/port.ts";
import type { EventEntry } from "./ledger.ts";
import type { Simulation } from "./simulation.ts";

/**
 * Broadcasts that were handed over, and may still be expanded, each with the webhooks whose delivery may have
 * come, ended and been deleted between two looks at the disk.
 */
export type OpenBroadcasts = Map<EventEntry, Set<WebhookId>>;

/** A new event's answer names one delivery for each webhook that it goes to, or the job that will make them. */
export function checkAnswer(sim: Simulation, event: EventEntry, result: PublishResult): void {
  if (result.isDuplicate) return;
  const { webhookIds, isBroadcast, n } = event;
  const isByJob = isBroadcast && webhookIds.length > sim.world.config.limits.fanoutMax;
  const wanted = isByJob ? [] : webhookIds;
  const told = result.deliveries.map(({ webhookId }) => webhookId);
  const isSame = told.length === wanted.length && wanted.every((id) => told.includes(id));
  if (isSame && result.deliveryCount === wanted.length && (result.fanOut !== null) === isByJob) return;
  const answer = `${result.deliveryCount} deliveries, to ${told.join(", ") || "none"}, and job ${result.fanOut}`;
  sim.say("a 202 names a delivery for each webhook", `event ${n} for ${webhookIds.join(", ")} has ${answer}`);
}

/**
 * Call when no job runs, after a look. The simulation's webhooks are neither made nor deleted after the first
 * event, nor given another pattern: a broadcast is for those that it found. One that is off or full has a
 * delivery too, a dead one.
 */
export function checkBroadcasts(sim: Simulation): void {
  for (const [event, excused] of sim.broadcasts) {
    if (event.state === "asked") continue;
    sim.broadcasts.delete(event);
    const missing = event.webhookIds.filter((id) => !sim.ledger.isHeardOf(event, id));
    // Its answer never came, and it was not stored.
    const isNowhere = missing.length === event.webhookIds.length;
    if (event.state === "refused" || (event.state === "unknown" && isNowhere)) continue;
    for (const id of missing.filter((one) => !excused.has(one))) {
      sim.say(
        "a broadcast reaches every webhook that it was for",
        `event ${event.n} has no delivery to ${id}`,
      );
    }
  }
}

/** Between the looks there was time enough to delete what had died. */
export function excuseRetained(sim: Simulation): void {
  if (sim.ledger.elapsedMs(sim.lastLook) < sim.world.config.retention.deadMs) return;
  for (const [event, excused] of sim.broadcasts) for (const id of event.webhookIds) excused.add(id);
}

/** What is dead from its beginning may be purged before anybody sees it. */
export function excusePurged(sim: Simulation, webhookId: WebhookId): void {
  for (const excused of sim.broadcasts.values()) excused.add(webhookId);
}
