import type { Action } from "./actions.ts";
import { QUICK } from "./faulty-store.ts";
import type { Simulation } from "./simulation.ts";
import { Died } from "./world.ts";

/** The moments of a commit that crashes are to come into, ms. */
const MOMENT_MAX_MS = 60;
const DOWN_MAX_MS = 120_000;

export const crashActions: readonly (readonly [weight: number, choice: Action])[] = [
  [3, { name: "crash", run: crash }],
  [5, { name: "crash in a commit", run: crashInCommit }],
  [2, { name: "the disk fails", run: failDisk }],
  [2, { name: "restart", run: restart }],
];

async function crash({ world }: Simulation): Promise<void> {
  world.crash();
}

/** While new events and outcomes are on their way to the disk, or their answer on its way back. */
async function crashInCommit({ world, dice }: Simulation): Promise<void> {
  const half = 1 + dice.below(MOMENT_MAX_MS);
  world.faults.mood = { ...QUICK, beforeMs: () => dice.below(half), afterMs: () => dice.below(half) };
  await world.advance(dice.below(MOMENT_MAX_MS));
  if (world.isRunning) world.crash();
}

/** The commit after this one ends the process: it is not known whether it was done. */
async function failDisk({ world, dice }: Simulation): Promise<void> {
  world.faults.failsNext = dice.chance(0.5) ? "before" : "after";
}

async function restart({ world }: Simulation): Promise<void> {
  try {
    await world.stop();
  } catch (error) {
    if (!(error instanceof Died)) throw error;
  }
}

/** The process comes back, sometimes after a while, and sometimes at the second try. */
export async function comeBack(sim: Simulation): Promise<void> {
  const { world, dice } = sim;
  while (!world.isRunning) {
    if (dice.chance(0.3)) await world.advance(dice.below(DOWN_MAX_MS));
    try {
      const started = world.begin();
      if (dice.chance(0.1)) {
        // It dies while it reads what was left.
        started.catch(() => undefined);
        world.faults.mood = { ...QUICK, beforeMs: () => 10 };
        await world.advance(dice.below(40));
        world.crash();
        continue;
      }
      await world.call(started);
      await sim.readWebhooks();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
  }
}
