import { measure } from "../measure.ts";
import type { SeriesRow } from "../result.ts";
import type { Scenario } from "../stage.ts";

const RATE = 12_000;
const DURATION_MS = 30 * 60_000;
const KEPT_MS = 5 * 60_000;
/** The least that hookd takes. */
const KEPT_MIN_MS = 60_000;
const GROWTH_MAX = 1.2;
const DISK_GROWTH_MAX = 1.1;
const MiB = 2 ** 20;

/** Half an hour with retention at work: what is pruned makes room for what comes, and nothing creeps up. */
export const retention: Scenario = {
  name: "retention",
  takes: ["rate", "duration"],
  origins: 1,
  async play(stage) {
    const plan = stage.plan({
      webhooks: 1_000,
      origins: 1,
      ratePerSecond: stage.options.rateGiven ?? RATE,
      durationMs: stage.ms(stage.options.durationGivenMs ?? DURATION_MS),
    });
    const kept = Math.max(KEPT_MIN_MS, stage.ms(KEPT_MS));
    const config = { retention: { success: `${kept}ms` } };
    await stage.withRig(plan, { config }, async (rig) => {
      const run = await measure(rig, { title: "half an hour", plan, drainMaxMs: stage.options.drainMaxMs });
      stage.runs.push(run);
      stage.clean(run);
      const firstSecond = run.series.findIndex(({ accepted }) => accepted > 0) + plan.warmUpMs / 1_000;
      const third = Math.floor(plan.durationMs / 3_000);
      const part = (number: number) =>
        run.series.slice(firstSecond + number * third, firstSecond + (number + 1) * third);
      const compare = (name: string, value: (row: SeriesRow) => number, bar: number, unit: string) => {
        const [second, last] = [median(part(1).map(value)), median(part(2).map(value))];
        stage.notes.push(`${name}: ${second.toFixed(1)} ${unit}, then ${last.toFixed(1)} ${unit}`);
        stage.atMost(`${name}, last third to second`, last / second, bar, "x");
      };
      compare("p99 receive", ({ receiveP99Ms }) => receiveP99Ms, GROWTH_MAX, "ms");
      compare("RSS", ({ rssBytes }) => rssBytes / MiB, GROWTH_MAX, "MiB");
      compare("disk", ({ diskBytes }) => diskBytes / MiB, DISK_GROWTH_MAX, "MiB");
    });
  },
};

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
