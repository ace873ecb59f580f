import { statfsSync } from "node:fs";
import { join } from "node:path";
import { createSmallDisk, type SmallDisk } from "../faults/small-disk.ts";
import { startMeasurement } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { type Answer, askOnce } from "../refusal.ts";
import type { RunPlan } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const MiB = 2 ** 20;
const DISK_BYTES = 1_500 * MiB;
/** `limits.disk_free`, and what the ballast leaves of it. */
const LIMIT_BYTES = 256 * MiB;
const LEFT_BYTES = 128 * MiB;
const RATE = 4_000;
const CALM_MS = 10_000;
const FULL_MS = 20_000;
const REFUSED_MAX_MS = 30_000;
const RESUMED_MAX_MS = 30_000;

/**
 * The disk fills up: events are refused before it is full, deliveries go on, and space makes all well again.
 */
export const fullDisk: Scenario = {
  name: "full-disk",
  takes: [],
  origins: 1,
  async play(stage) {
    if (stage.options.dataDir !== null) {
      throw new Error("the scenario full-disk brings a disk of its own: leave out --data-dir");
    }
    const disk = createSmallDisk(DISK_BYTES);
    try {
      const plan = stage.plan({ webhooks: 1_000, origins: 1, ratePerSecond: RATE });
      const settings = {
        dataDir: join(disk.path, "data"),
        config: { limits: { disk_free: `${LIMIT_BYTES / MiB}MiB` } },
      };
      await stage.withRig(plan, settings, (rig) => play(stage, rig, plan, disk));
    } finally {
      disk.remove();
    }
  },
};

async function play(stage: Stage, rig: Rig, plan: RunPlan, disk: SmallDisk): Promise<void> {
  const [calmMs, fullMs] = [stage.ms(CALM_MS), stage.ms(FULL_MS)];
  // Slow receivers: when events are refused there is still something to deliver.
  rig.site.behave(0, rig.settings.webhooks, 0, 500);
  const durationMs = calmMs + REFUSED_MAX_MS + fullMs + RESUMED_MAX_MS;
  const measurement = startMeasurement(rig, {
    title: "full disk",
    plan: { ...plan, durationMs, warmUpMs: 0 },
    isCutOff: true,
    drainMaxMs: stage.options.drainMaxMs,
  });
  const { running } = measurement;
  await rig.pauseUntil(running.load.startMono + calmMs);
  await rig.threads.flush();
  const waiting = rig.openCount;
  disk.fill(Math.max(0, freeBytes(disk) - LEFT_BYTES));
  rig.phase = "the disk is full";
  const refused = await until(rig, REFUSED_MAX_MS, ({ status }) => status !== 202);
  const acceptedAtFull = rig.recorder.accepted;
  await rig.pause(fullMs);
  await rig.threads.flush();
  const sneaked = rig.recorder.accepted - acceptedAtFull;
  const left = rig.openCount;
  const low = freeBytes(disk);
  disk.empty();
  rig.phase = "there is room again";
  const resumed = await until(rig, RESUMED_MAX_MS, ({ status }) => status === 202);
  await rig.pause(1_000);
  running.stop();
  const run = await measurement.finish();
  stage.runs.push(run);
  stage.notes.push(
    `${waiting} undelivered when the disk filled up, ${left} before there was room again, ` +
      `${Math.round(low / MiB)} MiB left then, ${sneaked} accepted meanwhile, ` +
      `refused: ${JSON.stringify(run.window.refused)}`,
  );
  judge(stage, refused, resumed);
  stage.verdict("deliveries while full", `${left} left`, "none waits", left === 0);
  stage.clean(run);
}

function judge(stage: Stage, refused: Waited, resumed: Waited): void {
  const { status, hasRetryAfter, code } = refused.last;
  stage.verdict(
    "answer below limits.disk_free",
    `${status} ${code}${hasRetryAfter ? " with Retry-After" : ""}`,
    "503 with Retry-After",
    status === 503 && hasRetryAfter,
  );
  stage.verdict(
    "takes events again",
    resumed.last.status === 202 ? `${(resumed.ms / 1_000).toFixed(1)} s after there is room` : "not in time",
    "within 10 s",
    resumed.last.status === 202 && resumed.ms <= 10_000,
  );
}

interface Waited {
  readonly ms: number;
  readonly last: Answer;
}

/** Asks until the answer is what is waited for, or too long. */
async function until(rig: Rig, maxMs: number, isIt: (answer: Answer) => boolean): Promise<Waited> {
  const begunMono = monoMs();
  for (;;) {
    const last = await askOnce(rig, 0);
    const ms = monoMs() - begunMono;
    if (isIt(last) || ms >= maxMs) return { ms, last };
    await rig.pause(100);
  }
}

function freeBytes(disk: SmallDisk): number {
  const { bavail, bsize } = statfsSync(disk.path);
  return bavail * bsize;
}
