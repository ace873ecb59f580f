import type { Command } from "commander";
import { type Explanation, explain } from "../explain/explanation.ts";
import type { DeliveryBody, WebhookBody } from "../http-api.ts";
import { type Client, segment } from "./client.ts";
import { addCommand, type ClientCall, runClient } from "./command.ts";
import { orNull } from "./failure.ts";
import { readPause } from "./pause.ts";
import { statusColour } from "./status-colour.ts";
import type { Colour, Terminal } from "./terminal.ts";

const ID = "dlv_01kb8zs5xjf7crc7a9vpz4h3tn";

export function addExplainCommand(group: Command): void {
  addCommand(
    group,
    "explain <id>",
    "Say in words what happened to a delivery, why, what comes next, and how to fix it",
    [`hookd deliveries explain ${ID}`, `hookd deliveries explain ${ID} --json`],
  ).action(runClient<[string]>(explainDelivery));
}

async function explainDelivery({ client, terminal, args }: ClientCall<[string], object>): Promise<void> {
  const path = `/deliveries/${segment(args[0])}`;
  const delivery = (await client.call<DeliveryBody>({ method: "GET", path })).body;
  const webhook = await readWebhook(client, delivery.webhook_id);
  const paused = await readPause(client);
  const explanation = explain(delivery, webhook, paused, Date.now());
  if (client.isJson) terminal.json(JSON.stringify({ ...explanation, delivery, webhook, paused }));
  else printExplanation(terminal, explanation, statusColour(delivery.status));
}

/** Null where it is deleted: its deliveries are kept all the same. */
async function readWebhook(client: Client, id: string): Promise<WebhookBody | null> {
  const answer = await orNull(client.call<WebhookBody>({ method: "GET", path: `/webhooks/${segment(id)}` }));
  return answer === null ? null : answer.body;
}

function printExplanation(terminal: Terminal, explanation: Explanation, colour: Colour | undefined): void {
  const { headline, happened, why, next, fixes } = explanation;
  terminal.line(headline, colour);
  for (const [title, lines] of [
    ["What happened", happened],
    ["Why", why],
    ["What comes next", next.text],
  ] as const) {
    printTitle(terminal, title);
    for (const line of lines) terminal.line(`  ${line}`);
  }
  if (fixes.length === 0) return;
  printTitle(terminal, "What you can do");
  for (const { text, command } of fixes) {
    terminal.line(`  ${text}`);
    if (command !== null) terminal.line(`    ${command}`, "cyan");
  }
}

function printTitle(terminal: Terminal, title: string): void {
  terminal.line("");
  terminal.line(title, "dim");
}
