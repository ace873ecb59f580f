import { NOISE_MAX } from "./calibration.ts";
import { describeMachine } from "./machine.ts";
import { findMax } from "./max.ts";
import { type Measurement, startMeasurement, withCalibration } from "./measure.ts";
import { type BenchOptions, rigSettings } from "./plan.ts";
import type { BenchResult, RunFigures } from "./result.ts";
import { Rig } from "./rig.ts";
import { BEHAVIOUR } from "./site.ts";
import { prepareRig } from "./stage.ts";

/** A plain run, or the search for the highest rate: calibration, load, drain, ledger, calibration. */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const { plan, calibrateMs, signal } = options;
  const startedAt = new Date().toISOString();
  const rig = await Rig.open(rigSettings(options));
  const machine = describeMachine(rig.workspace.diskDir);
  let measurement: Measurement | null = null;
  const notes: string[] = [];
  const finish = (run: RunFigures, isPartial: boolean): BenchResult => ({
    name: options.isMax ? "max-rate" : "run",
    startedAt,
    hookd: options.hookd,
    node: process.version,
    machine,
    scale: 1,
    isOwnLoad: true,
    isPartial,
    isVoid: (run.calibration?.drift ?? 0) > NOISE_MAX,
    runs: [run],
    verdicts: [],
    notes,
  });
  try {
    rig.phase = "calibrating";
    const before = calibrateMs === 0 ? null : await rig.calibrate(calibrateMs);
    await prepareRig(rig, plan);
    behave(rig, options);
    let run: RunFigures;
    if (options.isMax) {
      const found = await findMax(rig, options);
      notes.push(...found.notes);
      run = found.run;
    } else {
      rig.phase = "loading";
      measurement = startMeasurement(rig, { title: "run", plan, drainMaxMs: options.drainMaxMs });
      run = await measurement.finish();
    }
    await rig.daemon.kill();
    rig.phase = "calibrating";
    const after = calibrateMs === 0 ? null : await rig.calibrate(calibrateMs);
    return finish(withCalibration(run, before, after), false);
  } catch (error) {
    if (!signal.aborted || measurement === null) throw error;
    return finish(await measurement.partial(), true);
  } finally {
    await rig.close();
  }
}

/** As the plan has it: some webhooks' receivers fail, some never answer. */
function behave(rig: Rig, { plan, swallowedWebhook }: BenchOptions): void {
  const failing = Math.round(plan.webhooks * plan.failingShare);
  const hanging = Math.round(plan.webhooks * plan.hangingShare);
  rig.site.behave(0, failing, 500);
  rig.site.behave(failing, hanging, BEHAVIOUR.hang);
  if (swallowedWebhook !== null) rig.site.behave(swallowedWebhook, 1, BEHAVIOUR.swallow);
}
