import { measure } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { processMemory } from "../proc.ts";
import type { Scenario, Stage } from "../stage.ts";

const WEBHOOKS = 1_000_000;
const RATE = 5_000;
const RESTART_MAX_S = 3;
const MB = 1e6;
/** Names that a counter of lookups may have. */
const MISS = /^hookd_registry_(hits|misses)_total$/;

/** A million webhooks: registered through the API, found again after a restart, published to at random. */
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
      durationMs: stage.ms(30_000),
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
    const run = await measure(rig, {
      title: "load over random webhooks",
      plan,
      target: { first: 0, count: plan.webhooks, isScattered: true },
      drainMaxMs: stage.options.drainMaxMs,
    });
    stage.runs.push(run);
    const counters = [...((await rig.metrics()) ?? [])].filter(([name]) => MISS.test(name));
    stage.notes.push(
      `${plan.webhooks} webhooks registered at ${(plan.webhooks / registeredIn).toFixed(0)}/s`,
      `RSS ${(rssBytes / MB).toFixed(0)} MB after the restart, ` +
        `${(run.memory.peakBytes / MB).toFixed(0)} MB at most`,
      counters.map(([name, value]) => `${name} ${value}`).join(", "),
    );
    stage.atMost(`restart with ${plan.webhooks} webhooks`, restartMs / 1_000, RESTART_MAX_S, "s");
    stage.clean(run);
  });
}
