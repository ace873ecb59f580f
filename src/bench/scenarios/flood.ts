import { ledgerOf, measure } from "../measure.ts";
import { medianOf, millisOf, playPairs, ratiosOf } from "../pairs.ts";
import type { WindowFigures } from "../recorder.ts";
import { askOnce } from "../refusal.ts";
import type { RunFigures } from "../result.ts";
import type { Scenario, Stage } from "../stage.ts";

const USERS = 10;
const WEBHOOKS_EACH = 10;
const WEBHOOKS = USERS * WEBHOOKS_EACH;
/** What receivers take: so many at once, each for so long. 2,000 events/s. */
const IN_FLIGHT_MAX = 100;
const LATENCY_MS = 50;
const CAPACITY = (IN_FLIGHT_MAX / LATENCY_MS) * 1_000;
/** Of a user's share, ten and nine of them are more than receivers take; ten alone are not. */
const SHARE = Math.floor(CAPACITY / 12);
const FLOOD_FACTOR = 10;
const LANE_BACKLOG = 1_000;
/** The disk stood still in two of three pairs of a run. */
const PAIRS = 5;

/** One user publishes ten times its share, and one webhook's lane fills up: the others must not feel it. */
export const flood: Scenario = {
  name: "flood",
  takes: [],
  origins: 1,
  async play(stage) {
    await floodByUser(stage);
    await fullLane(stage);
  },
};

async function floodByUser(stage: Stage): Promise<void> {
  const plan = stage.plan({
    ratePerSecond: SHARE * USERS,
    durationMs: stage.ms(20_000),
    webhooks: WEBHOOKS,
    users: USERS,
    origins: 1,
    latencyMs: LATENCY_MS,
  });
  const settings = {
    owners: { users: USERS, webhooksEach: WEBHOOKS_EACH },
    config: { delivery: { in_flight_max: IN_FLIGHT_MAX } },
  };
  await stage.withRig(plan, settings, async (rig) => {
    const isOther = (webhook: number) => webhook >= WEBHOOKS_EACH;
    const drainMaxMs = 600_000;
    const pairs = await playPairs(PAIRS, {
      without: (title) => measure(rig, { title: `${title} the flood`, plan, drainMaxMs, filter: isOther }),
      withIt: async (title) => {
        const flooding = rig.startLoad({
          ratePerSecond: SHARE * (FLOOD_FACTOR - 1),
          durationMs: plan.warmUpMs + plan.durationMs,
          target: { first: 0, count: WEBHOOKS_EACH, isScattered: false },
        });
        const run = await measure(rig, {
          title: `${title} one of ten users flooding`,
          plan,
          drainMaxMs,
          filter: isOther,
        });
        await flooding.done;
        return run;
      },
    });
    stage.cleanPairs(pairs);
    const p99 = ({ window }: RunFigures) => window.receive.p99;
    stage.notes.push(
      `p99 receive of the other users, without and with the flood, by pair: ${millisOf(pairs, p99)}`,
    );
    const ratio = medianOf(ratiosOf(pairs, p99));
    stage.atMost(
      `p99 receive of the other users, to without the flood, median of ${PAIRS} pairs`,
      ratio,
      2,
      "x",
    );
  });
}

async function fullLane(stage: Stage): Promise<void> {
  const plan = stage.plan({
    ratePerSecond: 1_000,
    durationMs: stage.ms(15_000),
    webhooks: WEBHOOKS,
    users: USERS,
    origins: 1,
  });
  const config = { limits: { lane_backlog: LANE_BACKLOG } };
  await stage.withRig(plan, { config }, async (rig) => {
    rig.site.behave(0, 1, 500);
    rig.phase = "filling one lane";
    const full = rig.startLoad({
      ratePerSecond: 500,
      durationMs: plan.warmUpMs + plan.durationMs,
      target: { first: 0, count: 1, isScattered: false },
    });
    const watch = rig.watch(full.load);
    const others = rig.startLoad({
      ratePerSecond: plan.ratePerSecond,
      durationMs: plan.warmUpMs + plan.durationMs,
      target: { first: 1, count: WEBHOOKS - 1, isScattered: false },
    });
    const watchOthers = rig.watch(others.load);
    await Promise.all([full.done, others.done]);
    const { code } = await askOnce(rig, 0);
    await rig.drain(stage.options.drainMaxMs);
    const refused = watch.figures().refused;
    stage.verdict("full lane: answers", answers(watch.figures()), "202, then 429", is429Only(refused));
    stage.verdict("full lane: code", code, "lane_full", code === "lane_full");
    stage.verdict(
      "full lane: the others",
      answers(watchOthers.figures()),
      "202 only",
      Object.keys(watchOthers.figures().refused).length === 0,
    );
    const { lost, duplicated } = await ledgerOf(rig);
    stage.verdict(
      "full lane: ledger",
      `${lost} lost, ${duplicated} duplicated`,
      "0 and 0",
      lost + duplicated === 0,
    );
  });
}

function is429Only(refused: Readonly<Record<string, number>>): boolean {
  return (refused["429"] ?? 0) > 0 && Object.keys(refused).length === 1;
}

function answers({ accepted, refused }: WindowFigures): string {
  return [
    `202: ${accepted}`,
    ...Object.entries(refused).map(([status, count]) => `${status}: ${count}`),
  ].join(", ");
}
