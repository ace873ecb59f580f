import { createSlowSync, type SlowSync } from "../faults/slow-sync.ts";
import { startMeasurement } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { processMemory } from "../proc.ts";
import { askBatch, type BatchAnswer } from "../refusal.ts";
import type { RunPlan } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 12_000;
/** More than may wait for a commit: so many requests of this size are over 20,000 events. */
const BATCH = 100;
const CONNECTIONS = 512;
const SLOW_MS = 60_000;
const CALM_MS = 10_000;
const RESUMED_MAX_MS = 30_000;
const GROWTH_MAX_MB = 400;
const ASKED = 100;
const LOOK_MS = 50;
const MB = 1e6;

/**
 * Every sync takes two seconds for a minute: hookd refuses what it cannot make durable, and goes on by
 * itself.
 */
export const slowDisk: Scenario = {
  name: "slow-disk",
  takes: [],
  origins: 1,
  async play(stage) {
    const slow = createSlowSync();
    try {
      const plan = stage.plan({
        webhooks: 1_000,
        origins: 1,
        ratePerSecond: RATE,
        batch: BATCH,
        connections: CONNECTIONS,
      });
      await stage.withRig(plan, { env: slow.env }, (rig) => play(stage, rig, plan, slow));
    } finally {
      slow.remove();
    }
  },
};

async function play(stage: Stage, rig: Rig, plan: RunPlan, slow: SlowSync): Promise<void> {
  const [calmMs, slowMs] = [stage.ms(CALM_MS), stage.ms(SLOW_MS)];
  const durationMs = calmMs + slowMs + RESUMED_MAX_MS;
  const measurement = startMeasurement(rig, {
    title: "slow disk",
    plan: { ...plan, durationMs, warmUpMs: 0 },
    isCutOff: true,
    drainMaxMs: stage.options.drainMaxMs,
  });
  const { running } = measurement;
  const { startMono } = running.load;
  const watch = rig.watch(running.load, { fromMs: calmMs, toMs: calmMs + slowMs });
  await rig.pauseUntil(startMono + calmMs);
  const before = processMemory(rig.daemon.pid)?.rssBytes ?? 0;
  rig.phase = "the disk is slow";
  slow.begin();
  const answers = await ask(rig, slowMs);
  await rig.pauseUntil(startMono + calmMs + slowMs);
  slow.end();
  rig.phase = "the disk is fast again";
  const resumedMs = await untilAccepted(rig, RATE * 0.9);
  const peak = rig.sampler.peakBytes;
  running.stop();
  const run = await measurement.finish();
  stage.runs.push(run);
  const { accepted, refused } = watch.figures();
  const statuses = Object.keys(refused);
  const refusals = answers.filter(({ refused }) => refused > 0);
  const counts = [`202: ${accepted}`, ...statuses.map((status) => `${status}: ${refused[status]}`)];
  stage.notes.push(`while slow: ${counts.join(", ")}`);
  stage.verdict(
    "answers while slow",
    statuses.join(", ") || "202 only",
    "429 or 503 beside 202",
    statuses.length > 0 && statuses.every((status) => ["429", "503"].includes(status)),
  );
  stage.verdict(
    "Retry-After",
    `on ${refusals.filter(({ hasRetryAfter }) => hasRetryAfter).length} of ${refusals.length} answers with refusals`,
    "on each",
    refusals.length > 0 && refusals.every(({ hasRetryAfter }) => hasRetryAfter),
  );
  stage.atMost("RSS, more than before", (peak - before) / MB, GROWTH_MAX_MB, "MB");
  stage.atMost("takes events again after", resumedMs / 1_000, 10, "s");
  stage.clean(run, { mayRefuse: true });
}

/** Batches while others are refused: their answers have headers to look at. */
async function ask(rig: Rig, forMs: number) {
  const endMono = monoMs() + forMs;
  const asked: Promise<BatchAnswer>[] = [];
  let seen = rig.recorder.refused;
  while (asked.length < ASKED && monoMs() < endMono) {
    await rig.pause(LOOK_MS);
    const { refused } = rig.recorder;
    if (refused > seen) asked.push(askBatch(rig, asked.length, BATCH));
    seen = refused;
  }
  return Promise.all(asked);
}

/** How long until so many events a second are accepted. */
async function untilAccepted(rig: Rig, perSecond: number): Promise<number> {
  const begunMono = monoMs();
  while (monoMs() - begunMono < RESUMED_MAX_MS) {
    const before = rig.recorder.accepted;
    const beforeMono = monoMs();
    await rig.pause(1_000);
    const rate = ((rig.recorder.accepted - before) * 1_000) / (monoMs() - beforeMono);
    if (rate >= perSecond) return beforeMono - begunMono;
  }
  return RESUMED_MAX_MS;
}
