import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createProgram } from "../../src/cli/program.ts";
import { METRICS } from "../../src/observe/metric-names.ts";
import { faultsOf } from "./metric-use.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const file = parse(readFileSync(new URL("../../deploy/prometheus-alerts.yaml", import.meta.url), "utf8"));
const rules: readonly Rule[] = file.groups.flatMap((group: { rules: Rule[] }) => group.rules);

describe.each(rules.map((rule) => [rule.alert, rule] as const))("alert %s", (_name, rule) => {
  it("uses metrics, labels and their values as the table has them", () => {
    expect(faultsOf(rule.expr)).toEqual([]);
  });

  it("is written as Prometheus reads it, with a severity, a summary and what to do", () => {
    expect(Object.keys(rule).sort()).toEqual(
      ["alert", "annotations", "expr", "labels", ...(rule.for === undefined ? [] : ["for"])].sort(),
    );
    expect(rule.alert).toMatch(/^Hookd[A-Z][A-Za-z]+$/);
    expect(rule.for ?? "1m").toMatch(/^\d+[smh]$/);
    expect(Object.keys(rule.labels)).toEqual(["severity"]);
    expect(["critical", "warning"]).toContain(rule.labels.severity);
    expect(Object.keys(rule.annotations)).toEqual(["summary", "description"]);
    expect(rule.annotations.summary).not.toBe("");
    expect(rule.annotations.description).toMatch(/`hookd [a-z]/);
  });

  it("names labels in its texts only where the expression keeps them", () => {
    const texts = `${rule.annotations.summary} ${rule.annotations.description}`;
    const named = [...texts.matchAll(/\$labels\.(\w+)/g)].map((match) => match[1] ?? "");
    const grouped = [...rule.expr.matchAll(/by \(([^)]*)\)/g)].map((match) => match[1] ?? "");
    for (const label of named) {
      for (const labels of grouped) expect(labels.split(/,\s*/)).toContain(label);
      if (grouped.length === 0) expect(label).toBe("instance");
    }
    for (const [template] of texts.matchAll(/\{\{.*?\}\}/g)) {
      expect(template).toMatch(/^\{\{ \$(value|labels\.\w+)( \| humanize(Duration|Percentage)?)? \}\}$/);
    }
  });

  it("tells of commands and options that there are", async () => {
    const commands = [...rule.annotations.description.matchAll(/`(hookd [^`]+)`/g)].map(
      (match) => match[1] ?? "",
    );
    for (const command of commands) expect(await isCommand(command), command).toBe(true);
  });
});

it("every alert has a name of its own", () => {
  const names = rules.map((rule) => rule.alert);
  expect(names.length).toBeGreaterThan(15);
  expect(new Set(names).size).toBe(names.length);
});

it.each([
  "hookd top",
  "hookd doctor",
  "hookd dlq list",
  "hookd deliveries tail",
  "hookd deliveries explain",
  "hookd webhooks get",
  "hookd resume",
])("%s, which shows or mends trouble, is named where there is some", (command) => {
  const texts = rules.map(({ annotations }) => annotations.description);
  expect(texts.some((text) => text.includes(`\`${command}`))).toBe(true);
});

it.each([
  "hookd_queue_depth",
  "hookd_oldest_due_seconds",
  "hookd_deliveries_dead_total",
  "hookd_disk_free_bytes",
  "hookd_commit_failures_total",
  "hookd_clock_gap_seconds",
  "hookd_lanes_open",
  "hookd_paused",
  "hookd_lane_count_drift_total",
  "hookd_archive_failing",
  "hookd_events_refused_total",
  "hookd_attempts_total",
])("something watches %s", (name) => {
  expect(rules.some((rule) => rule.expr.includes(name))).toBe(true);
});

describe("the check of expressions", () => {
  it.each([
    ["hookd_unheard_of > 1", /no metric hookd_unheard_of/],
    ["rate(hookd_queue_depth[5m]) > 1", /is a gauge: it has no rate/],
    ["hookd_attempts_total > 1", /only ever grows/],
    ["deriv(hookd_attempts_total[5m]) > 1", /only ever grows/],
    ["hookd_commit_ms > 1", /no metric hookd_commit_ms/],
    ["rate(hookd_commit_ms_bucket[5m]) > 1", /histogram_quantile is for buckets/],
    ["histogram_quantile(0.9, sum by (instance) (rate(hookd_commit_ms_bucket[5m])))", /summed without le/],
    ["histogram_quantile(0.9, sum by (le) (rate(hookd_commit_ms_count[5m])))", /is for buckets/],
    ['rate(hookd_attempts_total{reason="exhausted"}[5m])', /no label reason/],
    ['rate(hookd_attempts_total{verdict="sucess"}[5m])', /is never sucess/],
    ['rate(hookd_attempts_total{verdict=~"gone|lots"}[5m])', /is never lots/],
    ["sum by (webhook) (hookd_queue_depth)", /has a label webhook/],
    ["rate(hookd_attempts_total)", /needs a range, not a vector/],
    ["rate(hookd_attempts_total[5])", /no duration/],
    ["hookd_queue_depth[5m] > 1", /on a range/],
    ["resets(hookd_queue_depth[5m]) > 1", /no resets/],
    ["irate_of(hookd_queue_depth) > 1", /no function/],
    ["hookd_queue_depth > 1)", /the end is expected/],
    ["sum(hookd_queue_depth", /is expected/],
    ["hookd_queue_depth > $x", /no PromQL/],
    ["hookd_queue_depth and 1", /needs vectors/],
    ["1 > 2", /reads no metric/],
  ])("refuses %s", (promql, fault) => {
    expect(faultsOf(promql).join("\n")).toMatch(fault);
  });

  it("takes a metric that the table has, and no other", () => {
    expect(faultsOf("hookd_queue_depth > 1")).toEqual([]);
    const { hookd_queue_depth: _gone, ...others } = METRICS;
    expect(faultsOf("hookd_queue_depth > 1", others)).toHaveLength(1);
  });
});

/** Whether the words name a command, and each --option is one of its. */
async function isCommand(text: string): Promise<boolean> {
  const words = text.split(/\s+/).slice(1);
  let command = await createProgram([]);
  while (words[0] !== undefined) {
    const next = command.commands.find(
      (one) => one.name() === words[0] || one.aliases().includes(words[0] ?? ""),
    );
    if (!next) break;
    command = next;
    words.shift();
  }
  const options = command.options.map(({ long }) => long);
  const isWhole = command.parent !== null && command.commands.length === 0;
  return isWhole && words.filter((word) => word.startsWith("--")).every((word) => options.includes(word));
}
