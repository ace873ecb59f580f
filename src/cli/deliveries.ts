import type { Command } from "commander";
import type { DeliveryBody } from "../http-api.ts";
import { formatAgo, formatMs } from "../lib/format.ts";
import { addBulkOptions, type BulkOptions, replayMany } from "./bulk.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { addExplainCommand } from "./explain.ts";
import { Failure } from "./failure.ts";
import { addFilterOptions, type FilterOptions, filterOf } from "./filters.ts";
import { followDeliveries, outcomeOf } from "./follow.ts";
import { addListOptions, type ListOptions, printList } from "./lists.ts";
import { statusColour } from "./status-colour.ts";
import { type Column, printFields, printTable } from "./table.ts";
import { addTailCommand } from "./tail.ts";
import type { Terminal } from "./terminal.ts";

const ID = "dlv_01kb8zs5xjf7crc7a9vpz4h3tn";
const STATUSES = ["pending", "retrying", "success", "dead", "failed"];
const WAIT_MS = 60_000;

export function addDeliveryCommands(program: Command): void {
  const group = addGroup(program, "deliveries", "See what happened to events, and deliver them again", [
    "hookd deliveries list --status failed",
    `hookd deliveries get ${ID}`,
  ]).alias("delivery");

  addListOptions(
    addFilterOptions(
      addCommand(group, "list", "List deliveries, newest first", [
        "hookd deliveries list --status failed",
        "hookd deliveries list --event invoice.paid --since 2h --limit 500",
      ])
        .alias("ls")
        .option("--status <status>", `${STATUSES.join(", ")} (retrying or dead)`, statusOption),
    ),
  ).action(
    runClient<[], ListOptions & FilterOptions & { status?: string }>((call) =>
      printDeliveries(call, "/deliveries", { status: call.options.status }, "No deliveries."),
    ),
  );

  addCommand(group, "get <id>", "Show a delivery with every attempt", [`hookd deliveries get ${ID}`]).action(
    runClient<[string]>(async ({ client, terminal, args }) => {
      const answer = await client.call<DeliveryBody>({
        method: "GET",
        path: `/deliveries/${segment(args[0])}`,
      });
      if (client.isJson) terminal.json(answer.text);
      else printDelivery(terminal, answer.body);
    }),
  );

  addExplainCommand(group);

  addCommand(group, "retry <id>", "Try a delivery now; a dead one starts over", [
    `hookd deliveries retry ${ID} --wait`,
  ])
    .option("--wait", "wait for the outcome; exits 0 only when it is delivered")
    .action(runClient<[string], { wait?: boolean }>(retry));

  addCommand(group, "cancel <id>", "End an open delivery as dead/cancelled", [
    `hookd deliveries cancel ${ID}`,
  ]).action(
    runClient<[string]>(async ({ client, terminal, args }) => {
      const path = `/deliveries/${segment(args[0])}/cancel`;
      const answer = await client.call<DeliveryBody>({ method: "POST", path });
      if (client.isJson) return terminal.json(answer.text);
      const { status, is_leased } = answer.body;
      const late =
        is_leased && status !== "dead" ? "; the attempt in flight still counts if it succeeds" : "";
      terminal.line(`${outcomeOf(answer.body)}${late}`);
    }),
  );

  addBulkOptions(
    addFilterOptions(
      addCommand(group, "replay [ids...]", "Deliver ended deliveries again, also those that were delivered", [
        `hookd deliveries replay ${ID}`,
        "hookd deliveries replay --webhook wh_01kb8zs5xjf7crc7a9vpz4h3tn --since 24h --rate 50",
      ]).option("--status <status>", "success or dead; default: both", replayStatusOption),
    ),
  ).action(
    runClient<[string[]], BulkOptions & FilterOptions & { status?: string }>((call) =>
      replayMany(call, "/deliveries/replay", call.args[0], { status: call.options.status }),
    ),
  );
  addTailCommand(group);
  addClientOptions(group);
}

export async function printDeliveries(
  call: ClientCall<[], ListOptions & FilterOptions>,
  path: string,
  more: Readonly<Record<string, string | undefined>>,
  nothing: string,
): Promise<void> {
  const now = Date.now();
  const columns: Column<DeliveryBody>[] = [
    { title: "ID", text: ({ id }) => id },
    {
      title: "STATUS",
      text: ({ status }) => status,
      shown: ({ status, reason }) => (reason === null ? status : `${status}, ${reason}`),
      colour: ({ status }) => statusColour(status),
    },
    { title: "REASON", text: ({ reason }) => reason ?? "", onTerminal: "never" },
    { title: "EVENT", text: ({ event_id }) => event_id, canShrink: true },
    { title: "WEBHOOK", text: ({ webhook_id }) => webhook_id, onTerminal: "wide" },
    { title: "ATTEMPTS", text: ({ attempt_count }) => String(attempt_count) },
    { title: "ANSWER", text: ({ response_code, error }) => String(response_code ?? error ?? "") },
    {
      title: "CREATED",
      text: ({ created_at }) => created_at,
      shown: ({ created_at }) => formatAgo(created_at, now),
    },
    {
      title: "NEXT",
      text: ({ next_retry_at }) => next_retry_at ?? "",
      shown: (delivery) => nextOf(delivery, now),
    },
  ];
  const query = { ...filterOf(call.options), ...more };
  await printList(call, { method: "GET", path, query }, columns, nothing);
}

async function retry({
  client,
  terminal,
  args,
  options,
}: ClientCall<[string], { wait?: boolean }>): Promise<void> {
  const path = `/deliveries/${segment(args[0])}/retry`;
  const answer = await client.call<DeliveryBody>({ method: "POST", path });
  if (client.isJson) terminal.json(answer.text);
  else terminal.line(`${answer.body.id} is ${answer.body.is_leased ? "being tried" : "due now"}`);
  if (options.wait !== true) return;
  if (!(await followDeliveries({ client, terminal }, [args[0]], WAIT_MS))) process.exitCode = 1;
}

function printDelivery(terminal: Terminal, delivery: DeliveryBody): void {
  const now = Date.now();
  const time = (text: string) => (terminal.isTable ? `${text} (${formatAgo(text, now)})` : text);
  printFields(terminal, [
    ["id", delivery.id],
    ["status", { text: delivery.status, colour: statusColour(delivery.status) }],
    ["reason", delivery.reason],
    ["event", delivery.event_id],
    ["event uid", delivery.event_uid],
    ["user", delivery.user_id],
    ["webhook", delivery.webhook_id],
    ["attempts", String(delivery.attempt_count)],
    ["created", time(delivery.created_at)],
    ["next attempt", delivery.is_leased ? "now" : delivery.next_retry_at && time(delivery.next_retry_at)],
    ["ended", delivery.completed_at && time(delivery.completed_at)],
  ]);
  const attempts = delivery.attempts ?? [];
  if (attempts.length === 0) return;
  if (terminal.isTable) terminal.line("");
  printTable(
    terminal,
    [
      { title: "ATTEMPT", text: ({ number }) => String(number) },
      { title: "AT", text: ({ started_at }) => started_at },
      {
        title: "TOOK",
        text: ({ duration_ms }) => String(duration_ms),
        shown: ({ duration_ms }) => formatMs(duration_ms),
      },
      {
        title: "VERDICT",
        text: ({ verdict }) => verdict,
        colour: ({ verdict }) => (verdict === "success" ? "green" : "red"),
      },
      { title: "ANSWER", text: ({ status_code, error }) => String(status_code ?? error ?? "") },
      {
        title: "RESPONSE",
        text: ({ response_excerpt }) => response_excerpt ?? "",
        shown: ({ response_excerpt }) => (response_excerpt ?? "").trimEnd(),
        canShrink: true,
      },
    ],
    attempts,
  );
}

function statusOption(text: string): string {
  return oneOf(text, STATUSES);
}

function replayStatusOption(text: string): string {
  return oneOf(text, ["success", "dead"]);
}

function oneOf(text: string, values: readonly string[]): string {
  if (values.includes(text)) return text;
  throw new Failure(`--status: "${text}" is none of ${values.join(", ")}`, { exitCode: 2 });
}

/** What is due and not being tried is held back: by its webhook's breaker, rate limit or pause, or by others' turns. */
function nextOf({ next_retry_at, is_leased }: DeliveryBody, now: number): string {
  if (is_leased) return "now";
  return next_retry_at !== null && Date.parse(next_retry_at) <= now ? "due" : formatAgo(next_retry_at, now);
}
