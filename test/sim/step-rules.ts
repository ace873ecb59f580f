import { attemptsMax } from "../../src/domain/retry.ts";
import type { LaneLive } from "../../src/engine/port.ts";
import { checkBroadcasts, excuseRetained } from "./broadcast-rules.ts";
import type { Kept } from "./disks.ts";
import type { DeliveryEntry } from "./ledger.ts";
import { isPurged } from "./purge-model.ts";
import type { Simulation } from "./simulation.ts";

/** What the disk and the director say after a step. */
interface Look {
  readonly open: number;
  readonly success: number;
  readonly dead: number;
  /** Open deliveries by webhook. */
  readonly openOf: ReadonlyMap<number, number>;
}

const ROUNDING_MS = 2;
/**
 * Ends that the director made itself (an expired delivery, a sender that died) may wait for a commit so long.
 */
const SLOT_LOOKS = 6;
const SLOT_LOOK_MS = 20;
const COUNT_DRIFT = "hookd_lane_count_drift_total";

/**
 * After a step: everything that was accepted is on the disk in one state, each state has its cause, and what
 * the director counts is what there is. `isFull`: also what costs a reading of the whole disk.
 */
export async function checkStep(sim: Simulation, isFull: boolean): Promise<void> {
  const { world } = sim;
  for (const error of world.fatal.splice(0)) sim.say("nothing ends the process but the disk", String(error));
  if (!world.isRunning) return;
  const look = isFull ? await checkDisk(sim) : null;
  await checkCounts(sim, look);
}

/**
 * Conservation: accepted = queued + leased + delivered + dead + deleted by retention, each delivery by name.
 */
export async function checkDisk(sim: Simulation): Promise<Look> {
  const { ledger, world } = sim;
  const openOf = new Map<number, number>();
  const count = { open: 0, success: 0, dead: 0 };
  const now = sim.moment();
  const found = new Set<number>();
  for (const kept of await world.disk.all()) {
    const isOpen = kept.status === "pending" || kept.status === "retrying";
    if (isOpen) openOf.set(kept.webhookId, (openOf.get(kept.webhookId) ?? 0) + 1);
    count[isOpen ? "open" : (kept.status as "success" | "dead")] += 1;
    const known = ledger.deliveries.get(kept.id);
    const entry = known ?? ledger.entry(kept.id, kept.webhookId, world.disk.eventNumber(kept));
    if (!known) checkOrigin(sim, entry);
    if (!world.disk.direct) found.add(kept.id);
    if (entry.kept === null) checkOnce(sim, entry);
    if (entry.kept !== kept) checkState(sim, entry, kept);
    entry.kept = kept;
    if (isOpen) entry.lastOpen = now;
  }
  const direct = world.disk.direct;
  for (const entry of ledger.deliveries.values()) {
    const isThere = direct ? direct.get(entry.id) !== undefined : found.has(entry.id);
    if (isThere || entry.isGone) continue;
    if (entry.isAccepted || entry.kept) checkGone(sim, entry);
    else if (entry.last === null) continue;
    entry.isGone = true;
  }
  excuseRetained(sim);
  sim.lastLook = now;
  return { ...count, openOf };
}

/** A delivery that nobody was told of. */
function checkOrigin(sim: Simulation, entry: DeliveryEntry): void {
  const what = wrongOrigin(sim, entry);
  if (what !== null) sim.say("nothing is stored but what was asked for", what);
}

function wrongOrigin({ ledger }: Simulation, entry: DeliveryEntry): string | null {
  const event = ledger.events.get(entry.n);
  if (!event) return `delivery ${entry.id} is of no event`;
  if (event.state === "refused") return `event ${entry.n} was refused, and has delivery ${entry.id}`;
  if (!event.webhookIds.includes(entry.webhookId)) return `event ${entry.n} has a delivery elsewhere`;
  const isUntold = event.state === "accepted" && !event.isBroadcast;
  return isUntold ? `event ${entry.n} was answered without delivery ${entry.id}` : null;
}

/** A uid that is used again, and a step of a broadcast that is repeated, add nothing. */
function checkOnce(sim: Simulation, entry: DeliveryEntry): void {
  const key = `${entry.n}/${entry.webhookId}`;
  const other = sim.stored.get(key);
  if (other !== undefined && other !== entry.id) {
    sim.say("an event is stored once", `event ${entry.n} has deliveries ${other} and ${entry.id}`);
  }
  sim.stored.set(key, entry.id);
}

/**
 * A purge deletes what was dead; retention what ended long enough ago; when it ended is between two looks, the first of
 * which saw it open, or when its receiver answered: a commit that is slow writes down that time.
 */
function checkGone(sim: Simulation, entry: DeliveryEntry): void {
  const { successMs, deadMs } = sim.world.config.retention;
  // Sent again since the last look, and delivered: it is a success that was deleted.
  const isDelivered =
    entry.last?.verdict === "success" && entry.last.number > (entry.kept?.attemptCount ?? 0);
  const status = isDelivered ? "success" : entry.kept?.status;
  if (isPurged(sim, entry)) return;
  const leastMs = status === "dead" ? deadMs : status === "success" ? successMs : Math.min(successMs, deadMs);
  const answered = status === "success" ? (entry.last?.ended ?? entry.lastOpen) : entry.lastOpen;
  const elapsedMs = Math.max(sim.ledger.elapsedMs(entry.lastOpen), sim.ledger.elapsedMs(answered));
  if (elapsedMs >= leastMs - ROUNDING_MS) return;
  sim.say(
    "what was accepted is kept",
    `delivery ${entry.id} of event ${entry.n} is gone ${elapsedMs} ms after it was ${status ?? "accepted"}`,
  );
}

/** A status has its cause. */
function checkState(sim: Simulation, entry: DeliveryEntry, kept: Kept): void {
  const most = attemptsMax(sim.world.config.retry.policy);
  const inRound = kept.attemptCount - kept.roundStart;
  const say = (what: string) =>
    sim.say("each state has its cause", `${what}: delivery ${kept.id} of ${kept.webhookId}`);
  if (kept.webhookId !== entry.webhookId) say("it changed its webhook");
  if (kept.attemptCount < (entry.kept?.attemptCount ?? 0)) say("attempts were forgotten");
  switch (kept.status) {
    case "pending":
      if (inRound !== 0) say(`pending after ${inRound} attempts`);
      break;
    case "retrying":
      if (inRound < 1 || inRound >= most) say(`retrying after ${inRound} of ${most} attempts`);
      break;
    case "success":
      if (!entry.everSucceeded) say("success without a 2xx");
      break;
    case "dead":
      checkDeath(sim, entry, kept, inRound, say);
  }
}

function checkDeath(
  sim: Simulation,
  entry: DeliveryEntry,
  kept: Kept,
  inRound: number,
  say: (what: string) => void,
): void {
  const lane = sim.lanes.get(kept.webhookId);
  const { config } = sim.world;
  switch (kept.reason) {
    case "exhausted":
      if (inRound !== attemptsMax(config.retry.policy)) say(`exhausted after ${inRound} attempts`);
      return;
    case "permanent":
      if (entry.last?.verdict !== "permanent" && entry.last?.verdict !== "gone")
        say("permanent without a cause");
      return;
    case "blocked":
      if (entry.last?.verdict !== "blocked") say("blocked without a cause");
      return;
    case "disabled":
      if (!lane.wasOff) say("disabled, and the webhook was never off");
      return;
    case "cancelled":
      if (!entry.isCancelAsked) say("cancelled by nobody");
      return;
    case "expired":
      if (sim.ledger.elapsedMs(entry.since) < config.delivery.ageMaxMs - ROUNDING_MS)
        say("expired too young");
      return;
    case "overflow":
      if (!sim.ledger.events.get(entry.n)?.isBroadcast) say("overflow of what was no broadcast");
      return;
    case null:
      say("dead without a reason");
  }
}

/** What the director counts, measured at moments when the store has answered everything. */
async function checkCounts(sim: Simulation, look: Look | null): Promise<void> {
  const { world, lanes } = sim;
  const ids = [...lanes.lanes.keys()];
  const { counters, gauges } = await world.director.stats();
  const live = await world.director.live(ids);
  if (counters[COUNT_DRIFT] !== 0) sim.say("the kept counts are right", "a lane had to be counted again");
  const inFlight = gauges.hookd_in_flight ?? 0;
  // A slot for each, and as many again whose success is not recorded yet.
  const max = world.config.delivery.inFlightMax * 2;
  if (inFlight > max) sim.say("memory is bounded", `${inFlight} leases of ${max}`);
  const laneCount = gauges.hookd_lanes ?? 0;
  if (laneCount > ids.length) sim.say("memory is bounded", `${laneCount} lanes of ${ids.length} webhooks`);
  checkBreakers(sim, ids, live);
  if (look && isQuiet(sim) && gauges.hookd_jobs_running === 0) {
    checkBroadcasts(sim);
    ids.forEach((id, index) => {
      const { backlog, inFlight: held } = live[index] as LaneLive;
      const open = look.openOf.get(id) ?? 0;
      // A success holds no slot any more while it is not recorded.
      const ended = [...sim.unsettled.values()].filter((webhook) => webhook === id).length;
      if (backlog + held <= open && open <= backlog + held + ended) return;
      const counted = `lane ${id} counts ${backlog} and ${held} in flight`;
      sim.say("the kept counts are right", `${counted}, the disk has ${open} open`);
    });
  }
  await checkSlots(sim);
}

/** A slot that is held for longer than what is on its way takes is held for ever. */
async function checkSlots(sim: Simulation): Promise<void> {
  let leaked: readonly string[] = [];
  for (let look = 0; look < SLOT_LOOKS; look += 1) {
    if (!sim.world.isRunning || !isQuiet(sim)) return;
    leaked = await leakedSlots(sim);
    if (leaked.length === 0) return;
    await sim.world.advance(SLOT_LOOK_MS);
  }
  for (const what of leaked) sim.say("a slot is in use only while an attempt is in flight", what);
}

/** Slots and leases beyond the attempts that are in flight, or have ended and are not recorded yet. */
async function leakedSlots(sim: Simulation): Promise<string[]> {
  const { world, lanes } = sim;
  const used = new Map(world.receivers.inFlight);
  for (const id of sim.unsettled.values()) used.set(id, (used.get(id) ?? 0) + 1);
  const ids = [...lanes.lanes.keys()];
  const live = await world.director.live(ids);
  const leaked = ids.flatMap((id, index) => {
    const held = live[index]?.inFlight ?? 0;
    const ofLane = used.get(id) ?? 0;
    return held === ofLane ? [] : [`lane ${id} has ${held} slots, for ${ofLane} attempts`];
  });
  const { gauges } = await world.director.stats();
  const inAll = [...used.values()].reduce((sum, count) => sum + count, 0);
  if (gauges.hookd_in_flight !== inAll) leaked.push(`${gauges.hookd_in_flight} leases for ${inAll} attempts`);
  return leaked;
}

function isQuiet({ world }: Simulation): boolean {
  return world.faults.waiting === 0 && world.director.refusal === null;
}

function checkBreakers(sim: Simulation, ids: readonly number[], live: readonly LaneLive[]): void {
  live.forEach((lane, index) => {
    const id = ids[index] as Parameters<typeof sim.breakers.mayBeOpen>[0];
    if (lane.breaker === "open" && !sim.breakers.mayBeOpen(id)) {
      sim.say("a breaker opens for failures only", `lane ${id} is open, and nothing failed there`);
    }
  });
}
