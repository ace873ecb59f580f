import { type Environment, processEnvironment } from "../config/environment.ts";
import { safeJson, safeText } from "../lib/safe-text.ts";

export type Colour = "red" | "green" | "yellow" | "cyan" | "dim";

const CODES: Readonly<Record<Colour, number>> = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2 };

/** Where a command's words go. Everything is made inert on the way: colours are added here and nowhere before. */
export interface Terminal {
  readonly env: Environment;
  /** Somebody looks at stdout: tables and relative times. Otherwise plain lines. */
  readonly isTable: boolean;
  /** Somebody can be asked. */
  readonly isInteractive: boolean;
  /** Somebody looks at stderr: progress rewrites its line. */
  readonly hasLiveErrors: boolean;
  readonly columns: number;
  /** A line on stdout. */
  line(text: string, colour?: Colour): void;
  /** Cells of one line, made inert and coloured one by one, then joined. */
  cells(cells: readonly Cell[], separator: string): void;
  /** JSON text on stdout, as it came. */
  json(text: string): void;
  /** A line on stderr. */
  note(text: string, colour?: Colour): void;
  /** Rewrites stderr's last line; an empty text clears it. Only where `hasLiveErrors`. */
  rewrite(text: string): void;
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour | undefined;
  /** Pads to this many characters; the text must fit. */
  readonly width?: number | undefined;
}

export function createTerminal(): Terminal {
  const env = processEnvironment();
  const { stdin, stdout, stderr } = process;
  const isColourful = (env.NO_COLOR ?? "") === "" && env.TERM !== "dumb";
  let isRewriting = false;

  function paint(text: string, colour: Colour | undefined, isTerminal: boolean): string {
    return colour !== undefined && isTerminal && isColourful
      ? `\u001b[${CODES[colour]}m${text}\u001b[0m`
      : text;
  }

  function rewrite(text: string): void {
    if (!stderr.isTTY || (text === "" && !isRewriting)) return;
    stderr.write(`\r\u001b[K${safeText(text).slice(0, (stderr.columns ?? 80) - 1)}`);
    isRewriting = text !== "";
  }

  return {
    env,
    isTable: stdout.isTTY === true,
    isInteractive: stdin.isTTY === true && stderr.isTTY === true,
    hasLiveErrors: stderr.isTTY === true,
    get columns() {
      return stdout.columns ?? 80;
    },
    line(text, colour) {
      rewrite("");
      stdout.write(`${paint(safeText(text), colour, stdout.isTTY)}\n`);
    },
    cells(cells, separator) {
      rewrite("");
      const painted = cells.map(({ text, colour, width = 0 }) => {
        const inert = safeText(text);
        return paint(inert, colour, stdout.isTTY) + " ".repeat(Math.max(0, width - inert.length));
      });
      stdout.write(`${painted.join(separator).trimEnd()}\n`);
    },
    json(text) {
      rewrite("");
      stdout.write(`${safeJson(text.trimEnd())}\n`);
    },
    note(text, colour) {
      rewrite("");
      for (const line of text.split("\n")) stderr.write(`${paint(safeText(line), colour, stderr.isTTY)}\n`);
    },
    rewrite,
  };
}
