import { type Command, InvalidArgumentError } from "commander";
import { isLoopbackHost } from "../config/kinds.ts";
import type { Asked, FindingState } from "../doctor/check.ts";
import type { Report } from "../doctor/examine.ts";
import type { PageBody, WebhookBody } from "../http-api.ts";
import { plural } from "../lib/format.ts";
import { createClient } from "./client.ts";
import { addCommand, type Call, run } from "./command.ts";
import { Failure } from "./failure.ts";
import { createProgress } from "./progress.ts";
import type { Colour, Terminal } from "./terminal.ts";

interface DoctorOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly listen?: string;
  readonly dev?: boolean;
  readonly server?: URL;
  readonly key?: string;
  readonly reference?: URL;
  readonly reach?: boolean;
  readonly json?: boolean;
}

const COLOURS: Readonly<Record<FindingState, Colour>> = {
  ok: "green",
  warning: "yellow",
  problem: "red",
  skipped: "dim",
};
/** Those who watch are told what takes longer than this. */
const PATIENCE_MS = 2_000;
const STATE_WIDTH = 7;
const NAME_WIDTH = 16;
const GAP = "  ";
const INDENT = " ".repeat(STATE_WIDTH + NAME_WIDTH + 2 * GAP.length);
/** On a narrower terminal the lines break as they like. */
const WIDTH_MIN = 30;
/** Webhooks whose hosts are taken; the order is the list's. */
const WEBHOOKS_MAX = 10_000;
const PAGE = 200;

export function addDoctorCommand(program: Command): void {
  addCommand(program, "doctor", "Look for what keeps hookd from working, and say what to do about it", [
    "hookd doctor",
    "hookd doctor --config /etc/hookd.yaml --reference https://www.example.com",
    "hookd doctor --reach --json",
  ])
    .option("--config <file>", "configuration file, as for serve (HOOKD_CONFIG)")
    .option("--data-dir <dir>", "where the data is kept (HOOKD_DATA_DIR; ./hookd-data)")
    .option("--listen <host:port>", "where the API is served, as for serve (HOOKD_LISTEN)")
    .option("--dev", "as it would be with serve --dev")
    .option("--server <url>", "a running daemon's address (HOOKD_SERVER; found by itself)", urlOption)
    .option("--reference <url>", "compare the clock with this server's", urlOption)
    .option("--reach", "connect to the webhooks' hosts too, as deliveries would; needs a running daemon")
    .option("--key <key>", "API key, for --reach (HOOKD_API_KEY; the data directory's admin.key)")
    .option("--json", "print all findings as one JSON object")
    .action(run<[], DoctorOptions>(doctor))
    .addHelpText(
      "after",
      "\nChanges nothing, and may run beside hookd: best as hookd's user, with what serve is given.\n" +
        "Exit code: 0 without a problem (there may be warnings), 1 with one, 2 asked wrongly.",
    );
}

async function doctor({ options, terminal }: Call<[], DoctorOptions>): Promise<void> {
  const { examine } = await import("../doctor/examine.ts");
  const progress = createProgress(terminal);
  const patience = watch((text) => progress.update(text));
  const reports = await examine(askedOf(options, terminal), {
    onProgress: patience.begin,
    onReport(report) {
      patience.end();
      progress.end();
      if (options.json !== true) printReport(terminal, report);
    },
  });
  const counts = countsOf(reports);
  if (options.json === true) {
    terminal.json(JSON.stringify({ ok: counts.problem === 0, counts, findings: reports }));
  } else {
    printSummary(terminal, counts);
  }
  if (counts.problem > 0) process.exitCode = 1;
}

function askedOf(options: DoctorOptions, terminal: Terminal): Asked {
  const { env } = terminal;
  return {
    source: {
      ...(options.config === undefined ? {} : { file: options.config }),
      env,
      flags: { dev: options.dev === true, data_dir: options.dataDir, listen: options.listen },
    },
    server: options.server ?? serverOf(env.HOOKD_SERVER),
    reference: options.reference ?? null,
    callbackUrls:
      options.reach === true
        ? (server, dataDir) => listCallbackUrls(options, terminal, server, dataDir)
        : null,
  };
}

async function listCallbackUrls(
  options: DoctorOptions,
  terminal: Terminal,
  server: URL,
  dataDir: string,
): Promise<readonly string[]> {
  // The key of this data directory is for the hookd of this machine, unless the operator says otherwise.
  const isHere = options.dataDir !== undefined || isLoopbackHost(server.hostname.replace(/^\[|\]$/g, ""));
  const client = createClient(
    {
      server: server.href,
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(isHere ? { dataDir } : {}),
    },
    terminal,
  );
  const urls: string[] = [];
  let cursor: string | undefined;
  do {
    const { body } = await client.call<PageBody<WebhookBody>>({
      method: "GET",
      path: "/webhooks",
      query: { limit: PAGE, cursor, is_active: true },
    });
    urls.push(...body.data.map(({ callback_url }) => callback_url));
    cursor = body.next_cursor ?? undefined;
  } while (cursor !== undefined && urls.length < WEBHOOKS_MAX);
  return urls;
}

/** A line, or more where the finding has them or the terminal is narrow; what to do is below it. */
function printReport(terminal: Terminal, { name, state, finding, remedy }: Report): void {
  const [first = "", ...rest] = finding.split("\n").flatMap((line) => wrapped(line, terminal));
  const title = { text: state, colour: COLOURS[state], width: STATE_WIDTH };
  terminal.cells([title, { text: name, width: NAME_WIDTH }, { text: first }], GAP);
  for (const line of rest) terminal.line(INDENT + line);
  const [todo, ...more] = remedy === null ? [] : wrapped(`-> ${remedy}`, terminal);
  if (todo !== undefined) terminal.line(INDENT + todo, "cyan");
  for (const line of more) terminal.line(`${INDENT}   ${line}`, "cyan");
}

/** In a pipe a line stays one. */
function wrapped(text: string, terminal: Terminal): string[] {
  const width = terminal.isTable
    ? Math.max(WIDTH_MIN, terminal.columns - INDENT.length - 3)
    : Number.POSITIVE_INFINITY;
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

type Counts = Readonly<Record<FindingState, number>>;

function countsOf(reports: readonly Report[]): Counts {
  const counts = { ok: 0, warning: 0, problem: 0, skipped: 0 };
  for (const { state } of reports) counts[state] += 1;
  return counts;
}

function printSummary(terminal: Terminal, counts: Counts): void {
  const { ok, warning, problem, skipped } = counts;
  const parts = [
    plural(problem, "problem"),
    plural(warning, "warning"),
    `${ok} ok`,
    ...(skipped === 0 ? [] : [`${skipped} skipped`]),
  ];
  terminal.line("");
  terminal.line(`${parts.join(", ")}.`, problem > 0 ? "red" : warning > 0 ? "yellow" : "green");
}

/** Tells once a second what a check that takes long is at. */
function watch(update: (text: string) => void) {
  let name = "";
  let detail = "";
  let startedMono = 0;
  let timer: NodeJS.Timeout | null = null;
  const look = () => {
    const tookMs = performance.now() - startedMono;
    if (tookMs < PATIENCE_MS) return;
    update(`${name}: ${Math.round(tookMs / 1_000)} s${detail === "" ? "" : `, ${detail}`}`);
  };
  return {
    begin(check: string, progress: string): void {
      if (timer === null || name !== check) startedMono = performance.now();
      name = check;
      detail = progress;
      timer ??= setInterval(look, 1_000);
    },
    end(): void {
      if (timer !== null) clearInterval(timer);
      timer = null;
    },
  };
}

/** An empty variable counts as not set. */
function serverOf(text: string | undefined): URL | null {
  if (text === undefined || text === "") return null;
  const url = httpUrl(text);
  if (url !== null) return url;
  throw new Failure(`HOOKD_SERVER: "${text}" is no http or https URL`, { exitCode: 2 });
}

function urlOption(text: string): URL {
  const url = httpUrl(text);
  if (url !== null) return url;
  throw new InvalidArgumentError("Expected an http or https URL, like https://www.example.com.");
}

function httpUrl(text: string): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) ? url : null;
}
