import type { Command } from "commander";
import type { SettledBody } from "../http-api.ts";
import { formatMs, plural } from "../lib/format.ts";
import type { WatchQuery } from "../tui/api.ts";
import { addCommand, type ClientCall, runClient } from "./command.ts";
import { wholeNumber } from "./options.ts";
import { apiOf, copyToClipboard, hasScreen, showScreen } from "./screen.ts";
import { statusColour } from "./status-colour.ts";
import type { Terminal } from "./terminal.ts";

interface TailOptions {
  readonly failed?: boolean;
  readonly webhook?: string;
  readonly user?: string;
  readonly event?: string;
  readonly rows?: number;
}

/** More than somebody reads, and no effort for a terminal. */
const ROWS_PER_SECOND = 200;
/** Between two notes of how many have no line. */
const NOTE_EVERY_MS = 5_000;

export function addTailCommand(group: Command): void {
  addCommand(group, "tail", "Watch attempts as they settle: live on a terminal, lines in a pipe", [
    "hookd deliveries tail --failed",
    "hookd deliveries tail --webhook wh_01kb8zs5xjf7crc7a9vpz4h3tn",
    "hookd deliveries tail --json > attempts.ndjson",
  ])
    .option("--failed", "only those that leave their delivery undelivered: retrying or dead")
    .option("--webhook <id>", "to this webhook")
    .option("--user <user>", "of this user")
    .option("--event <event>", "of this event")
    .option(
      "--rows <n>",
      `at most so many a second, drawn at random; default: ${ROWS_PER_SECOND}, and all of them in a pipe`,
      wholeNumber(1, 10_000),
    )
    .action(runClient<[], TailOptions>(tail));
}

async function tail(call: ClientCall<[], TailOptions>): Promise<void> {
  const { client, terminal, options } = call;
  const query = {
    status: options.failed === true ? "failed" : undefined,
    webhook_id: options.webhook,
    user_id: options.user,
    event_id: options.event,
    rows_per_second: options.rows,
  };
  if (!hasScreen(client, terminal)) return printLines(call, query);
  const { createTailScreen } = await import("../tui/tail-screen.ts");
  const sampled = { ...query, rows_per_second: options.rows ?? ROWS_PER_SECOND };
  const scope = scopeOf(options);
  await showScreen(terminal, () =>
    createTailScreen(apiOf(client), { query: sampled, scope, hasBack: false, copy: copyToClipboard }),
  );
}

function scopeOf({ failed, webhook, user, event }: TailOptions): string {
  const parts = [
    failed === true ? "failed" : null,
    webhook === undefined ? null : `webhook ${webhook}`,
    user === undefined ? null : `user ${user}`,
    event === undefined ? null : `event ${event}`,
  ];
  return parts.filter((part) => part !== null).join(", ");
}

/** A line per attempt; what becomes of the connection is told on stderr. Ends with the process. */
async function printLines(
  { client, terminal }: ClientCall<[], TailOptions>,
  query: WatchQuery,
): Promise<void> {
  const { watchAttempts } = await import("../tui/watch.ts");
  const skipped = noteSkipped(terminal);
  let wasLost = false;
  let isFirst = true;
  for await (const watched of watchAttempts(apiOf(client), { query, signal: new AbortController().signal })) {
    if (watched.kind === "attempt") {
      if (client.isJson) terminal.json(watched.json);
      else printAttempt(terminal, JSON.parse(watched.json) as SettledBody);
    } else if (watched.kind === "skipped") skipped(watched.count);
    else if (watched.kind === "lost") {
      wasLost = true;
      terminal.note(`${watched.why}; trying again in ${formatMs(watched.waitMs)}`, "yellow");
    } else if (watched.kind === "open") {
      if (wasLost) terminal.note("Connected again.");
      else if (isFirst) terminal.note("Watching attempts as they settle. Ctrl-C ends it.");
      isFirst = false;
    }
  }
}

function printAttempt(terminal: Terminal, { attempt, ...settled }: SettledBody): void {
  const isTable = terminal.isTable;
  terminal.cells(
    [
      { text: attempt.started_at },
      { text: settled.status, colour: statusColour(settled.status) },
      { text: settled.event_id },
      { text: settled.user_id },
      { text: settled.webhook_id },
      { text: settled.delivery_id },
      { text: `attempt ${attempt.number}` },
      { text: String(attempt.status_code ?? attempt.error ?? "") },
      { text: isTable ? formatMs(attempt.duration_ms) : String(attempt.duration_ms) },
      { text: settled.reason ?? settled.next_retry_at ?? "" },
    ],
    isTable ? "  " : "\t",
  );
}

/** Nobody should take lines for all there were. */
function noteSkipped(terminal: Terminal): (count: number) => void {
  let count = 0;
  let toldAtMono = Number.NEGATIVE_INFINITY;
  return (more) => {
    count += more;
    if (performance.now() - toldAtMono < NOTE_EVERY_MS) return;
    terminal.note(`${plural(count, "attempt")} without a line`, "yellow");
    toldAtMono = performance.now();
    count = 0;
  };
}
