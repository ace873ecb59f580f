/**
 * What screens are made of: lines of spans. A screen is a pure function from its state to lines, and one component
 * (app.ts) draws them all; so screens are tested as text. The texts of spans are inert: see inert.ts.
 */
export type Ink = "red" | "green" | "yellow" | "cyan";

export interface Span {
  readonly text: string;
  readonly ink?: Ink | undefined;
  readonly isDim?: boolean;
  readonly isBold?: boolean;
  /** Light on dark turned round: the line that keys act on, and titles. */
  readonly isInverse?: boolean;
}

export type Line = readonly Span[];

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export const EMPTY: Line = [];
const GAP = 2;

export function textOf(line: Line): string {
  return line.map(({ text }) => text).join("");
}

export function plain(text: string): Line {
  return [{ text }];
}

export function dim(text: string): Span {
  return { text, isDim: true };
}

/** Cut or padded to this many characters. */
export function padRight(text: string, width: number): string {
  if (text.length <= width) return text.padEnd(width);
  return width > 3 ? `${text.slice(0, width - 3)}...` : text.slice(0, width);
}

export function padLeft(text: string, width: number): string {
  return text.length > width ? padRight(text, width) : text.padStart(width);
}

/** A screen's lines: the body cut or filled up to its height, so that the footer stands at the bottom. */
export function framed(header: readonly Line[], body: readonly Line[], height: number, footer: Line): Line[] {
  const fill = Array.from({ length: Math.max(0, height - body.length) }, () => EMPTY);
  return [...header, ...body.slice(0, height), ...fill, footer];
}

/** A cell of a table's column. */
export function cell({ width, isRight }: { width: number; isRight?: boolean }, text: string): string {
  return isRight === true ? padLeft(text, width) : padRight(text, width);
}

/** The line that keys act on stands out as a whole; any line of a list leaves room for its mark. */
export function listLine(spans: readonly Span[], isSelected: boolean, ink: Ink | undefined): Line {
  const line: Line = [{ text: isSelected ? "> " : "  " }, ...spaced(spans)];
  return isSelected ? [{ text: textOf(line), isInverse: true, ink }] : line;
}

/** What is typed into a filter, with its cursor. */
export function filterLine(filter: string): Line {
  return [{ text: "/" }, { text: filter }, { text: " ", isInverse: true }];
}

/** Of a table's columns those that fit the width, by their rank: 1 is shown always, then 2, and so on. */
export function fittingColumns<Column extends { readonly width: number; readonly rank: number }>(
  columns: readonly Column[],
  space: number,
): Column[] {
  let used = 0;
  const kept = new Set<Column>();
  for (const column of [...columns].sort((a, b) => a.rank - b.rank)) {
    if (column.rank > 1 && used + column.width + GAP > space) break;
    used += column.width + GAP;
    kept.add(column);
  }
  return columns.filter((column) => kept.has(column));
}

/** Spans with the gap of columns between them. */
export function spaced(spans: readonly Span[]): Line {
  return spans.flatMap((span, index) => (index === 0 ? [span] : [{ text: " ".repeat(GAP) }, span]));
}

/** Left and right of one line; where both do not fit, the right one gives way. */
export function justified(left: Line, right: Line, columns: number): Line {
  const room = columns - textOf(left).length - textOf(right).length;
  return room < 1 ? left : [...left, { text: " ".repeat(room) }, ...right];
}

/** Characters of two cells: East Asian scripts, their full-width forms, pictures. */
const WIDE =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60]/u;
const MARK = /\p{Mark}/u;

/** Broken into lines of so many cells, at spaces where there are any. */
export function wrap(text: string, columns: number): string[] {
  const width = Math.max(1, columns);
  const lines: string[] = [];
  let line = "";
  let cells = 0;
  for (const character of text) {
    const size = MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
    if (cells + size > width) {
      const at = line.lastIndexOf(" ");
      const isWord = at > width / 2 && character !== " ";
      lines.push(isWord ? line.slice(0, at) : line);
      line = isWord ? line.slice(at + 1) : "";
      cells = line.length;
    }
    line += character;
    cells += size;
  }
  lines.push(line);
  return lines;
}
