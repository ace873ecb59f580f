import { METRICS, type Metric } from "../../src/observe/metric-names.ts";
import { parsePromql, type Selector } from "./promql.ts";

/** Labels that Prometheus adds to whatever it scrapes. */
const TARGET_LABELS = ["job", "instance"];
const OF_COUNTERS = ["rate", "increase"];
/** `resets` reads how long a process runs as if it counted. */
const RESETTING = ["hookd_up_seconds"];
const OF_GAUGES = ["deriv", "predict_linear", "avg_over_time", "max_over_time"];

/** What is wrong with how an expression uses hookd's metrics; empty where nothing is. */
export function faultsOf(promql: string, metrics: Readonly<Record<string, Metric>> = METRICS): string[] {
  let expression: ReturnType<typeof parsePromql>;
  try {
    expression = parsePromql(promql);
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  const { selectors, groupings } = expression;
  const used = selectors.flatMap((selector) => Object.keys(labelsOf(selector.name, metrics) ?? {}));
  return [
    ...(selectors.length === 0 ? ["it reads no metric"] : []),
    ...selectors.flatMap((selector) => faultsOfSelector(selector, groupings, metrics)),
    ...groupings
      .filter((label) => ![...TARGET_LABELS, ...used].includes(label))
      .map((label) => `no metric in it has a label ${label}`),
  ].map((fault) => `${fault}: ${promql}`);
}

function faultsOfSelector(
  { name, matchers, isRange, within, around }: Selector,
  groupings: readonly string[],
  metrics: Readonly<Record<string, Metric>>,
): string[] {
  const labels = labelsOf(name, metrics);
  if (!labels) return [`there is no metric ${name}`];
  const faults: string[] = [];
  const isCounting = metrics[name]?.kind !== "gauge";
  if (isCounting && !OF_COUNTERS.includes(within ?? ""))
    faults.push(`${name} only ever grows: take its rate`);
  if (!isCounting && OF_COUNTERS.includes(within ?? ""))
    faults.push(`${name} is a gauge: it has no ${within}`);
  if (isCounting && OF_GAUGES.includes(within ?? "")) faults.push(`${within} is for gauges, not for ${name}`);
  if (within === "resets" && !RESETTING.includes(name)) faults.push(`${name} has no resets to count`);
  if (isRange && within === null) faults.push(`${name}[...] is in no function`);
  const isBucket = "le" in labels;
  if (isBucket !== around.includes("histogram_quantile"))
    faults.push(`histogram_quantile is for buckets: ${name}`);
  if (isBucket && !groupings.includes("le")) faults.push(`${name} is summed without le`);
  for (const { label, operator, value } of matchers) {
    const values = labels[label];
    if (!values) {
      if (!TARGET_LABELS.includes(label)) faults.push(`${name} has no label ${label}`);
      continue;
    }
    const given = operator.includes("~") ? value.split("|") : [value];
    const unknown = given.filter((one) => !values.includes(one));
    if (unknown.length > 0) faults.push(`${label} of ${name} is never ${unknown.join(" or ")}`);
  }
  return faults;
}

/** Null where there is no such series. */
function labelsOf(name: string, metrics: Readonly<Record<string, Metric>>): Metric["labels"] | null {
  const metric = metrics[name];
  if (metric) return metric.kind === "histogram" ? null : metric.labels;
  const [, base = "", part] = /^(.*)_(bucket|sum|count)$/.exec(name) ?? [];
  const histogram = metrics[base];
  if (histogram?.kind !== "histogram") return null;
  return part === "bucket" ? { ...histogram.labels, le: [] } : histogram.labels;
}
