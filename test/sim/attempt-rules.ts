import { retryDelayMs } from "../../src/domain/retry.ts";
import type { SeenAttempt } from "../support/scripted-sender.ts";
import type { Kept } from "./disks.ts";
import type { DeliveryEntry } from "./ledger.ts";
import type { Decision, Simulation } from "./simulation.ts";

/** An attempt that begins, and all that is known of it. */
interface Beginning {
  readonly sim: Simulation;
  readonly seen: SeenAttempt;
  /** The event whose payload it carries. */
  readonly n: number;
  readonly entry: DeliveryEntry;
  readonly decision: Decision;
  /** As the disk has it; null where that cannot be read at once. */
  readonly kept: Kept | null;
}

type Rule = (beginning: Beginning) => string | null;

/** Rounding of due times to whole milliseconds. */
const ROUNDING_MS = 2;
const NO_JITTER = 0;

/** What holds whenever an attempt begins. */
const RULES: Readonly<Record<string, Rule>> = {
  "an attempt is of an accepted event, with its bytes": isOfItsEvent,
  "no attempt after an end was recorded": isOpenStill,
  "a success is repeated only where it could not be recorded": isNotRepeated,
  "one attempt of a delivery at a time": isAlone,
  "attempt numbers rise by one": isNumbered,
  "no attempt before its schedule and Retry-After": isDue,
  "at most the cap in flight for a webhook": isWithinCap,
  "at most in_flight_max in all": isWithinSlots,
  "at most the rate limit": isWithinRate,
  "a webhook that is paused gets nothing": isNotPaused,
  "an open breaker lets only probes through": isNotParked,
  "fifo keeps the order": isInOrder,
};

/** Looks at an attempt, and remembers it. */
export function checkAttempt(sim: Simulation, seen: SeenAttempt): void {
  const { ledger, world } = sim;
  const { order } = seen;
  const { n } = JSON.parse(Buffer.from(order.payload).toString());
  const entry = ledger.entry(order.deliveryId, order.webhookId, n);
  const decision = sim.decisions.get(order.deliveryId) ?? { order: 0, mono: 0 };
  const kept = world.disk.direct?.get(order.deliveryId) ?? null;
  const beginning = { sim, seen, n, entry, decision, kept };
  for (const [name, rule] of Object.entries(RULES)) {
    const what = rule(beginning);
    if (what !== null) sim.say(name, `${what} (delivery ${order.deliveryId} of ${order.webhookId})`);
  }
  ledger.attempts += 1;
  entry.inFlight += 1;
  entry.isHurried = false;
  entry.last = {
    number: order.attemptNumber,
    roundStart: kept?.roundStart ?? null,
    token: order.token,
    sender: seen.sender,
    ended: null,
    verdict: null,
    retryAfterMs: 0,
  };
}

function isOfItsEvent({ sim, seen, n, entry }: Beginning): string | null {
  const event = sim.ledger.events.get(n);
  if (!event || n !== entry.n) return `the payload is event ${n}'s, the delivery event ${entry.n}'s`;
  if (event.state === "refused") return `event ${n} was refused`;
  if (!event.webhookIds.includes(seen.order.webhookId)) return `event ${n} does not go there`;
  return null;
}

function isOpenStill({ sim, kept, entry }: Beginning): string | null {
  if (entry.isRecorded) return "it is delivered, said the director";
  if (kept === null) return sim.world.disk.direct ? "the disk has no such delivery" : null;
  return kept.status === "success" || kept.status === "dead" ? `it is ${kept.status}` : null;
}

function isNotRepeated({ entry }: Beginning): string | null {
  return entry.hasSucceeded ? `attempt ${entry.last?.number} succeeded, and the process lives` : null;
}

function isAlone({ entry }: Beginning): string | null {
  return entry.inFlight > 0 ? `attempt ${entry.last?.number} is in flight` : null;
}

function isNumbered({ seen, kept }: Beginning): string | null {
  const { attemptNumber } = seen.order;
  if (kept === null || attemptNumber === kept.attemptCount + 1) return null;
  return `number ${attemptNumber} after ${kept.attemptCount}`;
}

/**
 * Not before what the disk says; nor, from the end of the attempt before, where that was recorded (the number
 * tells).
 */
function isDue({ sim, seen, entry, kept }: Beginning): string | null {
  const { last } = entry;
  const earlyMs = (kept?.dueAt ?? 0) - sim.world.clock.now();
  if (earlyMs > 0) return `${earlyMs} ms before the disk has it due`;
  if (!last?.ended || entry.isHurried || seen.order.attemptNumber !== last.number + 1) return null;
  if (last.verdict !== "retry" && last.verdict !== "lost") return null;
  const roundStart = kept?.roundStart ?? last.number - 1;
  if (roundStart === last.number) return null;
  const { policy } = sim.world.config.retry;
  const delayMs = retryDelayMs(policy, last.number - roundStart, NO_JITTER, sim.dice.random) ?? 0;
  const leastMs = Math.max(delayMs, last.retryAfterMs);
  const elapsedMs = sim.ledger.elapsedMs(last.ended);
  if (elapsedMs >= leastMs - ROUNDING_MS) return null;
  return `attempt ${last.number + 1} came ${elapsedMs} ms after the last one, not ${leastMs}`;
}

function isWithinCap({ sim, seen, decision }: Beginning): string | null {
  const inFlight = sim.world.receivers.inFlight.get(seen.order.webhookId) ?? 0;
  const cap = sim.lanes.capAt(sim.lanes.get(seen.order.webhookId), decision.order);
  return inFlight > cap ? `${inFlight} in flight of ${cap}` : null;
}

function isWithinSlots({ sim }: Beginning): string | null {
  const { inFlightInAll } = sim.world.receivers;
  const max = sim.world.config.delivery.inFlightMax;
  return inFlightInAll > max ? `${inFlightInAll} in flight of ${max}` : null;
}

function isWithinRate({ sim, seen, decision }: Beginning): string | null {
  const lane = sim.lanes.get(seen.order.webhookId);
  return sim.lanes.takeToken(lane, decision.mono) ? null : `${lane.tokens} tokens are left`;
}

function isNotPaused({ sim, seen, decision }: Beginning): string | null {
  const { pausedSince } = sim.lanes.get(seen.order.webhookId);
  return pausedSince !== null && decision.order > pausedSince ? "it is paused" : null;
}

function isNotParked({ sim, seen, decision }: Beginning): string | null {
  const { webhookId } = seen.order;
  const others = (sim.world.receivers.inFlight.get(webhookId) ?? 0) - 1;
  return sim.breakers.objection(webhookId, decision.order, others, sim.instant());
}

/**
 * In the order of acceptance, which is that of ids. What was asked for again stands where that put it, and a
 * broadcast's delivery where its making did; and what was accepted before the director's clock went back over
 * a restart comes behind what was accepted since.
 */
function isInOrder({ sim, seen, entry, kept }: Beginning): string | null {
  const { webhookId } = seen.order;
  if (kept === null || !sim.lanes.get(webhookId).isFifo || !standsById(sim, entry)) return null;
  for (const { id, status } of sim.world.disk.direct?.openOf(webhookId) ?? []) {
    const other = id < kept.id ? sim.ledger.deliveries.get(id) : undefined;
    if (!other || !standsById(sim, other) || other.since.regressMs < sim.world.regressMs) continue;
    return `delivery ${id} came before it, and is ${status}`;
  }
  return null;
}

function standsById({ ledger }: Simulation, { isMoved, n }: DeliveryEntry): boolean {
  return !isMoved && !ledger.events.get(n)?.isBroadcast;
}
