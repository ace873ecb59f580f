import { safeText } from "../lib/safe-text.ts";
import type { Cell, Colour, Terminal } from "./terminal.ts";

/** A column: `text` in a pipe, `shown` (if it differs) on a terminal. */
export interface Column<Row> {
  readonly title: string;
  text(row: Row): string;
  shown?(row: Row): string;
  colour?(row: Row): Colour | undefined;
  /** Is cut where the terminal is too narrow. */
  readonly canShrink?: boolean;
  /** `wide`: left out where the terminal is too narrow. `never`: in a pipe only. */
  readonly onTerminal?: "wide" | "never";
}

const GAP = "  ";
const SHRUNK_MIN = 12;

/** Aligned with titles on a terminal; in a pipe a line per row, cells separated by tabs, nothing left out. */
export function printTable<Row>(
  terminal: Terminal,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void {
  if (!terminal.isTable) {
    for (const row of rows) {
      terminal.cells(
        columns.map((column) => ({ text: column.text(row) })),
        "\t",
      );
    }
    return;
  }
  const fitting = fittingColumns(columns, rows, terminal.columns);
  const cells = rows.map((row) => fitting.map((column) => shownIn(column, row)));
  const widths = widthsOf(fitting, cells, terminal.columns);
  terminal.cells(
    fitting.map(({ title }, index) => ({ text: title, colour: "dim", width: widths[index] })),
    GAP,
  );
  rows.forEach((row, at) => {
    const line = fitting.map((column, index): Cell => {
      const width = widths[index] ?? 0;
      return { text: cut(cells[at]?.[index] ?? "", width), colour: column.colour?.(row), width };
    });
    terminal.cells(line, GAP);
  });
}

/** One object: `name  value` lines, aligned on a terminal, separated by a tab in a pipe. Null values are left out. */
export function printFields(
  terminal: Terminal,
  fields: readonly (readonly [string, Cell | string | null])[],
): void {
  const present = fields.filter((field): field is readonly [string, Cell | string] => field[1] !== null);
  const width = Math.max(0, ...present.map(([name]) => name.length));
  for (const [name, value] of present) {
    const cell: Cell = typeof value === "string" ? { text: value } : value;
    const title: Cell = terminal.isTable ? { text: name, colour: "dim", width } : { text: name };
    terminal.cells([title, cell], terminal.isTable ? GAP : "\t");
  }
}

/** Without the columns for wide terminals where all of them, shrunk, would not fit. */
function fittingColumns<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  space: number,
): readonly Column<Row>[] {
  const shown = columns.filter(({ onTerminal }) => onTerminal !== "never");
  const cells = rows.map((row) => shown.map((column) => shownIn(column, row)));
  const widths = widthsOf(shown, cells, space);
  const isTooWide = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length) > space;
  return isTooWide ? shown.filter(({ onTerminal }) => onTerminal !== "wide") : shown;
}

function shownIn<Row>(column: Column<Row>, row: Row): string {
  return safeText((column.shown ?? column.text)(row));
}

function widthsOf<Row>(
  columns: readonly Column<Row>[],
  cells: readonly (readonly string[])[],
  space: number,
): number[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((row) => row[index]?.length ?? 0)),
  );
  let excess = widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length) - space;
  columns.forEach((column, index) => {
    const width = widths[index] ?? 0;
    if (column.canShrink !== true || excess <= 0 || width <= SHRUNK_MIN) return;
    const shrunk = Math.max(SHRUNK_MIN, width - excess);
    excess -= width - shrunk;
    widths[index] = shrunk;
  });
  return widths;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 3)}...`;
}
