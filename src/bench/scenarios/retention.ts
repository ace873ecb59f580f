import { startMeasurement } from "../measure.ts";
import type { SeriesRow } from "../result.ts";
import type { Scenario } from "../stage.ts";

const RATE = 12_000;
const DURATION_MS = 30 * 60_000;
const KEPT_MS = 5 * 60_000;
/** The least that hookd takes. */
const KEPT_MIN_MS = 60_000;
const GROWTH_MAX = 1.2;
const DISK_GROWTH_MAX = 1.1;
/** Such a second stands out. */
const STALL_MS = 100;
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
      const { drainMaxMs } = stage.options;
      const measurement = startMeasurement(rig, { title: "half an hour", plan, drainMaxMs });
      const watches = [1, 2].map((number) =>
        rig.watch(measurement.running.load, {
          fromMs: plan.warmUpMs + (plan.durationMs / 3) * number,
          toMs: plan.warmUpMs + (plan.durationMs / 3) * (number + 1),
        }),
      );
      const run = await measurement.finish();
      const [second, last] = watches.map((watch) => watch.figures());
      stage.runs.push(run);
      stage.clean(run);
      if (second === undefined || last === undefined) throw new Error("two thirds were watched");
      stage.notes.push(
        `p99 of all events of a third: accept ${second.accept.p99.toFixed(1)} ms, then ${last.accept.p99.toFixed(1)} ms; ` +
          `receive ${second.receive.p99.toFixed(1)} ms, then ${last.receive.p99.toFixed(1)} ms`,
      );
      const firstSecond = run.series.findIndex(({ accepted }) => accepted > 0) + plan.warmUpMs / 1_000;
      const third = Math.floor(plan.durationMs / 3_000);
      const part = (number: number) =>
        run.series.slice(firstSecond + number * third, firstSecond + (number + 1) * third);
      // Seconds: one in which the disk stands still would decide a third's own p99.
      const stalls = [part(1), part(2)].map(
        (rows) => rows.filter(({ receiveP99Ms }) => receiveP99Ms > STALL_MS).length,
      );
      stage.notes.push(
        `seconds with p99 receive above ${STALL_MS} ms: ${stalls.join(", then ")}, of ${third} each`,
      );
      const growth =
        ((part(2).at(-1)?.diskBytes ?? 0) - (part(1)[0]?.diskBytes ?? 0)) / MiB / ((2 * third) / 60);
      stage.notes.push(
        `disk: ${growth.toFixed(1)} MiB a minute more in the last two thirds: half of the events have a uid of their ` +
          "publisher's, which is kept for dedupe_window (24 h at least), whatever the retention",
      );
      const compare = (name: string, value: (row: SeriesRow) => number, bar: number, unit: string) => {
        const [then, now] = [median(part(1).map(value)), median(part(2).map(value))];
        stage.notes.push(
          `${name}, median of seconds: ${then.toFixed(1)} ${unit}, then ${now.toFixed(1)} ${unit}`,
        );
        stage.atMost(`${name}, median second of the last third to the second's`, now / then, bar, "x");
      };
      compare("p99 accept", ({ acceptP99Ms }) => acceptP99Ms, GROWTH_MAX, "ms");
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
