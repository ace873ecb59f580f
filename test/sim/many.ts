import { type Plant, plantOf } from "./plants.ts";
import { ENDS, GOES_THROUGH_ENOUGH, type RunReport, simulate } from "./run.ts";
import type { Violation } from "./simulation.ts";

export interface ManyOptions {
  readonly firstSeed: number;
  readonly seeds: number;
  readonly hours: number;
  readonly store: "memory" | "sqlite";
  readonly plant: string | null;
  readonly trace?: (line: string) => void;
  /** Called after each seed. */
  readonly onReport?: (report: RunReport) => void;
}

/** A run in which a plant broke an invariant that it is to break. */
export interface Finding {
  readonly seed: number;
  readonly violation: Violation;
}

export interface ManyReport {
  readonly ran: number;
  readonly failed: readonly RunReport[];
  /** What found the plant. */
  readonly finding: Finding | null;
  readonly totals: { readonly hours: number; readonly deliveries: number; readonly attempts: number };
  /** The least that any seed went through. */
  readonly least: {
    readonly deliveries: number;
    readonly crashes: number;
    readonly behaviourChanges: number;
  };
}

/** One seed after the other. With a plant it ends with the first seed that finds it, by what it is to break. */
export async function simulateMany(options: ManyOptions): Promise<ManyReport> {
  const plant: Plant | null = options.plant === null ? null : plantOf(options.plant);
  const failed: RunReport[] = [];
  const totals = { hours: 0, deliveries: 0, attempts: 0 };
  const least = { deliveries: Infinity, crashes: Infinity, behaviourChanges: Infinity };
  let finding: Finding | null = null;
  let ran = 0;
  while (ran < options.seeds && finding === null) {
    const report = await simulate({ ...options, seed: options.firstSeed + ran, plant });
    ran += 1;
    options.onReport?.(report);
    const { counts } = report;
    totals.hours += counts.hours;
    totals.deliveries += counts.deliveries;
    totals.attempts += counts.attempts;
    if (report.violations.length > 0) {
      failed.push(report);
      if (plant) finding = findingOf(plant, report);
      continue;
    }
    least.deliveries = Math.min(least.deliveries, counts.deliveries);
    least.crashes = Math.min(least.crashes, counts.crashes);
    least.behaviourChanges = Math.min(least.behaviourChanges, counts.behaviourChanges);
  }
  return { ran, failed, finding, totals, least };
}

/** Null where only something else went wrong; an error of the plant's own, and a run that starved, never count. */
export function findingOf(
  { foundBy }: Pick<Plant, "foundBy">,
  { seed, violations }: Pick<RunReport, "seed" | "violations">,
): Finding | null {
  const violation = violations.find(
    ({ invariant }) => foundBy.includes(invariant) && invariant !== ENDS && invariant !== GOES_THROUGH_ENOUGH,
  );
  return violation ? { seed, violation } : null;
}

/** What a failed run came to, and the command that shows it again. */
export function explain(report: RunReport, options: ManyOptions): string {
  const lines = report.violations.map(({ invariant, what }) => `  ${invariant}\n    ${what}`);
  const again = [
    `npm run sim -- --seed ${report.seed} --seeds 1 --hours ${options.hours}`,
    options.store === "memory" ? "" : ` --store ${options.store}`,
    options.plant === null ? "" : ` --plant ${options.plant}`,
    " --trace",
  ];
  return [
    `seed ${report.seed} broke, after ${report.counts.steps} steps:`,
    ...lines,
    "the last steps:",
    ...report.lastSteps.map((step) => `  ${step}`),
    `again: ${again.join("")}`,
  ].join("\n");
}
