import { type Calibration, driftOf, meanOf } from "./calibration.ts";
import { type Target, targetOf } from "./load.ts";
import { monoMs } from "./mono.ts";
import { directoryBytes, type HostCpu, processMemory } from "./proc.ts";
import type { Watch } from "./recorder.ts";
import type { CalibrationFigures, CpuFigures, LedgerFigures, Ratios, RunFigures, RunPlan } from "./result.ts";
import type { Drained, LoadOptions, Mark, Rig, RunningLoad } from "./rig.ts";
import { seriesOf } from "./series.ts";
import type { Busy } from "./threads.ts";

/** Room for the last events of a load that keeps up. */
const CUT_OFF_MS = 200;

export interface MeasureOptions {
  readonly title: string;
  readonly plan: RunPlan;
  readonly drainMaxMs: number;
  /** What cannot be sent in its time is left out, instead of being sent late. */
  readonly isCutOff?: boolean;
  /** Deliveries that are made beside the load's: its CPU is shared with them. */
  readonly deliveriesBeside?: number;
  /** Webhooks that it goes to; left out: all of the plan's, in turn. */
  readonly target?: Target;
  /** Of which webhooks latency and rates are told; left out: of all. */
  readonly filter?: (webhook: number) => boolean;
}

/** A load under way, from which figures can be taken at any time. */
export interface Measurement {
  readonly running: RunningLoad;
  readonly watch: Watch;
  /** Waits for the end of the load and until receivers have had all of it. */
  finish(): Promise<RunFigures>;
  /** What there is by now, when the run is stopped. */
  partial(): Promise<RunFigures>;
}

/** Puts a plan's load on the rig and measures it, its warm-up aside. */
export function startMeasurement(rig: Rig, options: MeasureOptions): Measurement {
  const { plan } = options;
  const running = rig.startLoad(loadOf(options));
  const { load } = running;
  const watch = rig.watch(load, {
    fromMs: plan.warmUpMs,
    toMs: plan.warmUpMs + plan.durationMs,
    ...(options.filter === undefined ? {} : { filter: options.filter }),
  });
  let begunAt: Begun | null = null;
  const warm = (async () => {
    await rig.pauseUntil(load.startMono + plan.warmUpMs);
    begunAt = { mark: rig.mark(), accepted: rig.recorder.accepted, busy: await rig.threads.flush() };
  })();
  // Whoever finishes hears of it.
  warm.catch(() => {});

  async function figures(drained: Drained): Promise<RunFigures> {
    const busy = await rig.threads.flush();
    const end = rig.mark();
    const accepted = rig.recorder.accepted - (begunAt?.accepted ?? 0);
    const worked = accepted + (options.deliveriesBeside ?? 0);
    const window = watch.figures(monoMs());
    watch.end();
    return {
      title: options.title,
      plan,
      window: { ...window, offered: offeredIn(rig, running, options) },
      ledger: await ledgerOf(rig),
      drainSeconds: drained.seconds,
      isDrained: drained.isComplete,
      cpu: cpuOf(begunAt?.mark ?? end, end, worked),
      memory: {
        peakBytes: rig.sampler.peakBytes,
        endBytes: processMemory(rig.daemon.pid)?.rssBytes ?? 0,
      },
      diskBytesPerEvent:
        Math.max(0, directoryBytes(rig.workspace.dataDir) - rig.emptyBytes) /
        Math.max(1, rig.recorder.accepted),
      diskStalls: rig.disk.between(begunAt?.mark.atMono ?? end.atMono, end.atMono),
      generator: utilisation(begunAt?.busy ?? {}, busy),
      calibration: null,
      ratios: null,
      series: seriesOf(rig),
    };
  }

  return {
    running,
    watch,
    async finish() {
      await running.done;
      rig.phase = `${options.title}: draining`;
      const drained = await rig.drain(options.drainMaxMs);
      await warm;
      return figures(drained);
    },
    partial: () => figures({ seconds: 0, isComplete: false }),
  };
}

export async function measure(rig: Rig, options: MeasureOptions): Promise<RunFigures> {
  rig.phase = options.title;
  return startMeasurement(rig, options).finish();
}

export function withCalibration(
  run: RunFigures,
  before: Calibration | null,
  after: Calibration | null,
): RunFigures {
  if (before === null || after === null) return run;
  const mean = meanOf(before, after);
  const calibration: CalibrationFigures = { before, after, mean, drift: driftOf(before, after) };
  const ratios: Ratios = {
    deliveredToBarePosts: run.window.deliveredPerSecond / mean.postsPerSecond,
    cpuToBare: run.cpu.microsPerEvent / (mean.acceptCpuMicros + mean.postCpuMicros),
  };
  return { ...run, calibration, ratios };
}

/** The ledger's account, with the daemon's own of what it still keeps for receivers that fail. */
export async function ledgerOf(rig: Rig): Promise<LedgerFigures> {
  const tally = rig.tally();
  const faults = rig.faults();
  const metrics = tally.owed === 0 ? null : await rig.metrics();
  const keeps = (metrics?.get("hookd_queue_depth") ?? 0) + (metrics?.get("hookd_dlq_size") ?? 0);
  const kept = Math.min(tally.owed, keeps);
  return {
    offered: tally.offered,
    accepted: tally.accepted,
    refused: tally.refused,
    unknown: tally.unknown,
    delivered: tally.delivered,
    recovered: tally.recovered,
    kept,
    lost: tally.missing - kept,
    duplicated: tally.duplicated,
    unexpected: tally.unexpected + faults.neverOffered,
    wrong: faults.misrouted + faults.unreadable + faults.wrongBytes + faults.wrongUid,
    crashes: rig.daemon.crashes,
    turnedAway: tally.turnedAway,
  };
}

function cpuOf(begun: Mark, end: Mark, events: number): CpuFigures {
  const micros = (from: number, to: number) => ((to - from) * 1e6) / Math.max(1, events);
  const [before, after] = [begun.cpu, end.cpu];
  const threads = Object.entries(after.threads)
    .map(([name, seconds]) => [name, micros(before.threads[name] ?? 0, seconds)] as const)
    .filter(([, used]) => used >= 0.5)
    .sort(([, a], [, b]) => b - a);
  return {
    microsPerEvent: micros(before.seconds, after.seconds),
    microsByThread: Object.fromEntries(threads),
    coresUsed: (after.seconds - before.seconds) / Math.max(0.001, (end.atMono - begun.atMono) / 1_000),
    stolenShare: stolenShare(begun.host, end.host),
  };
}

interface Begun {
  readonly mark: Mark;
  readonly accepted: number;
  readonly busy: Busy;
}

function loadOf({ plan, target, drainMaxMs, isCutOff }: MeasureOptions): LoadOptions {
  return {
    ratePerSecond: plan.ratePerSecond,
    durationMs: plan.warmUpMs + plan.durationMs,
    target: target ?? { first: 0, count: plan.webhooks, isScattered: false },
    batch: plan.batch,
    connections: plan.connections,
    lateMaxMs: isCutOff === true ? CUT_OFF_MS : drainMaxMs,
  };
}

/** Events of the window that were sent; those that the filter leaves out are not counted. */
function offeredIn(rig: Rig, { load }: RunningLoad, { plan, filter }: MeasureOptions): number {
  const fromMono = load.startMono + plan.warmUpMs;
  const toMono = fromMono + plan.durationMs;
  let count = 0;
  for (let index = 0; index < load.count; index += 1) {
    const due = rig.ledger.dueMono(load.baseSeq + index);
    if (due < fromMono || due >= toMono) continue;
    if (filter === undefined || filter(targetOf(load.target, index))) count += 1;
  }
  return count;
}

function utilisation(before: Busy, after: Busy): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, { activeMs, idleMs }]) => {
      const active = activeMs - (before[name]?.activeMs ?? 0);
      const idle = idleMs - (before[name]?.idleMs ?? 0);
      return [name, active / Math.max(1, active + idle)];
    }),
  );
}

function stolenShare(before: HostCpu, after: HostCpu): number {
  const seconds = after.seconds - before.seconds;
  return seconds <= 0 ? 0 : (after.stolenSeconds - before.stolenSeconds) / seconds;
}
