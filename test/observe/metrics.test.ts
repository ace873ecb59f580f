import { readFileSync } from "node:fs";
import { request } from "node:http";
import { expect, test } from "vitest";
import { metricsDocument } from "../../scripts/generate-docs.ts";
import { METRICS } from "../../src/observe/metric-names.ts";
import { renderMetrics } from "../../src/observe/metrics.ts";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";

test("docs/METRICS.md says what the table of metrics says", () => {
  const written = readFileSync(new URL("../../docs/METRICS.md", import.meta.url), "utf8");
  expect(written).toBe(metricsDocument());
});

test("a running daemon prints every metric of the table and nothing else", async () => {
  const daemon = await startDaemon();
  const { text } = await daemon.call("GET", "/metrics");
  const printed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => match[1]).sort();
  expect(printed).toEqual(Object.keys(METRICS).sort());
});

test("a running daemon prints the labels of the table, each value from the start", async () => {
  const daemon = await startDaemon();
  const { text } = await daemon.call("GET", "/metrics");
  // A counter that appears with its first increase has no increase that Prometheus could see.
  const printed = [...text.matchAll(/^(\w+)\{(\w+)="([^"]+)"\} /gm)]
    .filter(([, , label]) => label !== "le")
    .map(([, ...parts]) => parts.join(" "));
  const expected = Object.entries(METRICS).flatMap(([name, { labels }]) =>
    Object.entries(labels).flatMap(([label, values]) => values.map((value) => `${name} ${label} ${value}`)),
  );
  expect(expected.length).toBeGreaterThan(20);
  expect(printed.sort()).toEqual(expected.sort());
});

test.each([
  ["the short way", {}],
  ["the full way", { "transfer-encoding": "chunked" }],
])("an event that a full disk refuses is counted, by %s", async (_way, headers) => {
  const daemon = await startDaemon({ env: { HOOKD_LIMITS_DISK_FREE: "1000GiB" } });
  const answer = await publish(daemon, headers);
  expect(answer).toBe(503);
  const { text } = await daemon.call("GET", "/metrics");
  expect(text).toContain('hookd_events_refused_total{code="disk_full"} 1\n');
});

/** By node:http, which sends a length or chunks as it is told. */
function publish({ server, key }: TestDaemon, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const body = '{"event_id": "user.created", "payload": {}}';
    const length = "transfer-encoding" in headers ? {} : { "content-length": body.length };
    const call = request(
      `${server}/v1/events`,
      {
        method: "POST",
        headers: {
          authorization: `Bearer ${key}`,
          "content-type": "application/json",
          ...length,
          ...headers,
        },
      },
      (answer) => answer.resume().on("end", () => resolve(answer.statusCode)),
    );
    call.on("error", reject).end(body);
  });
}

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
