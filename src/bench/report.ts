import { embeddedText } from "../lib/embedded.ts";
import { chartsOf } from "./charts.ts";
import { figuresOf, machineText } from "./figures.ts";
import type { BenchResult, RunFigures } from "./result.ts";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --good: #17803d; --bad: #c62828; --doubtful: #9a6700 }
@media (prefers-color-scheme: dark) { :root { --good: #4ade80; --bad: #ff8a80; --doubtful: #facc15 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; font-variant-numeric: tabular-nums }
th { white-space: nowrap }
.good { color: var(--good) } .bad { color: var(--bad) } .doubtful { color: var(--doubtful) }
.chart { height: 20rem; margin-bottom: 1rem }
`;

const SCRIPT = `
const dark = matchMedia("(prefers-color-scheme: dark)");
const boxes = [...document.querySelectorAll(".chart")];
const options = JSON.parse(document.getElementById("charts").textContent);
function draw() {
  boxes.forEach((box, index) => {
    echarts.getInstanceByDom(box)?.dispose();
    echarts.init(box, dark.matches ? "dark" : null).setOption(options[index]);
  });
}
draw();
dark.addEventListener("change", draw);
addEventListener("resize", () => boxes.forEach((box) => echarts.getInstanceByDom(box).resize()));
`;

/** A result as one HTML page that needs nothing else: the drawing library is in it. */
export function reportPage(result: BenchResult): string {
  const charts = result.runs.flatMap(chartsOf);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>hookd bench: ${escapeHtml(result.name)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>hookd bench: ${escapeHtml(result.name)}</h1>
<p>${escapeHtml(machineText(result))}<br>${escapeHtml(result.startedAt)}</p>
${warnings(result)}
${verdictTable(result)}
${result.runs.map(runSection).join("\n")}
${noteList(result)}
<script type="application/json" id="charts">${scriptJson(charts.map(({ option }) => option))}</script>
<script>${scriptText(embeddedText("echarts.js"))}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function warnings({ isVoid, isPartial, scale }: BenchResult): string {
  const lines = [
    ...(isVoid ? ["Void: the machine was noisy, no figure here counts."] : []),
    ...(isPartial ? ["Stopped before its end."] : []),
    ...(scale === 1 ? [] : [`Scaled to ${scale}: a trial, not a measurement.`]),
  ];
  return lines.map((line) => `<p class="bad"><strong>${escapeHtml(line)}</strong></p>`).join("\n");
}

function noteList({ notes }: BenchResult): string {
  const items = notes.map((note) => `<li>${escapeHtml(note)}</li>`);
  return items.length === 0 ? "" : `<h2>Notes</h2>\n<ul>${items.join("\n")}</ul>`;
}

function verdictTable({ verdicts }: BenchResult): string {
  if (verdicts.length === 0) return "";
  const rows = verdicts.map(
    ({ name, figure, bar, isMet }) =>
      `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(figure)}</td><td>${escapeHtml(bar)}</td>` +
      `<td class="${isMet ? "good" : "bad"}">${isMet ? "met" : "missed"}</td></tr>`,
  );
  return `<h2>Verdicts</h2>\n<table>${rows.join("\n")}</table>`;
}

function runSection(run: RunFigures): string {
  const rows = figuresOf(run).map(
    ({ name, text, mood = "" }) =>
      `<tr><th>${escapeHtml(name)}</th><td class="${mood}">${escapeHtml(text)}</td></tr>`,
  );
  const charts = chartsOf(run).map(({ title }) => `<h3>${escapeHtml(title)}</h3>\n<div class="chart"></div>`);
  return `<h2>${escapeHtml(run.title)}</h2>\n<table>${rows.join("\n")}</table>\n${charts.join("\n")}`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** JSON inside of a script element: no text in it can end the element. */
function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function scriptText(source: string): string {
  return source.replaceAll("</script", "<\\/script");
}
