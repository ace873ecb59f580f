import type { EngineStats, HistogramSnapshot } from "../engine/port.ts";
import { METRICS } from "./metric-names.ts";

/**
 * Prometheus text (exposition format 0.0.4) of snapshots that the threads keep as plain numbers. Written here rather
 * than with a client library because those count in the process, and hookd's numbers come from several threads.
 * Series keys are `name` or `name{label="value"}`. A name that is not in the table is a bug.
 */
export function renderMetrics(stats: EngineStats): string {
  const series = new Map<string, string[]>();
  for (const [key, value] of [...Object.entries(stats.counters), ...Object.entries(stats.gauges)]) {
    linesOf(series, key).push(`${key} ${value}`);
  }
  for (const [key, histogram] of Object.entries(stats.histograms)) {
    linesOf(series, key).push(...histogramLines(key, histogram));
  }
  return [...series]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, lines]) => {
      const metric = METRICS[name];
      if (!metric) throw new Error(`metric ${name} is not in observe/metric-names.ts`);
      return `# HELP ${name} ${metric.help}\n# TYPE ${name} ${metric.kind}\n${lines.join("\n")}\n`;
    })
    .join("");
}

function linesOf(series: Map<string, string[]>, key: string): string[] {
  const name = key.split("{", 1)[0] ?? key;
  let lines = series.get(name);
  if (!lines) {
    lines = [];
    series.set(name, lines);
  }
  return lines;
}

function histogramLines(name: string, { bounds, counts, sum }: HistogramSnapshot): string[] {
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return `${name}_bucket{le="${bounds[index] ?? "+Inf"}"} ${total}`;
  });
  return [...buckets, `${name}_sum ${sum}`, `${name}_count ${total}`];
}
