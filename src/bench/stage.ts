import { setTimeout as sleep } from "node:timers/promises";
import { type Calibration, driftOf, NOISE_MAX } from "./calibration.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { withCalibration } from "./measure.ts";
import type { Pair } from "./pairs.ts";
import { type BenchOptions, rigSettings } from "./plan.ts";
import { directoryBytes } from "./proc.ts";
import {
  type BenchResult,
  copiesMax,
  faultsOf,
  type RunFigures,
  type RunPlan,
  type Verdict,
} from "./result.ts";
import { Rig, type RigSettings } from "./rig.ts";
import { BEHAVIOUR } from "./site.ts";
import { Workspace } from "./workspace.ts";

/** Shorter makes no figure, however much is scaled down. */
const SPAN_MIN_MS = 1_000;
const BETWEEN_RIGS_MS = 500;

/** A run and its setting: one after the other, each with a daemon and a data directory of its own. */
export interface Scenario {
  readonly name: string;
  /** Which of `--rate` and `--duration` may be given; the rest is the scenario's own. */
  readonly takes: readonly ("rate" | "duration")[];
  /** For the bare client's posts. */
  readonly origins: number;
  play(stage: Stage): Promise<void>;
}

/** Where a scenario is played, and where it says what it found. */
export class Stage {
  readonly options: BenchOptions;
  readonly scale: number;
  readonly runs: RunFigures[] = [];
  readonly verdicts: Verdict[] = [];
  readonly notes: string[] = [];
  machine: Machine | null = null;
  /** Verdicts that need the calibration, which ends last. */
  judge: (runs: readonly RunFigures[]) => void = () => {};

  constructor(options: BenchOptions, scale: number) {
    this.options = options;
    this.scale = scale;
  }

  /** A time of the scenario, scaled. */
  ms(full: number): number {
    return Math.max(SPAN_MIN_MS, Math.round(full * this.scale));
  }

  /** A number of things, scaled; `least` of them at least. */
  count(full: number, least = 1): number {
    return Math.max(least, Math.round(full * this.scale));
  }

  plan(changes: Partial<RunPlan>): RunPlan {
    return { ...this.options.plan, latencyMs: 0, failingShare: 0, hangingShare: 0, batch: 1, ...changes };
  }

  /** A daemon with its webhooks registered, for as long as `body` takes. */
  async withRig<T>(plan: RunPlan, changes: Partial<RigSettings>, body: (rig: Rig) => Promise<T>): Promise<T> {
    // The last daemon's memory and files are on their way out.
    await sleep(BETWEEN_RIGS_MS);
    const rig = await Rig.open(rigSettings({ ...this.options, plan }, changes));
    try {
      this.machine ??= describeMachine(rig.workspace.diskDir);
      await prepareRig(rig, plan);
      return await body(rig);
    } finally {
      await rig.close();
    }
  }

  verdict(name: string, figure: string, bar: string, isMet: boolean): void {
    this.verdicts.push({ name, figure, bar, isMet });
  }

  atMost(name: string, value: number, bar: number, unit: string): void {
    this.verdict(name, `${shown(value)} ${unit}`, `at most ${shown(bar)} ${unit}`, value <= bar);
  }

  atLeast(name: string, value: number, bar: number, unit: string): void {
    this.verdict(name, `${shown(value)} ${unit}`, `at least ${shown(bar)} ${unit}`, value >= bar);
  }

  /** Of pairs on one daemon: the last one is shown, and its ledger is of all of them, refusals included. */
  cleanPairs(pairs: readonly Pair[]): void {
    const last = pairs.at(-1);
    if (last === undefined) throw new Error("no pair was played");
    this.runs.push(...last.runs);
    this.clean(last.runs[1]);
  }

  /**
   * Nothing lost, doubled or made up; and nothing refused or left unanswered, where that is not what is played: whoever
   * refuses a part has an easy time with the rest.
   */
  clean(run: Pick<RunFigures, "title" | "ledger">, { mayRefuse = false } = {}): void {
    const { lost, duplicated, unexpected, wrong, refused, unknown, crashes } = run.ledger;
    const copies = crashes === 0 ? "0 duplicated" : `at most ${copiesMax(run.ledger)} duplicated`;
    const isTaken = refused + (crashes === 0 ? unknown : 0) === 0;
    this.verdict(
      `${run.title}: ledger`,
      `${lost} lost, ${duplicated} duplicated, ${unexpected} unexpected, ${wrong} wrong` +
        (mayRefuse ? "" : `, ${refused} refused, ${unknown} unanswered`),
      `0 lost, ${copies}${mayRefuse ? "" : ", 0 refused"}`,
      faultsOf(run).length === 0 && (mayRefuse || isTaken),
    );
  }
}

/** Plays a scenario between two calibrations. What was found by then is the result when it is stopped. */
export async function playScenario(
  scenario: Scenario,
  options: BenchOptions,
  scale: number,
): Promise<BenchResult> {
  const stage = new Stage(options, scale);
  const startedAt = new Date().toISOString();
  let runs: readonly RunFigures[] = stage.runs;
  let [isPartial, isVoid] = [false, false];
  try {
    const before = await calibrateAlone(stage, scenario);
    await scenario.play(stage);
    const after = await calibrateAlone(stage, scenario);
    runs = stage.runs.map((run) => withCalibration(run, before, after));
    isVoid = before !== null && after !== null && driftOf(before, after) > NOISE_MAX;
    stage.judge(runs);
  } catch (error) {
    if (!options.signal.aborted || stage.machine === null) throw error;
    isPartial = true;
  }
  return {
    name: scenario.name,
    startedAt,
    hookd: options.hookd,
    node: process.version,
    machine: stage.machine ?? machineOf(options),
    scale,
    isOwnLoad: options.rateGiven !== null || options.durationGivenMs !== null,
    isPartial,
    isVoid,
    runs,
    verdicts: stage.verdicts,
    notes: stage.notes,
  };
}

/** The daemon runs, the webhooks are registered, their receivers take as long as the plan says. */
export async function prepareRig(rig: Rig, plan: RunPlan): Promise<void> {
  rig.phase = "starting";
  await rig.daemon.start();
  await rig.register(0, plan.webhooks);
  rig.emptyBytes = directoryBytes(rig.workspace.dataDir);
  rig.site.behave(0, plan.webhooks, BEHAVIOUR.ok, plan.latencyMs);
}

/** With no daemon beside it, and receivers of its own. */
async function calibrateAlone(stage: Stage, { origins }: Scenario): Promise<Calibration | null> {
  const { options } = stage;
  if (options.calibrateMs === 0) return null;
  const plan = stage.plan({ origins, webhooks: origins });
  const rig = await Rig.open(rigSettings({ ...options, plan }));
  try {
    stage.machine ??= describeMachine(rig.workspace.diskDir);
    options.onProgress("calibrating");
    return await rig.calibrate(options.calibrateMs);
  } finally {
    await rig.close();
  }
}

function machineOf({ dataDir }: BenchOptions): Machine {
  const workspace = new Workspace(dataDir);
  try {
    return describeMachine(workspace.diskDir);
  } finally {
    workspace.remove();
  }
}

function shown(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}
