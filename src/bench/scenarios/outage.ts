import type { Load } from "../load.ts";
import { startMeasurement } from "../measure.ts";
import { monoMs } from "../mono.ts";
import type { RunPlan } from "../result.ts";
import type { Rig } from "../rig.ts";
import { BEHAVIOUR } from "../site.ts";
import type { Scenario, Stage } from "../stage.ts";

const LANES = 900;
const HEALTHY = 100;
/**
 * A host for each: on a shared one a probe may be sent over a connection that a healthy neighbour has left, is reset there,
 * and is sent once more over a new one. That is one attempt, and two requests.
 */
const ORIGINS = LANES + HEALTHY;
const RATE = 2_000;
const HEALTHY_RATE = 200;
const DOWN_MS = 60_000;
const WARM_UP_MS = 10_000;
const RECOVERY_MS = 30_000;
/** At 2 events/s a lane's breaker opens after the third second. */
const OPENED_MS = 10_000;
/** The schedule's retries of what failed before breakers opened, and probes up to 5 min apart. */
const DRAIN_MAX_MS = 15 * 60_000;
const PROBE_MS = 30_000;
const LOOK_MS = 200;

/**
 * Nine tenths of all receivers are down for a minute, hookd is killed in the middle of it, then all is well
 * again.
 */
export const outage: Scenario = {
  name: "outage",
  takes: [],
  origins: ORIGINS,
  async play(stage) {
    const plan = stage.plan({ webhooks: LANES + HEALTHY, origins: ORIGINS, ratePerSecond: RATE });
    await stage.withRig(plan, {}, (rig) => play(stage, rig, plan));
  },
};

async function play(stage: Stage, rig: Rig, plan: RunPlan): Promise<void> {
  const downMs = stage.ms(DOWN_MS);
  const warmMs = stage.ms(WARM_UP_MS);
  const durationMs = warmMs + downMs + stage.ms(RECOVERY_MS);
  const measurement = startMeasurement(rig, {
    title: "outage",
    plan: { ...plan, durationMs, warmUpMs: 0 },
    target: { first: 0, count: LANES, isScattered: false },
    drainMaxMs: DRAIN_MAX_MS,
  });
  const { load } = measurement.running;
  // Until the rest has drained: stopped then.
  const healthy = rig.startLoad({
    ratePerSecond: HEALTHY_RATE,
    durationMs: durationMs + DRAIN_MAX_MS,
    target: { first: LANES, count: HEALTHY, isScattered: false },
  });
  const recovery = rig.watch(healthy.load, { fromMs: warmMs + downMs });
  await rig.pauseUntil(load.startMono + warmMs);
  rig.phase = "receivers are down";
  rig.site.behave(0, LANES, BEHAVIOUR.down);
  await rig.pause(stage.ms(OPENED_MS));
  const before = await probes(rig, Math.max(500, downMs / 2 - stage.ms(OPENED_MS)));
  await rig.daemon.crash();
  const restartMs = await rig.daemon.start();
  const after = await probes(rig, Math.max(500, downMs / 2 - restartMs));
  rig.site.behave(0, LANES, BEHAVIOUR.ok);
  rig.phase = "receivers are back";
  const drainSeconds = await untilDrained(rig, load);
  const whileDraining = recovery.figures(monoMs());
  healthy.stop();
  const run = await measurement.finish();
  const { ledger } = run;
  stage.runs.push(run);
  stage.notes.push(
    `${ledger.offered} events, ${ledger.turnedAway} attempts turned away, ` +
      `${ledger.unknown} unanswered at the crash, restart in ${(restartMs / 1_000).toFixed(2)} s, ` +
      `${ledger.duplicated} duplicated`,
    `the most that one parked lane got: ${before.most} attempts while down, ${after.most} after the restart`,
    `${whileDraining.receive.count} events to healthy lanes while the rest drained`,
  );
  stage.atMost("attempts per parked lane in 30 s, down", before.mean, 1, "");
  stage.atMost("attempts per parked lane in 30 s, after the restart", after.mean, 1, "");
  stage.atMost(
    "p99 receive of healthy lanes until the rest has drained",
    whileDraining.receive.p99,
    1_000,
    "ms",
  );
  stage.verdict(
    "all drained",
    run.isDrained ? `in ${drainSeconds.toFixed(0)} s` : "not in time",
    "all",
    run.isDrained,
  );
  stage.clean(run);
}

/** Until receivers have all that the load was answered with 202 for, but for what is on its way right now. */
async function untilDrained(rig: Rig, load: Load): Promise<number> {
  const begunMono = monoMs();
  await rig.pauseUntil(load.startMono + (load.count / (load.ratePerSecond ?? 1)) * 1_000);
  const owed = () => rig.ledger.openCount(load.baseSeq, load.baseSeq + load.count, () => false);
  while (owed() > 0 && monoMs() - begunMono < DRAIN_MAX_MS) await rig.pause(LOOK_MS);
  return (monoMs() - begunMono) / 1_000;
}

/** Attempts that lanes of those that are down get: on average in 30 s, and the most that one got in the time. */
async function probes(rig: Rig, forMs: number): Promise<{ mean: number; most: number }> {
  const requests = () => Array.from({ length: LANES }, (_, webhook) => rig.site.requestsOf(webhook));
  const before = requests();
  await rig.pause(forMs);
  const counts = requests().map((count, webhook) => count - (before[webhook] ?? 0));
  const sum = counts.reduce((total, count) => total + count, 0);
  return { mean: (sum / LANES) * (PROBE_MS / forMs), most: Math.max(...counts) };
}
