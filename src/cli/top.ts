import { type Command, Option } from "commander";
import type { PageBody, WebhookBody } from "../http-api.ts";
import { formatMs, formatSpan } from "../lib/format.ts";
import { SORTS, type Sort, sortedBy, stateOf, waitingMs } from "../tui/trouble.ts";
import { allWebhooks, WEBHOOKS_MAX } from "../tui/webhook-list.ts";
import type { ApiRequest } from "./client.ts";
import { addClientOptions, addCommand, type ClientCall, runClient } from "./command.ts";
import { apiOf, copyToClipboard, hasScreen, showScreen } from "./screen.ts";
import { type Column, printTable } from "./table.ts";
import type { Colour } from "./terminal.ts";

interface TopOptions {
  readonly user?: string;
  readonly event?: string;
  readonly sort: Sort;
}

export function addTopCommand(program: Command): void {
  const command = addCommand(program, "top", "Watch webhooks, those in trouble first; a table in a pipe", [
    "hookd top",
    "hookd top --user acme --sort p99",
    "hookd top --json | jq -r 'select(.live.breaker == \"open\") | .callback_url'",
  ])
    .option("--user <user>", "of this user")
    .option("--event <event>", "for this event")
    .addOption(
      new Option("--sort <key>", "what comes first; rate is known on a terminal only")
        .choices(SORTS)
        .default("trouble"),
    )
    .action(runClient<[], TopOptions>(top));
  addClientOptions({ commands: [command] });
}

async function top(call: ClientCall<[], TopOptions>): Promise<void> {
  const { client, terminal, options } = call;
  const query = { user_id: options.user, event_id: options.event };
  if (!hasScreen(client, terminal)) return printOnce(call, query);
  const { createTopScreen } = await import("../tui/top-screen.ts");
  await showScreen(terminal, () =>
    createTopScreen(apiOf(client), { query, sort: options.sort, copy: copyToClipboard }),
  );
}

async function printOnce(
  { client, terminal, options }: ClientCall<[], TopOptions>,
  query: { user_id: string | undefined; event_id: string | undefined },
): Promise<void> {
  // As the API said it: what is printed is made inert by the terminal, and JSON keeps its values.
  const read = { webhooks: async (asked: object) => (await client.call<Page>(requestOf(asked))).body };
  const { webhooks, isPartial } = await allWebhooks(read, query);
  const now = Date.now();
  const sorted = sortedBy(webhooks, options.sort, new Map(), now);
  if (client.isJson) for (const webhook of sorted) terminal.json(JSON.stringify(webhook));
  else if (sorted.length === 0) terminal.note("No webhooks.");
  else printTable(terminal, columnsAt(now), sorted);
  if (isPartial) {
    terminal.note(
      `There are more than ${WEBHOOKS_MAX.toLocaleString("en-US")}: narrow them with --user or --event`,
    );
  }
}

type Page = PageBody<WebhookBody>;

function requestOf(query: object): ApiRequest {
  return { method: "GET", path: "/webhooks", query: { ...query, limit: 200 } };
}

function columnsAt(now: number): readonly Column<WebhookBody>[] {
  return [
    { title: "WEBHOOK", text: ({ id }) => id },
    { title: "EVENT", text: ({ event_id }) => event_id, canShrink: true },
    { title: "USER", text: ({ user_id }) => user_id, canShrink: true },
    { title: "STATE", text: stateOf, colour: stateColour },
    { title: "BACKLOG", text: ({ live }) => String(live?.backlog ?? 0) },
    {
      title: "WAITING",
      text: (webhook) => String(Math.round(Math.max(0, waitingMs(webhook, now) ?? 0) / 1000)),
      shown: (webhook) => formatSpan(waitingMs(webhook, now) ?? 0),
    },
    {
      title: "SUCCESS",
      text: ({ live }) => live?.success_rate?.toFixed(4) ?? "",
      shown: ({ live }) => (live?.success_rate == null ? "-" : `${(live.success_rate * 100).toFixed(1)}%`),
    },
    {
      title: "P99",
      text: ({ live }) => String(live?.p99_ms ?? ""),
      shown: ({ live }) => (live?.p99_ms == null ? "-" : formatMs(live.p99_ms)),
    },
    { title: "URL", text: ({ callback_url }) => callback_url, canShrink: true, onTerminal: "wide" },
  ];
}

function stateColour(webhook: WebhookBody): Colour {
  const state = stateOf(webhook);
  if (state === "ok") return "green";
  return state === "paused" || state === "off" ? "yellow" : "red";
}
