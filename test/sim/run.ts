import { type Action, drawAction, quietly } from "./actions.ts";
import { checkAnswer, checkBroadcasts } from "./broadcast-rules.ts";
import { comeBack } from "./crashes.ts";
import { QUICK } from "./faulty-store.ts";
import type { Plant } from "./plants.ts";
import { planted } from "./plants.ts";
import { moodOf } from "./receiver-moods.ts";
import { Simulation, type Violation } from "./simulation.ts";
import { checkStep } from "./step-rules.ts";
import { checkNobodyForgotten } from "./stuck-rule.ts";

export interface RunOptions {
  readonly seed: number;
  /** Simulated; the end, in which everything heals and drains, comes on top. */
  readonly hours: number;
  readonly store: "memory" | "sqlite";
  readonly plant: Plant | null;
  readonly trace?: (line: string) => void;
}

export interface RunReport {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly lastSteps: readonly string[];
  readonly counts: RunCounts;
}

/** What the run went through. */
export interface RunCounts {
  readonly steps: number;
  readonly hours: number;
  readonly deliveries: number;
  readonly attempts: number;
  readonly crashes: number;
  readonly behaviourChanges: number;
}

/** What every run goes through at least. */
export const LEAST = { deliveries: 1_000, crashes: 20, behaviourChanges: 5 } as const;

/** What tells of the run and not of the director: an error of the simulation's own, and too little that happened. */
export const ENDS = "the simulation ends";
export const GOES_THROUGH_ENOUGH = "a run goes through enough";

const HOUR_MS = 3_600_000;
/** The run goes on where it has not yet been through enough. */
const STEPS = 300;
const STEPS_MAX = 1_200;
const LAST_STEPS = 12;
const WEBHOOKS_MAX = 24;
/** How often SQLite's disk is read as a whole; memory's is after each step. */
const SQLITE_LOOK_STEPS = 25;
const STUCK_LOOK_STEPS = 6;

/**
 * One seed: a world, some hundreds of steps with all rules checked after each, and an end in which all heals.
 */
export async function simulate(options: RunOptions): Promise<RunReport> {
  const plant = planted(options.plant, options.seed);
  const steps: string[] = [];
  const trace = (line: string) => {
    steps.push(line);
    if (steps.length > LAST_STEPS * 4) steps.splice(0, LAST_STEPS * 2);
    options.trace?.(line);
  };
  const sim = new Simulation({ ...options, plant, trace });
  let stepCount = 0;
  try {
    stepCount = await live(sim, options.hours);
    if (sim.wrong.length === 0) await heal(sim);
    if (sim.wrong.length === 0) await end(sim);
  } catch (error) {
    sim.say(ENDS, error instanceof Error ? (error.stack ?? error.message) : String(error));
  } finally {
    plant.remove();
    if (sim.world.isRunning) sim.world.crash();
    sim.world.disk.dispose();
  }
  return {
    seed: options.seed,
    violations: sim.wrong,
    lastSteps: steps.slice(-LAST_STEPS),
    counts: { steps: stepCount, ...countsOf(sim) },
  };
}

function countsOf(sim: Simulation): Omit<RunCounts, "steps"> {
  return {
    hours: sim.world.time.mono() / HOUR_MS,
    deliveries: sim.ledger.accepted.length,
    attempts: sim.ledger.attempts,
    crashes: sim.world.crashes,
    behaviourChanges: sim.behaviourChanges,
  };
}

function isEnough(sim: Simulation): boolean {
  const counts = countsOf(sim);
  return (
    counts.deliveries >= LEAST.deliveries &&
    counts.crashes >= LEAST.crashes &&
    counts.behaviourChanges >= LEAST.behaviourChanges
  );
}

async function live(sim: Simulation, hours: number): Promise<number> {
  await sim.world.start();
  await register(sim);
  const meanMs = (hours * HOUR_MS) / STEPS;
  let step = 0;
  // In the first part anything may happen; after it, more of what gets events accepted.
  while (sim.wrong.length === 0 && (step < STEPS || !isEnough(sim))) {
    step += 1;
    if (step > STEPS_MAX) {
      sim.say(GOES_THROUGH_ENOUGH, JSON.stringify(countsOf(sim)));
      break;
    }
    await doStep(sim, drawAction(sim, step > STEPS && sim.dice.chance(0.5)));
    await comeBack(sim);
    await sim.world.advance(drawPause(sim, meanMs));
    await comeBack(sim);
    if (step % STUCK_LOOK_STEPS === 0) await checkNobodyForgotten(sim);
    // The disk may have failed meanwhile.
    await comeBack(sim);
    await checkStep(sim, sim.world.disk.direct !== null || step % SQLITE_LOOK_STEPS === 0);
  }
  return step;
}

async function doStep(sim: Simulation, action: Action): Promise<void> {
  sim.trace(`${(sim.world.time.mono() / 1000).toFixed(3)} ${action.name}`);
  await action.run(sim);
}

/** Mostly a few moments, now and then a long time: the cube of an exponential has six times its mean. */
function drawPause({ dice }: Simulation, meanMs: number): number {
  return Math.floor((meanMs / 6) * (-Math.log(1 - dice.random())) ** 3);
}

async function register(sim: Simulation): Promise<void> {
  const { dice, world } = sim;
  const count = 3 + dice.below(dice.pick([4, WEBHOOKS_MAX]));
  for (let n = 0; n < count; n += 1) {
    const webhook = await world.call(
      world.director.createWebhook({
        userId: `user${n % 5}`,
        eventId: `event.n${Math.floor(n / 5)}`,
        callbackUrl: "https://receiver.example/hook",
        description: null,
        metadata: {},
        sealed: new Uint8Array(0),
        headerNames: [],
        isActive: true,
        rateLimit: dice.chance(0.2) ? { perSecond: 5, burst: 1 + dice.below(5) } : null,
        concurrencyMax: dice.chance(0.4) ? 1 + dice.below(6) : null,
        timeoutMs: null,
        retry: null,
        permanent: null,
        ordering: dice.chance(0.25) ? "fifo" : "none",
      }),
    );
    sim.webhooks.push(webhook);
    sim.lanes.add(webhook);
    world.receivers.set(webhook.id, moodOf(dice, world.config.delivery.timeoutMs).behaviour);
  }
}

/** From now on all receivers answer, the disk takes everything, and nobody stands in the way. */
async function heal(sim: Simulation): Promise<void> {
  const { world } = sim;
  sim.trace("heal");
  world.faults.mood = QUICK;
  world.faults.failsNext = null;
  world.freeBytes = Number.MAX_SAFE_INTEGER;
  // A wall clock that was set back delays what was due by the one before.
  world.jump(world.aheadMaxMs - (world.forwardMs - world.backwardMs));
  // The store and the disk are tried again every quarter of a second.
  await world.advance(1_000);
  for (const webhook of sim.webhooks) {
    world.receivers.set(webhook.id, { afterMs: 5 });
    sim.lanes.get(webhook.id).pausedSince = null;
    await quietly(sim, world.director.updateWebhook(webhook.id, { isPaused: false, isActive: true }));
  }
  await drain(sim);
}

const DRAIN_LOOK_MS = 10_000;
const DRAIN_MAX_MS = 2 * HOUR_MS;

async function drain(sim: Simulation): Promise<void> {
  const { world } = sim;
  const deadline = world.time.mono() + DRAIN_MAX_MS;
  while (world.time.mono() < deadline && sim.wrong.length === 0) {
    await world.advance(DRAIN_LOOK_MS);
    const { gauges } = await world.director.stats();
    if ((gauges.hookd_queue_depth ?? 0) + (gauges.hookd_jobs_running ?? 0) === 0) return;
  }
}

/** Every lane still delivers, and nothing is open: no slot, share or wake-up was lost on the way. */
async function end(sim: Simulation): Promise<void> {
  const { world, ledger } = sim;
  for (const webhook of sim.webhooks) {
    const entry = ledger.ask(true, [webhook.id], false);
    ledger.handedOver(entry);
    const { userId, eventId } = webhook;
    const payload = Buffer.from(`{"n":${entry.n}}`);
    const request = {
      userId,
      eventId,
      uid: entry.uid,
      contentType: "application/json",
      payload,
      trace: null,
    };
    const result = await world.call(world.director.publish({ ...request, targets: [webhook.id] }));
    checkAnswer(sim, entry, result);
    ledger.accept(entry, result.deliveries);
  }
  await drain(sim);
  await checkStep(sim, true);
  checkBroadcasts(sim);
  for (const { id, kept, isGone } of ledger.accepted) {
    const isOpen = kept?.status === "pending" || kept?.status === "retrying";
    if (isOpen && !isGone) sim.say("everything drains", `delivery ${id} is ${kept.status}`);
  }
  const { gauges } = await world.director.stats();
  for (const name of ["hookd_queue_depth", "hookd_in_flight", "hookd_lanes_ready", "hookd_jobs_running"]) {
    if (gauges[name] !== 0) sim.say("everything drains", `${name} is ${gauges[name]}`);
  }
  if (world.receivers.inFlightInAll > 0) sim.say("everything drains", "attempts are in flight");
}
