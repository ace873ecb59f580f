import type { Command } from "commander";
import type { DeadGroupBody, PageBody } from "../http-api.ts";
import { addBulkOptions, addPurgeOptions, type BulkOptions, purgeMany, replayMany } from "./bulk.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { printDeliveries } from "./deliveries.ts";
import { addBrowseCommand } from "./dlq-browse.ts";
import { Failure } from "./failure.ts";
import { addFilterOptions, type FilterOptions, filterOf } from "./filters.ts";
import { addListOptions, type ListOptions } from "./lists.ts";
import { type Column, printTable } from "./table.ts";

const NOTHING = "Nothing is dead.";

export function addDlqCommands(program: Command): void {
  const group = addGroup(program, "dlq", "The dead: deliveries that ended without success", [
    "hookd dlq list",
    "hookd dlq replay --event invoice.paid",
  ]);

  addBrowseCommand(group);

  addListOptions(
    addFilterOptions(
      addCommand(group, "list", "List dead deliveries, newest first, or count them by group", [
        "hookd dlq list",
        "hookd dlq list --group webhook,reason",
      ])
        .alias("ls")
        .option(
          "--group <keys>",
          "counts instead, by webhook, reason, event or user, or several with commas",
        ),
    ),
  ).action(runClient<[], ListOptions & FilterOptions & { group?: string }>(list));

  addBulkOptions(
    addFilterOptions(
      addCommand(group, "replay [ids...]", "Deliver dead deliveries again, with a fresh schedule", [
        "hookd dlq replay --event invoice.paid",
        "hookd dlq replay --webhook wh_01kb8zs5xjf7crc7a9vpz4h3tn --reason exhausted --since 24h --rate 100",
      ]),
    ),
  ).action(
    runClient<[string[]], BulkOptions & FilterOptions>((call) =>
      replayMany(call, "/dlq/replay", call.args[0]),
    ),
  );

  addPurgeOptions(
    addFilterOptions(
      addCommand(group, "purge", "Delete dead deliveries for good", [
        "hookd dlq purge --event invoice.paid --until 7d",
        "hookd dlq purge --all --dry-run",
      ]),
    ),
  ).action(runClient<[], BulkOptions & FilterOptions>((call) => purgeMany(call, "/dlq/purge")));
  addClientOptions(group);
}

async function list(call: ClientCall<[], ListOptions & FilterOptions & { group?: string }>): Promise<void> {
  const { client, terminal, options } = call;
  const { group } = options;
  if (group === undefined) return printDeliveries(call, "/dlq", {}, NOTHING);
  if (options.limit !== undefined || options.cursor !== undefined)
    throw new Failure("--group counts all of them: leave out --limit and --cursor", { exitCode: 2 });
  const query = { ...filterOf(options), group };
  const answer = await client.call<PageBody<DeadGroupBody>>({ method: "GET", path: "/dlq", query });
  if (client.isJson) return terminal.json(answer.text);
  const columns: Column<DeadGroupBody>[] = [{ title: "COUNT", text: ({ count }) => String(count) }];
  for (const [name, read] of [
    ["webhook", (row: DeadGroupBody) => row.webhook_id],
    ["reason", (row: DeadGroupBody) => row.reason],
    ["event", (row: DeadGroupBody) => row.event_id],
    ["user", (row: DeadGroupBody) => row.user_id],
  ] as const) {
    if (group.split(",").includes(name))
      columns.push({ title: name.toUpperCase(), text: (row) => read(row) ?? "" });
  }
  if (answer.body.data.length === 0) terminal.note(NOTHING);
  else printTable(terminal, columns, answer.body.data);
}
