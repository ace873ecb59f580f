/** Text with colours (SGR sequences, as `tmux capture-pane -e` gives it) as a picture of a terminal. */

const CELL_WIDTH = 8.4;
const LINE_HEIGHT = 18;
const FONT_SIZE = 14;
const PADDING = 14;
const BACKGROUND = "#11151c";
const FOREGROUND = "#d5dae3";
const COLOURS = ["#3b4252", "#f2777a", "#8fce6b", "#f0c75e", "#7aa2f7", "#c792ea", "#5fc9d8", "#d5dae3"];

interface Style {
  colour: string;
  isBold: boolean;
  isDim: boolean;
  isInverse: boolean;
}

interface Run extends Style {
  readonly at: number;
  readonly text: string;
}

export function svgOf(screen: string, columns: number, title: string): string {
  const lines = screen.replace(/\n+$/, "").split("\n");
  const width = Math.ceil(columns * CELL_WIDTH + 2 * PADDING);
  const height = lines.length * LINE_HEIGHT + 2 * PADDING;
  const style = plain();
  const drawn = lines.flatMap((line, row) => runsOf(line, style).flatMap((run) => drawRun(run, row)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    `<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT_SIZE}">`,
    ...drawn,
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

function plain(): Style {
  return { colour: FOREGROUND, isBold: false, isDim: false, isInverse: false };
}

/** Parts of a line that look alike. The style goes on from line to line. */
function runsOf(line: string, style: Style): Run[] {
  const runs: Run[] = [];
  let at = 0;
  for (const [index, part] of line.split("\u001b[").entries()) {
    // Behind each escape: the numbers, an m, and the text that is to look so.
    const [, codes = "", text = ""] = index === 0 ? ["", "", part] : (/^([0-9;]*)m(.*)$/.exec(part) ?? []);
    if (index > 0) for (const code of codes.split(";")) apply(style, Number(code));
    if (text !== "") runs.push({ ...style, at, text });
    at += text.length;
  }
  return runs;
}

function apply(style: Style, code: number): void {
  if (code === 0) Object.assign(style, plain());
  else if (code === 1) style.isBold = true;
  else if (code === 2) style.isDim = true;
  else if (code === 7) style.isInverse = true;
  else if (code === 22) Object.assign(style, { isBold: false, isDim: false });
  else if (code === 27) style.isInverse = false;
  else if (code >= 30 && code <= 37) style.colour = COLOURS[code - 30] ?? FOREGROUND;
  else if (code >= 90 && code <= 97) style.colour = COLOURS[code - 90] ?? FOREGROUND;
  else if (code === 39) style.colour = FOREGROUND;
}

function drawRun({ at, text, colour, isBold, isDim, isInverse }: Run, row: number): string[] {
  if (text.trim() === "" && !isInverse) return [];
  const x = (PADDING + at * CELL_WIDTH).toFixed(1);
  const top = PADDING + row * LINE_HEIGHT;
  const width = (text.length * CELL_WIDTH).toFixed(1);
  const attributes = [
    `fill="${isInverse ? BACKGROUND : colour}"`,
    ...(isBold ? ['font-weight="bold"'] : []),
    ...(isDim ? ['opacity="0.6"'] : []),
  ].join(" ");
  const box = `<rect x="${x}" y="${top}" width="${width}" height="${LINE_HEIGHT}" fill="${colour}"/>`;
  return [
    ...(isInverse ? [box] : []),
    // Its length is given, so that columns are columns in whichever font there is.
    `<text x="${x}" y="${top + 13}" textLength="${width}" xml:space="preserve" ${attributes}>${escaped(text)}</text>`,
  ];
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
