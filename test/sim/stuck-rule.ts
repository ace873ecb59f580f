import type { WebhookId } from "../../src/domain/ids.ts";
import type { Simulation } from "./simulation.ts";

/** A wake-up may be late by a sleep of the director's, a second. */
const PATIENCE_MS = 2_500;
/** Fewer attempts in flight than any share of the slots is. */
const BUSY = 2;

/** Whoever is due, and held back by nothing, is sent: no lane waits for a wake-up that does not come. */
export async function checkNobodyForgotten(sim: Simulation): Promise<void> {
  const { world } = sim;
  if (!world.disk.direct || !world.isRunning) return;
  const before = await waitingInVain(sim);
  if (before.size === 0) return;
  await world.advance(PATIENCE_MS);
  if (!world.isRunning) return;
  const after = await waitingInVain(sim);
  for (const [webhookId, deliveryId] of after) {
    if (before.get(webhookId) !== deliveryId) continue;
    sim.say(
      "no lane with due work is forgotten",
      `delivery ${deliveryId} of ${webhookId} is due, and its lane idle for ${PATIENCE_MS} ms`,
    );
  }
}

/** Idle lanes that nothing holds back, each with a delivery that is due, while there are slots. */
async function waitingInVain(sim: Simulation): Promise<Map<WebhookId, number>> {
  const { world, lanes } = sim;
  const found = new Map<WebhookId, number>();
  const isQuiet = world.faults.waiting === 0 && world.director.refusal === null;
  if (!isQuiet || world.receivers.inFlightInAll >= BUSY) return found;
  const ids = [...lanes.lanes.keys()];
  const live = await world.director.live(ids);
  ids.forEach((id, index) => {
    const lane = lanes.get(id);
    const isPaused = world.disk.direct?.webhook(id)?.isPaused;
    const isHeld = isPaused || live[index]?.parkedUntil !== null;
    if (isHeld || (world.receivers.inFlight.get(id) ?? 0) > 0) return;
    const due = firstDue(sim, id, lane.isFifo);
    if (due !== null) found.set(id, due);
  });
  return found;
}

function firstDue(sim: Simulation, id: WebhookId, isFifo: boolean): number | null {
  const now = sim.world.clock.now();
  const all = [...(sim.world.disk.direct?.openOf(id) ?? [])];
  const hasRetry = all.some(({ status }) => status === "retrying");
  const due = all.find(
    ({ status, dueAt }) => (dueAt ?? 0) <= now && (!isFifo || !hasRetry || status === "retrying"),
  );
  return due?.id ?? null;
}
