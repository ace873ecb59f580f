import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { metricsDocument } from "../../scripts/generate-docs.ts";
import { METRICS } from "../../src/observe/metric-names.ts";
import { renderMetrics } from "../../src/observe/metrics.ts";
import { startDaemon } from "../support/daemon.ts";

test("docs/METRICS.md says what the table of metrics says", () => {
  const written = readFileSync(new URL("../../docs/METRICS.md", import.meta.url), "utf8");
  expect(written).toBe(metricsDocument());
});

test("a running daemon prints every metric of the table and nothing else", async () => {
  const daemon = await startDaemon();
  const { text } = await daemon.call("GET", "/metrics");
  const printed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => match[1]).sort();
  // Refusals have a series for each code that occurred: none did.
  const expected = Object.keys(METRICS).filter((name) => name !== "hookd_events_refused_total");
  expect(printed).toEqual(expected.sort());
});

test("a histogram is printed as cumulative buckets with sum and count", () => {
  const text = renderMetrics({
    counters: {},
    gauges: {},
    histograms: { hookd_commit_ms: { bounds: [1, 5], counts: [2, 0, 1], sum: 42 } },
  });
  expect(text.split("\n").slice(2)).toEqual([
    'hookd_commit_ms_bucket{le="1"} 2',
    'hookd_commit_ms_bucket{le="5"} 2',
    'hookd_commit_ms_bucket{le="+Inf"} 3',
    "hookd_commit_ms_sum 42",
    "hookd_commit_ms_count 3",
    "",
  ]);
});

test("a series whose name is not in the table is refused", () => {
  const stats = { counters: { hookd_unheard_of_total: 1 }, gauges: {}, histograms: {} };
  expect(() => renderMetrics(stats)).toThrow("hookd_unheard_of_total");
});
