import { statfsSync } from "node:fs";
import { join } from "node:path";
import { createSmallDisk, type SmallDisk } from "../faults/small-disk.ts";
import { startMeasurement } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { processMemory } from "../proc.ts";
import { type Answer, askOnce } from "../refusal.ts";
import type { RunPlan } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const MiB = 2 ** 20;
const DISK_BYTES = 1_500 * MiB;
const LIMIT_BYTES = 256 * MiB;
const RATE = 4_000;
const CALM_MS = 10_000;
const FULL_MS = 20_000;
const REFUSED_MAX_MS = 30_000;
const RESUMED_MAX_MS = 30_000;
const IN_FLIGHT_MAX = 500;
const LATENCY_MS = 500;
const WAITING_MIN = 10_000;
const GROWTH_MAX_MB = 400;
const MB = 1e6;

interface Round {
  readonly title: string;
  /** What the ballast leaves. */
  readonly leftBytes: number;
  /** Whether deliveries can go on: their outcomes have to be written down. */
  readonly goesOn: boolean;
}

/** Below `limits.disk_free`; then somebody else takes the very last block. */
const ROUNDS: readonly Round[] = [
  { title: "half of limits.disk_free", leftBytes: LIMIT_BYTES / 2, goesOn: true },
  { title: "no block left", leftBytes: 0, goesOn: false },
];

/**
 * The disk fills up: events are refused before it is full, and deliveries go on; then it is full, and nothing can. Space
 * makes all well again.
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
        config: {
          limits: { disk_free: `${LIMIT_BYTES / MiB}MiB` },
          delivery: { in_flight_max: IN_FLIGHT_MAX },
        },
      };
      await stage.withRig(plan, settings, (rig) => play(stage, rig, plan, disk));
    } finally {
      disk.remove();
    }
  },
};

async function play(stage: Stage, rig: Rig, plan: RunPlan, disk: SmallDisk): Promise<void> {
  const [calmMs, fullMs] = [stage.ms(CALM_MS), stage.ms(FULL_MS)];
  const roundMs = calmMs + REFUSED_MAX_MS + fullMs + RESUMED_MAX_MS;
  slow(rig);
  const measurement = startMeasurement(rig, {
    title: "full disk",
    plan: { ...plan, durationMs: ROUNDS.length * roundMs, warmUpMs: 0 },
    isCutOff: true,
    drainMaxMs: stage.options.drainMaxMs,
  });
  const { running } = measurement;
  await rig.pauseUntil(running.load.startMono);
  const before = processMemory(rig.daemon.pid)?.rssBytes ?? 0;
  for (const round of ROUNDS) await fillAndEmpty(stage, rig, disk, { ...round, calmMs, fullMs });
  running.stop();
  const run = await measurement.finish();
  stage.runs.push(run);
  const statuses = Object.entries(run.window.refused);
  stage.verdict(
    "answers of the whole time",
    [`202: ${run.window.accepted}`, ...statuses.map(([status, count]) => `${status}: ${count}`)].join(", "),
    "202, 429 or 503",
    statuses.length > 0 && statuses.every(([status]) => ["429", "503"].includes(status)),
  );
  stage.atMost("RSS, more than at the beginning", (run.memory.peakBytes - before) / MB, GROWTH_MAX_MB, "MB");
  stage.clean(run, { mayRefuse: true });
}

/** With deliveries waiting, the disk fills up, receivers become fast, and then there is room again. */
async function fillAndEmpty(
  stage: Stage,
  rig: Rig,
  disk: SmallDisk,
  { title, leftBytes, goesOn, calmMs, fullMs }: Round & { calmMs: number; fullMs: number },
): Promise<void> {
  slow(rig);
  await rig.pause(calmMs);
  await rig.threads.flush();
  const waiting = rig.openCount;
  disk.fill(leftBytes === 0 ? DISK_BYTES : freeBytes(disk) - leftBytes);
  rig.phase = title;
  const refused = await until(rig, REFUSED_MAX_MS, ({ status }) => status !== 202);
  rig.site.behave(0, rig.settings.webhooks, 0, 0);
  await rig.threads.flush();
  const acceptedAtFull = rig.recorder.accepted;
  await rig.pause(fullMs);
  await rig.threads.flush();
  const sneaked = rig.recorder.accepted - acceptedAtFull;
  const left = rig.openCount;
  const low = freeBytes(disk);
  disk.empty();
  rig.phase = "there is room again";
  const resumed = await until(rig, RESUMED_MAX_MS, ({ status }) => status === 202);
  stage.notes.push(
    `${title}: ${waiting} waited when the disk filled up, ${left} before there was room again, ` +
      `${(low / MiB).toFixed(1)} MiB left then, ${sneaked} accepted meanwhile`,
  );
  judge(stage, title, refused, resumed);
  if (!goesOn) return;
  stage.atLeast(`${title}: waiting when it filled up`, waiting, stage.count(WAITING_MIN), "");
  stage.verdict(`${title}: deliveries go on`, `${left} left`, "none waits", left === 0);
}

/** Receivers take a quarter of what comes: there is something to deliver when events are refused. */
function slow(rig: Rig): void {
  rig.site.behave(0, rig.settings.webhooks, 0, LATENCY_MS);
}

function judge(stage: Stage, title: string, refused: Waited, resumed: Waited): void {
  const { status, hasRetryAfter, code } = refused.last;
  stage.verdict(
    `${title}: answer`,
    `${status} ${code}${hasRetryAfter ? " with Retry-After" : ""}`,
    "503 with Retry-After",
    status === 503 && hasRetryAfter,
  );
  stage.verdict(
    `${title}: takes events again`,
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
