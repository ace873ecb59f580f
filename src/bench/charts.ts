import type { RunFigures, SeriesRow } from "./result.ts";

/** A chart as ECharts takes it: plain data, so that it can be drawn here or written into a page. */
export interface Chart {
  readonly title: string;
  readonly option: Readonly<Record<string, unknown>>;
}

const MiB = 2 ** 20;
/** Points of a line; of a longer run every n-th second is drawn. */
const POINTS_MAX = 900;
/** Logarithms have no zero: what was not measured is left out. */
const MS_MIN = 0.01;

export function throughputChart(run: RunFigures): Chart {
  const rows = thinned(run.series);
  return chart("Throughput, events/s", rows, [
    line("offered", rows, ({ offered }) => offered, { lineStyle: { type: "dashed" } }),
    line("accepted", rows, ({ accepted }) => accepted),
    line("delivered", rows, ({ delivered }) => delivered),
    line("refused", rows, ({ refused }) => refused),
  ]);
}

export function latencyChart(run: RunFigures): Chart {
  const rows = thinned(run.series);
  const positive = (value: number) => (value < MS_MIN ? null : value);
  return chart(
    "Latency from when an event was due, ms",
    rows,
    [
      line("accept p50", rows, (row) => positive(row.acceptP50Ms)),
      line("accept p99", rows, (row) => positive(row.acceptP99Ms)),
      line("receive p50", rows, (row) => positive(row.receiveP50Ms)),
      line("receive p99", rows, (row) => positive(row.receiveP99Ms)),
    ],
    "log",
  );
}

function backlogChart(run: RunFigures): Chart {
  const rows = thinned(run.series);
  return chart("Backlog, deliveries", rows, [
    line("backlog", rows, ({ backlog }) => backlog, { areaStyle: { opacity: 0.2 } }),
  ]);
}

function resourcesChart(run: RunFigures): Chart {
  const rows = thinned(run.series);
  const base = chart("CPU and memory of the daemon", rows, [
    line("CPU, cores", rows, ({ cpuCores }) => rounded(cpuCores)),
    line("memory, MiB", rows, ({ rssBytes }) => Math.round(rssBytes / MiB), { yAxisIndex: 1 }),
  ]);
  return {
    ...base,
    option: {
      ...base.option,
      yAxis: [
        { type: "value", name: "cores" },
        { type: "value", name: "MiB", splitLine: { show: false } },
      ],
    },
  };
}

/** All that a run has to show. */
export function chartsOf(run: RunFigures): Chart[] {
  return [throughputChart(run), latencyChart(run), backlogChart(run), resourcesChart(run)];
}

function chart(
  title: string,
  rows: readonly SeriesRow[],
  series: readonly unknown[],
  scale: "value" | "log" = "value",
): Chart {
  return {
    title,
    option: {
      animation: false,
      backgroundColor: "transparent",
      tooltip: { trigger: "axis" },
      legend: { top: 0 },
      grid: { left: 64, right: 64, top: 40, bottom: 40 },
      xAxis: { type: "category", name: "s", data: rows.map(({ second }) => second) },
      yAxis: { type: scale },
      series,
    },
  };
}

function line(
  name: string,
  rows: readonly SeriesRow[],
  value: (row: SeriesRow) => number | null,
  more: Readonly<Record<string, unknown>> = {},
) {
  return { name, type: "line", showSymbol: false, connectNulls: false, data: rows.map(value), ...more };
}

function thinned(series: readonly SeriesRow[]): readonly SeriesRow[] {
  const step = Math.ceil(series.length / POINTS_MAX);
  return step <= 1 ? series : series.filter((_row, index) => index % step === 0);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
