import type { Calibration } from "./calibration.ts";
import type { DiskStalls } from "./disk-watch.ts";
import type { Latency } from "./histograms.ts";
import type { Machine } from "./machine.ts";
import type { WindowFigures } from "./recorder.ts";

/** What a bench found: all that is printed, saved and drawn is made of this. */
export interface BenchResult {
  readonly name: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly hookd: string;
  readonly node: string;
  readonly machine: Machine;
  /** 1: as the scenario is meant. Less: scaled down for a trial, whose verdicts are no measurement. */
  readonly scale: number;
  /** A scenario with a rate or a duration that is not its own: its bars are for another load. */
  readonly isOwnLoad: boolean;
  /** It was stopped before its end. */
  readonly isPartial: boolean;
  /** The machine was not quiet: the bare client's rate moved too much. */
  readonly isVoid: boolean;
  readonly runs: readonly RunFigures[];
  readonly verdicts: readonly Verdict[];
  readonly notes: readonly string[];
}

/** A figure against its bar. */
export interface Verdict {
  readonly name: string;
  readonly figure: string;
  readonly bar: string;
  readonly isMet: boolean;
}

export interface RunFigures {
  readonly title: string;
  readonly plan: RunPlan;
  /** What was offered, accepted and delivered in the measured time; the warm-up is not in it. */
  readonly window: WindowFigures & { readonly offered: number };
  readonly ledger: LedgerFigures;
  readonly drainSeconds: number;
  readonly isDrained: boolean;
  readonly cpu: CpuFigures;
  readonly memory: { readonly peakBytes: number; readonly endBytes: number };
  readonly diskBytesPerEvent: number;
  /** From the end of the warm-up on. Null: the system does not tell. */
  readonly diskStalls: DiskStalls | null;
  /** Share of its time that each thread of the generator was at work: near 1 it was the limit itself. */
  readonly generator: Readonly<Record<string, number>>;
  readonly calibration: CalibrationFigures | null;
  readonly ratios: Ratios | null;
  readonly series: readonly SeriesRow[];
}

export interface RunPlan {
  /** Null: closed loop. */
  readonly ratePerSecond: number | null;
  readonly durationMs: number;
  readonly warmUpMs: number;
  readonly webhooks: number;
  readonly origins: number;
  readonly users: number;
  readonly payloadBytes: number;
  readonly batch: number;
  readonly connections: number;
  readonly latencyMs: number;
  readonly failingShare: number;
  readonly hangingShare: number;
}

/** The whole run's, the warm-up with it. */
export interface LedgerFigures {
  readonly offered: number;
  readonly accepted: number;
  readonly refused: number;
  readonly unknown: number;
  readonly delivered: number;
  readonly recovered: number;
  /** Accepted, not delivered, and its receiver is made to fail: hookd still has it. */
  readonly kept: number;
  /** Accepted, and neither delivered nor kept. */
  readonly lost: number;
  readonly duplicated: number;
  readonly unexpected: number;
  readonly wrong: number;
  /** Times that the daemon was killed: what was in flight then may come twice. */
  readonly crashes: number;
  /** Attempts that receivers did not answer with 2xx. */
  readonly turnedAway: number;
}

export interface CpuFigures {
  /** Of the daemon, all threads, for an event from its acceptance to its recorded delivery. */
  readonly microsPerEvent: number;
  readonly microsByThread: Readonly<Record<string, number>>;
  readonly coresUsed: number;
  /** Of all cores' time, what the host gave to others: above 0.02 the machine was smaller than its cores say. */
  readonly stolenShare: number;
}

export interface CalibrationFigures {
  readonly before: Calibration;
  readonly after: Calibration;
  readonly mean: Calibration;
  readonly drift: number;
}

export interface Ratios {
  readonly deliveredToBarePosts: number;
  readonly cpuToBare: number;
}

/** One second. */
export interface SeriesRow {
  readonly second: number;
  readonly offered: number;
  readonly accepted: number;
  readonly refused: number;
  readonly delivered: number;
  readonly acceptP50Ms: number;
  readonly acceptP99Ms: number;
  readonly receiveP50Ms: number;
  readonly receiveP99Ms: number;
  readonly backlog: number | null;
  readonly cpuCores: number;
  readonly rssBytes: number;
  readonly diskBytes: number;
}

export type { Calibration, Latency, WindowFigures };

/** `delivery.in_flight_max`, unless a scenario sets less. */
const IN_FLIGHT_MAX = 4_096;

/** Second copies that crashes excuse: of what was in flight, each time. */
export function copiesMax({ crashes }: Pick<LedgerFigures, "crashes">): number {
  return crashes * IN_FLIGHT_MAX;
}

/** What of a run's ledger speaks against it, as words for people. */
export function faultsOf({ title, ledger }: Pick<RunFigures, "title" | "ledger">): string[] {
  const { lost, duplicated, unexpected, wrong } = ledger;
  const named = { lost, unexpected, wrong, duplicated: duplicated > copiesMax(ledger) ? duplicated : 0 };
  return Object.entries(named)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${title}: ${count} ${count === 1 ? "event" : "events"} ${name}`);
}
