import { Problem } from "../../src/domain/problem.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { PublishRequest, PublishResult } from "../../src/engine/port.ts";
import type { Action } from "./actions.ts";
import { checkAnswer } from "./broadcast-rules.ts";
import type { EventEntry } from "./ledger.ts";
import type { Simulation } from "./simulation.ts";
import { Died } from "./world.ts";

/** Events in one hand-over. */
const BURST_MAX = 32;
/** One in so many may be larger: only so many events are committed beside a commit that is on its way. */
const LARGE_ONE_IN = 8;
const LARGE_BURST_MAX = 128;

export const publishAction: Action = { name: "publish", run: (sim) => sim.world.wait(publish(sim)) };

export const publishActions: readonly (readonly [weight: number, choice: Action])[] = [
  [20, publishAction],
  [12, { name: "publish and go on", run: async (sim) => void publish(sim) }],
  [3, { name: "publish again", run: (sim) => sim.world.wait(publishAgain(sim)) }],
  [1, { name: "broadcast", run: (sim) => sim.world.wait(broadcast(sim)) }],
];

/** Some events, to one webhook or a few. */
export async function publish(sim: Simulation): Promise<void> {
  const webhooks = Array.from({ length: 1 + sim.dice.below(3) }, () => sim.dice.pick(sim.webhooks));
  const burstMax = sim.dice.chance(1 / LARGE_ONE_IN) ? LARGE_BURST_MAX : BURST_MAX;
  await handOver(
    sim,
    Array.from({ length: 1 + sim.dice.below(burstMax) }, () => {
      const webhook = sim.dice.pick(webhooks);
      // SQLite is read by uid: there every event has one.
      const hasUid = sim.world.disk.direct === null || sim.dice.chance(0.5);
      const entry = sim.ledger.ask(hasUid, [webhook.id], false);
      return { entry, request: requestOf(entry, webhook) };
    }),
  );
}

/** An event that was answered, or not, with the same uid: it is one event. */
async function publishAgain(sim: Simulation): Promise<void> {
  const { ledger, dice } = sim;
  const n = ledger.events.size - dice.below(Math.min(100, ledger.events.size));
  const entry = ledger.events.get(n);
  if (!entry?.uid || entry.isBroadcast || entry.state === "asked") return;
  const webhook = sim.webhooks.find(({ id }) => id === entry.webhookIds[0]);
  if (webhook) await handOver(sim, [{ entry, request: requestOf(entry, webhook) }]);
}

async function broadcast(sim: Simulation): Promise<void> {
  const { eventId } = sim.dice.pick(sim.webhooks);
  const all = sim.webhooks.filter((webhook) => webhook.eventId === eventId);
  const hasUid = sim.world.disk.direct === null;
  const entry = sim.ledger.ask(
    hasUid,
    all.map(({ id }) => id),
    true,
  );
  sim.broadcasts.set(entry, new Set());
  const { uid, contentType, payload } = requestOf(entry, all[0]!);
  sim.ledger.handedOver(entry);
  const { director } = sim.world;
  const answer = director.broadcast({ eventId, uid, contentType, payload, trace: null }).catch((error) => {
    if (error instanceof Problem) return error;
    throw error;
  });
  await answered(
    sim,
    [entry],
    answer.then((one) => [one]),
  );
}

async function handOver(
  sim: Simulation,
  all: readonly { readonly entry: EventEntry; readonly request: PublishRequest }[],
): Promise<void> {
  for (const { entry } of all) sim.ledger.handedOver(entry);
  const entries = all.map(({ entry }) => entry);
  const answer = sim.world.director.publishMany(all.map(({ request }) => request));
  await answered(sim, entries, answer);
}

/** An answer that a crash overtakes never comes: such an event may have been stored, or not. */
async function answered(
  sim: Simulation,
  entries: readonly EventEntry[],
  answer: Promise<readonly (PublishResult | Problem)[]>,
): Promise<void> {
  try {
    const outcomes = await sim.world.orDied(answer);
    entries.forEach((entry, index) => {
      const outcome = outcomes[index];
      if (outcome) take(sim, entry, outcome);
    });
  } catch (error) {
    if (!(error instanceof Died)) throw error;
  }
}

function take(sim: Simulation, entry: EventEntry, outcome: PublishResult | Problem): void {
  if (outcome instanceof Problem) {
    if (outcome.code === "uid_conflict") sim.say("the same event is no conflict", `event ${entry.n}`);
    if (entry.state === "asked") entry.state = "refused";
    return;
  }
  if (!outcome.isDuplicate && entry.state === "accepted") {
    sim.say("a uid names one event", `event ${entry.n} was accepted twice`);
  }
  if (outcome.isDuplicate && (entry.state === "asked" || entry.state === "refused")) {
    sim.say("a refused event is not stored", `event ${entry.n} is known`);
  }
  checkAnswer(sim, entry, outcome);
  sim.ledger.accept(entry, outcome.deliveries);
}

function requestOf(entry: EventEntry, webhook: Webhook): PublishRequest {
  return {
    userId: webhook.userId,
    eventId: webhook.eventId,
    uid: entry.uid,
    contentType: "application/json",
    payload: Buffer.from(`{"n":${entry.n}}`),
    targets: [webhook.id],
    trace: null,
  };
}
