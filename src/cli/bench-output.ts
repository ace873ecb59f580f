import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Figure, figuresOf, machineText } from "../bench/figures.ts";
import { type BenchResult, faultsOf } from "../bench/result.ts";
import { Failure, messageOf } from "./failure.ts";
import { printFields, printTable } from "./table.ts";
import type { Cell, Colour, Terminal } from "./terminal.ts";

const COLOURS: Readonly<Record<NonNullable<Figure["mood"]>, Colour>> = {
  good: "green",
  bad: "red",
  doubtful: "yellow",
};

/** A bench's result, for people. */
export function printResult(terminal: Terminal, result: BenchResult): void {
  terminal.line(machineText(result), "dim");
  for (const run of result.runs) {
    terminal.line("");
    terminal.line(run.title, "cyan");
    printFields(
      terminal,
      figuresOf(run).map(({ name, text, mood }): [string, Cell] => [
        name,
        mood === undefined ? { text } : { text, colour: COLOURS[mood] },
      ]),
    );
  }
  if (result.verdicts.length > 0) {
    terminal.line("");
    printVerdicts(terminal, result);
  }
  for (const note of result.notes) terminal.line(note, "dim");
  if (result.scale !== 1) terminal.line(`scaled to ${result.scale}: a trial, not a measurement`, "yellow");
  if (result.isOwnLoad && result.verdicts.length > 0)
    terminal.line("another load than the scenario's: its bars are not for it", "yellow");
  if (result.isPartial) terminal.line("stopped before its end", "yellow");
  if (result.isVoid) terminal.line("void: noisy machine", "red");
  for (const fault of result.isPartial ? [] : faultsIn(result)) terminal.line(fault, "red");
}

/**
 * 1: an event was lost, doubled or made up, a bar was missed, or a verdict means nothing on a noisy machine.
 */
export function exitCodeOf(result: BenchResult): 0 | 1 | 130 {
  if (result.isPartial) return 130;
  const isMissed = result.verdicts.some(({ isMet }) => !isMet);
  const isVoid = result.isVoid && result.verdicts.length > 0;
  return isMissed || isVoid || faultsIn(result).length > 0 ? 1 : 0;
}

/** `<name>.json` in a directory; `bench:docs` reads them. */
export function saveResult(directory: string, result: BenchResult): void {
  write(join(directory, `${result.name}.json`), () => {
    mkdirSync(directory, { recursive: true });
    return `${JSON.stringify(result, null, 1)}\n`;
  });
}

export async function writeReport(file: string, result: BenchResult): Promise<void> {
  const { reportPage } = await import("../bench/report.ts");
  write(file, () => reportPage(result));
}

function printVerdicts(terminal: Terminal, { verdicts }: BenchResult): void {
  printTable(
    terminal,
    [
      { title: "verdict", text: ({ name }) => name },
      { title: "figure", text: ({ figure }) => figure },
      { title: "bar", text: ({ bar }) => bar },
      {
        title: "",
        text: ({ isMet }) => (isMet ? "met" : "missed"),
        colour: ({ isMet }) => (isMet ? "green" : "red"),
      },
    ],
    verdicts,
  );
}

function faultsIn(result: BenchResult): string[] {
  return result.runs.flatMap(faultsOf);
}

function write(file: string, text: () => string): void {
  try {
    writeFileSync(file, text());
  } catch (error) {
    throw new Failure(`cannot write ${file}: ${messageOf(error)}`, { cause: error });
  }
}
