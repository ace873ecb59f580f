import { measure } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { processMemory } from "../proc.ts";
import type { RunFigures } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const WEBHOOKS = 1_000_000;
const RATE = 5_000;
const RESTART_MAX_S = 3;
/** What most systems look like: most of them are silent. As many as half of `cache.entries`. */
const BUSY = 50_000;
/** By then the caches are full, and what is used has room of its own. */
const GROWTH_MAX = 1.1;
const MB = 1e6;

/**
 * A million webhooks: registered through the API, found again after a restart, published to at random: all of them, which
 * no cache can like, then a twentieth.
 */
export const registry: Scenario = {
  name: "registry",
  takes: ["rate"],
  origins: 1,
  async play(stage) {
    const webhooks = stage.count(WEBHOOKS, 1_000);
    const plan = stage.plan({
      webhooks,
      users: webhooks,
      origins: 1_000,
      ratePerSecond: stage.options.rateGiven ?? RATE,
      durationMs: stage.ms(60_000),
    });
    await play(stage, plan);
  },
};

async function play(stage: Stage, plan: ReturnType<Stage["plan"]>): Promise<void> {
  const begunMono = monoMs();
  await stage.withRig(plan, {}, async (rig) => {
    const registeredIn = (monoMs() - begunMono) / 1_000;
    await rig.daemon.stop();
    const restartMs = await rig.daemon.start();
    const rssBytes = processMemory(rig.daemon.pid)?.rssBytes ?? 0;
    const all = await load(stage, rig, plan, plan.webhooks);
    const some = await load(stage, rig, plan, stage.count(BUSY));
    stage.notes.push(
      `${plan.webhooks} webhooks registered at ${(plan.webhooks / registeredIn).toFixed(0)}/s`,
      `RSS ${(rssBytes / MB).toFixed(0)} MB after the restart, ` +
        `${(some.memory.peakBytes / MB).toFixed(0)} MB at most`,
    );
    stage.atMost(`restart with ${plan.webhooks} webhooks`, restartMs / 1_000, RESTART_MAX_S, "s");
    const growth = rssAtEnd(some) / rssAtEnd(all);
    stage.atMost("RSS after the second load, to after the first", growth, GROWTH_MAX, "x");
    stage.clean(some);
  });
}

/** To so many webhooks at random; tells how many look-ups the API's cache could not answer. */
async function load(
  stage: Stage,
  rig: Rig,
  plan: ReturnType<Stage["plan"]>,
  webhooks: number,
): Promise<RunFigures> {
  const before = await lookUps(rig);
  const run = await measure(rig, {
    title: `load over ${webhooks} random webhooks`,
    plan,
    target: { first: 0, count: webhooks, isScattered: true },
    drainMaxMs: stage.options.drainMaxMs,
  });
  const after = await lookUps(rig);
  const [hits, misses] = [after.hits - before.hits, after.misses - before.misses];
  const share = (misses / Math.max(1, hits + misses)) * 100;
  stage.notes.push(
    `${webhooks} webhooks in use: ${share.toFixed(1)} % of ${hits + misses} look-ups missed the cache`,
  );
  stage.runs.push(run);
  return run;
}

async function lookUps(rig: Rig): Promise<{ hits: number; misses: number }> {
  const metrics = await rig.metrics();
  const [hits, misses] = ["hits", "misses"].map((name) => metrics?.get(`hookd_registry_${name}_total`));
  if (hits === undefined || misses === undefined)
    throw new Error("hookd does not tell its registry's hits and misses");
  return { hits, misses };
}

function rssAtEnd({ memory }: RunFigures): number {
  return memory.endBytes;
}
