import type { DeliveryId } from "../../src/domain/ids.ts";
import { Problem } from "../../src/domain/problem.ts";
import type { Outcome } from "../../src/sender/port.ts";
import { excusePurged } from "./broadcast-rules.ts";
import { crashActions } from "./crashes.ts";
import { QUICK, type StoreMood } from "./faulty-store.ts";
import type { LaneEntry } from "./lane-model.ts";
import type { DeliveryEntry, Try } from "./ledger.ts";
import { publish, publishAction, publishActions } from "./publishers.ts";
import { moodOf } from "./receiver-moods.ts";
import type { Simulation } from "./simulation.ts";
import { checkDisk } from "./step-rules.ts";
import { Died } from "./world.ts";

/** One thing that happens, by name. */
export interface Action {
  readonly name: string;
  run(sim: Simulation): Promise<unknown>;
}

type Weighed = readonly (readonly [weight: number, choice: Action])[];

const SECOND = 1_000;
const HOUR = 3_600_000;
/** A message of a sender that died comes at most so late. */
const LATE_MAX_MS = 20 * SECOND;
/** Between a hand-over and the death of the sender that got it. */
const BUSY_MAX_MS = 200;

/** What receivers, owners, users, senders, clocks and disks do. */
const ACTIONS: Weighed = [
  ...publishActions,
  ...crashActions,
  [12, { name: "a receiver changes", run: changeReceiver }],
  [2, { name: "pause", run: pause }],
  [4, { name: "resume", run: resume }],
  [2, { name: "cap", run: changeCap }],
  [1, { name: "new url", run: changeUrl }],
  [1, { name: "off", run: (sim) => update(sim, sim.pickLane(), { isActive: false }) }],
  [4, { name: "on", run: switchOn }],
  [2, { name: "cancel", run: cancel }],
  [2, { name: "retry", run: retry }],
  [2, { name: "replay", run: replay }],
  [0.5, { name: "purge", run: purge }],
  [3, { name: "lose a sender", run: loseSender }],
  [2, { name: "the store's mood", run: changeMood }],
  [3, { name: "the store is well", run: mendStore }],
  [1, { name: "little disk is left", run: fillDisk }],
  [2, { name: "much disk is left", run: emptyDisk }],
  [2, { name: "the clock jumps", run: jump }],
];

/** What gets events accepted, where backlogs are full and webhooks off. */
const MENDING: Weighed = [
  [4, publishAction],
  [2, { name: "on", run: switchOn }],
  [2, { name: "resume", run: resume }],
  [1, { name: "the store is well", run: mendStore }],
  [1, { name: "much disk is left", run: emptyDisk }],
  [1, { name: "a receiver is well", run: mendReceiver }],
];

export function drawAction(sim: Simulation, isMending: boolean): Action {
  return sim.dice.weighed(isMending ? MENDING : ACTIONS);
}

/** What a user asks may be refused, or die with the process. */
export async function quietly<T>(sim: Simulation, call: Promise<T>): Promise<T | null> {
  try {
    return await sim.world.call(call);
  } catch (error) {
    if (error instanceof Problem || error instanceof Died) return null;
    throw error;
  }
}

async function changeReceiver(sim: Simulation): Promise<void> {
  const lane = sim.pickLane();
  const mood = moodOf(sim.dice, sim.world.config.delivery.timeoutMs);
  sim.behaviourChanges += 1;
  sim.trace(`  ${lane.id} is ${mood.name}`);
  sim.world.receivers.set(lane.id, mood.behaviour);
}

async function mendReceiver(sim: Simulation): Promise<void> {
  sim.world.receivers.set(sim.pickLane().id, { afterMs: 5 });
}

/** Less than `limits.disk_free`: events are refused. */
async function fillDisk({ world }: Simulation): Promise<void> {
  world.freeBytes = 1_000;
}

async function emptyDisk({ world }: Simulation): Promise<void> {
  world.freeBytes = Number.MAX_SAFE_INTEGER;
}

async function mendStore(sim: Simulation): Promise<void> {
  sim.world.faults.mood = QUICK;
}

function update(sim: Simulation, lane: LaneEntry, changes: object) {
  return quietly(sim, sim.world.director.updateWebhook(lane.id, changes));
}

async function pause(sim: Simulation): Promise<void> {
  const lane = sim.pickLane();
  const after = await update(sim, lane, { isPaused: true });
  if (after?.isActive) lane.pausedSince = sim.world.faults.order;
}

/** Whether it is done or not, nothing is wrong with an attempt from now on. */
async function resume(sim: Simulation): Promise<void> {
  const lane = sim.dice.pick([...sim.lanes.lanes.values()].filter((one) => one.pausedSince !== null));
  if (!lane) return;
  lane.pausedSince = null;
  await update(sim, lane, { isPaused: false });
}

async function changeCap(sim: Simulation): Promise<void> {
  const lane = sim.pickLane();
  const cap = 1 + sim.dice.below(8);
  lane.capBefore = Math.max(cap, lane.cap);
  lane.capSince = Number.POSITIVE_INFINITY;
  const after = await update(sim, lane, { concurrencyMax: cap });
  if (!after) return;
  lane.cap = cap;
  lane.capSince = sim.world.faults.order;
}

function changeUrl(sim: Simulation) {
  return update(sim, sim.pickLane(), { callbackUrl: `https://r${sim.dice.below(9)}.example/` });
}

function switchOn(sim: Simulation) {
  const lane = sim.pickLane();
  const replayDisabled = sim.dice.chance(0.5);
  const switched = () => update(sim, lane, { isActive: true, replayDisabled });
  return replayDisabled ? asked(sim, lane, true, switched) : switched();
}

function pickDelivery(sim: Simulation): DeliveryEntry | undefined {
  return sim.dice.pick(sim.ledger.accepted.slice(-300));
}

async function cancel(sim: Simulation): Promise<void> {
  const entry = pickDelivery(sim);
  if (!entry) return;
  entry.isCancelAsked = true;
  await quietly(sim, sim.world.director.cancelDelivery(entry.id));
}

async function retry(sim: Simulation): Promise<void> {
  const entry = pickDelivery(sim);
  if (!entry) return;
  if (entry.kept?.status !== "success") sim.ledger.reopen(entry);
  await quietly(sim, sim.world.director.retryDelivery(entry.id));
}

async function replay(sim: Simulation): Promise<void> {
  const lane = sim.pickLane();
  const areDeadOnly = !sim.dice.chance(0.3);
  const statuses = areDeadOnly ? (["dead"] as const) : (["dead", "success"] as const);
  const ratePerSecond = sim.dice.chance(0.3) ? 10 : null;
  const select = { webhookId: lane.id, statuses };
  const spec = { kind: "replay", userId: null, select, ratePerSecond } as const;
  await asked(sim, lane, areDeadOnly, () => quietly(sim, sim.world.director.createJob(spec)));
}

/** What the lane's deliveries were, or have become by the time of the answer, may be sent again. */
async function asked(
  sim: Simulation,
  lane: LaneEntry,
  areDeadOnly: boolean,
  call: () => Promise<unknown>,
): Promise<void> {
  const reopen = () => sim.ledger.reopenAll(lane.id, areDeadOnly);
  reopen();
  await call();
  if (!areDeadOnly) {
    lane.replayedMono = sim.world.time.mono();
    lane.replayedNow = sim.world.clock.now();
  }
  reopen();
}

/** Of one webhook, with a look at the disk before: what is open or delivered there is not the purge's. */
async function purge(sim: Simulation): Promise<void> {
  const { world } = sim;
  const { director } = world;
  const { id: webhookId } = sim.pickLane();
  await checkDisk(sim);
  const asked = sim.moment();
  const job = await quietly(sim, director.createJob({ kind: "purge", userId: null, select: { webhookId } }));
  const isRefused = job === null && world.isRunning && world.director === director;
  if (isRefused) return;
  excusePurged(sim, webhookId);
  sim.purges.push({
    webhookId,
    jobId: job?.id ?? Number.POSITIVE_INFINITY,
    madeAt: job?.createdAt ?? asked.now,
    asked,
    answered: sim.moment(),
  });
}

/**
 * While it is busy. What it had in flight counts as lost. Some of it was answered all the same, and that is
 * heard of late.
 */
async function loseSender(sim: Simulation): Promise<void> {
  const { world, ledger, dice } = sim;
  void publish(sim);
  await world.advance(dice.below(BUSY_MAX_MS));
  if (!world.isRunning) return;
  const index = dice.below(world.senders.length);
  const orphans = new Map<DeliveryId, Try>();
  for (const entry of ledger.deliveries.values()) {
    const { last } = entry;
    if (entry.inFlight > 0 && last && !last.ended && last.sender === index) orphans.set(entry.id, last);
  }
  ledger.senderLost(index);
  world.loseSender(index);
  const { director } = world;
  for (const [id, last] of orphans) {
    if (dice.chance(0.5)) continue;
    const isSuccess = dice.chance(0.5);
    world.time.after(dice.below(dice.pick([LATE_MAX_MS / 5, LATE_MAX_MS])), () => {
      if (world.director !== director) return;
      const entry = ledger.deliveries.get(id);
      if (entry && isSuccess) entry.everSucceeded = true;
      world.report([lateOutcome(sim, id, last, isSuccess)]);
    });
  }
}

function lateOutcome(sim: Simulation, id: DeliveryId, last: Try, isSuccess: boolean): Outcome {
  return {
    deliveryId: id,
    token: last.token,
    webhookId: sim.ledger.deliveries.get(id)!.webhookId,
    retryAfterMs: null,
    attempt: {
      number: last.number,
      startedAt: sim.world.time.now(),
      durationMs: 1,
      verdict: isSuccess ? "success" : "retry",
      statusCode: isSuccess ? 200 : 500,
      error: null,
      excerpt: null,
    },
  };
}

async function changeMood({ world, dice }: Simulation): Promise<void> {
  const upTo = (ms: number) => () => dice.below(ms);
  world.faults.mood = dice.pick<StoreMood>([
    { ...QUICK, beforeMs: upTo(5), afterMs: upTo(5) },
    { ...QUICK, beforeMs: upTo(300), afterMs: upTo(20) },
    { ...QUICK, beforeMs: () => (dice.chance(0.05) ? 3_000 : 2) },
    { ...QUICK, refuses: "writes" },
    { ...QUICK, beforeMs: upTo(20), refuses: "everything" },
  ]);
}

async function jump({ world, dice, trace }: Simulation): Promise<void> {
  const spans = [10 * SECOND, 10 * SECOND, 200, 10 * 60 * SECOND, 2 * HOUR, 24 * HOUR];
  const ms = Math.floor((dice.random() - 0.5) * 2 * dice.pick(spans));
  trace(`  by ${ms} ms`);
  world.jump(ms);
}
