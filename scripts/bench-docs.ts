// Writes what benchmarks found into the documents: bench-results/*.json (from `hookd bench --save`) become
// the table in README.md, the tables in docs/PERFORMANCE.md (both between marks) and docs/bench.svg.
// No figure is typed by hand.
//   npm run bench:docs
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { init } from "echarts";
import { latencyChart, throughputChart } from "../src/bench/charts.ts";
import { figuresOf, machineText, ms, rate } from "../src/bench/figures.ts";
import type { BenchResult, RunFigures } from "../src/bench/result.ts";
import { SCENARIOS } from "../src/bench/scenarios.ts";

const BEGIN = "<!-- bench:begin -->";
const END = "<!-- bench:end -->";
const MB = 1e6;
/** Of the picture: the run of this name, of the result of this name. */
const DRAWN = { result: "steady", run: /1000 webhooks on 1000 origins/ };
const WIDTH = 900;
const HEIGHT = 520;

/** Why a result is no measurement; null: it is one. */
export function unfitness(result: BenchResult): string | null {
  if (result.isVoid) return "void: noisy machine";
  if (result.isPartial) return "stopped before its end";
  if (result.scale !== 1) return `scaled to ${result.scale}`;
  return result.isOwnLoad && result.verdicts.length > 0 ? "another load than the scenario's" : null;
}

/** The text with what is between the marks replaced. Throws where the marks are missing. */
export function replaceBetween(text: string, content: string): string {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`there are no marks ${BEGIN} ... ${END}`);
  return `${text.slice(0, from + BEGIN.length)}\n${content}\n${text.slice(to)}`;
}

/** A line per run, and how its scenario's bars were met. */
export function summaryTable(results: readonly BenchResult[]): string {
  const [first] = results;
  if (first === undefined) return "No results yet.";
  const rows = results.flatMap((result) => {
    const met = result.verdicts.filter(({ isMet }) => isMet).length;
    const bars = result.verdicts.length === 0 ? "" : `${met} of ${result.verdicts.length}`;
    if (result.runs.length === 0) return [[result.name, "", "", "", "", "", "", bars]];
    return result.runs.map((run, index) => [result.name, ...runCells(run), index === 0 ? bars : ""]);
  });
  const titles = ["bench", "run", "accepted", "delivered", "p99 accept", "p99 receive", "peak memory"];
  return `${machineText(first)}\n\n${table([...titles, "bars met"], rows)}`;
}

/** All figures and verdicts of all results. */
export function fullTables(results: readonly BenchResult[]): string {
  return results
    .map((result) => {
      const verdicts = result.verdicts.map(({ name, figure, bar, isMet }) => [
        name,
        figure,
        bar,
        isMet ? "met" : "missed",
      ]);
      const runs = result.runs.map(
        (run) =>
          `### ${result.name}: ${run.title}\n\n${table(
            ["", ""],
            figuresOf(run).map(({ name, text }) => [name, text]),
          )}`,
      );
      return [
        `## ${result.name}`,
        `${machineText(result)}. ${result.startedAt.slice(0, 10)}.`,
        ...(verdicts.length === 0 ? [] : [table(["verdict", "figure", "bar", ""], verdicts)]),
        ...result.notes.map((note) => `- ${escapeCell(note)}`),
        ...runs,
      ].join("\n\n");
    })
    .join("\n\n");
}

/** Throughput above, latency below, over the seconds of a run. Reads on white and on black. */
export function picture(run: RunFigures): string {
  const parts = [throughputChart(run), latencyChart(run)].map(({ option, title }) => ({
    ...(option as { xAxis: object; yAxis: object; series: object[] }),
    title,
  }));
  const grey = "#8b8b8b";
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height: HEIGHT });
  chart.setOption({
    animation: false,
    textStyle: { color: grey },
    title: parts.map(({ title }, index) => ({
      text: title,
      top: index * (HEIGHT / 2),
      textStyle: { fontSize: 13, color: grey },
    })),
    legend: parts.map(({ series }, index) => ({
      top: index * (HEIGHT / 2),
      right: 10,
      data: series.map((line) => (line as { name: string }).name),
      textStyle: { color: grey },
    })),
    grid: parts.map((_, index) => ({
      left: 64,
      right: 24,
      top: index * (HEIGHT / 2) + 34,
      height: HEIGHT / 2 - 70,
    })),
    xAxis: parts.map(({ xAxis }, index) => ({ ...xAxis, gridIndex: index })),
    yAxis: parts.map(({ yAxis }, index) => ({ ...yAxis, gridIndex: index })),
    series: parts.flatMap(({ series }, index) =>
      series.map((line) => ({ ...line, xAxisIndex: index, yAxisIndex: index })),
    ),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

function runCells(run: RunFigures): string[] {
  const { window, memory } = run;
  return [
    run.title,
    rate(window.acceptedPerSecond),
    rate(window.deliveredPerSecond),
    `${ms(window.accept.p99)} ms`,
    `${ms(window.receive.p99)} ms`,
    `${Math.round(memory.peakBytes / MB)} MB`,
  ];
}

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(titles), `|${titles.map(() => "---|").join("")}`, ...rows.map(line)].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

function readResults(directory: string): BenchResult[] {
  if (!existsSync(directory)) {
    console.error(
      `there is no ${directory}: make it with hookd bench --scenario <name> --save bench-results`,
    );
    process.exit(1);
  }
  const places = new Map(SCENARIOS.map(({ name }, place) => [name, place]));
  const placeOf = ({ name }: BenchResult) => places.get(name) ?? SCENARIOS.length;
  return readdirSync(directory)
    .filter((name) => name.endsWith(".json"))
    .map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as BenchResult)
    .sort((a, b) => placeOf(a) - placeOf(b))
    .filter((result) => {
      const why = unfitness(result);
      if (why !== null) console.error(`${result.name} is left out: ${why}`);
      return why === null;
    });
}

function main(): void {
  const root = join(import.meta.dirname, "..");
  const results = readResults(join(root, "bench-results"));
  for (const [file, content] of [
    ["README.md", summaryTable(results)],
    ["docs/PERFORMANCE.md", fullTables(results)],
  ] as const) {
    const path = join(root, file);
    try {
      writeFileSync(path, replaceBetween(readFileSync(path, "utf8"), content));
    } catch (error) {
      console.error(`${file}: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    }
  }
  const drawn = results
    .find(({ name }) => name === DRAWN.result)
    ?.runs.find(({ title }) => DRAWN.run.test(title));
  if (drawn === undefined) console.error("docs/bench.svg is not drawn: there is no result of steady");
  else writeFileSync(join(root, "docs/bench.svg"), picture(drawn));
}

if (process.argv[1] === import.meta.filename) main();
