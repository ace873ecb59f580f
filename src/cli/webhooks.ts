import type { Command } from "commander";
import type { AttemptBody, SecretsBody, WebhookBody } from "../http-api.ts";
import { formatAgo, formatMs, plural } from "../lib/format.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { confirm } from "./confirm.ts";
import { Failure } from "./failure.ts";
import { addListOptions, type ListOptions, printList } from "./lists.ts";
import {
  DEFAULT_WORD,
  durationText,
  headerOption,
  metadataOption,
  nullIfDefault,
  orDefault,
  rateLimitOption,
  retryOption,
  wholeNumber,
} from "./options.ts";
import { statusColour } from "./status-colour.ts";
import { type Column, printFields } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const CONCURRENCY_MAX = 1_024;

/** Options of `add` and `update` that are fields of the API's webhook. */
interface FieldOptions {
  readonly event?: string;
  readonly url?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly rateLimit?: unknown;
  readonly concurrencyMax?: number | "default";
  readonly timeout?: string;
  readonly retry?: object | "default";
  readonly permanent?: string;
  readonly ordering?: string;
}

interface AddOptions extends FieldOptions {
  readonly user?: string;
  readonly secret?: string;
  readonly inactive?: boolean;
  readonly replace?: boolean;
}

export function addWebhookCommands(program: Command): void {
  const group = addGroup(program, "webhooks", "Register callback URLs, and see and change them", [
    "hookd webhooks add --event user.created --url https://example.com/hooks",
    "hookd webhooks list",
  ]).alias("webhook");

  withFields(
    addCommand(group, "add", "Register a callback URL for an event; shows its secret", [
      "hookd webhooks add --event user.created --url https://example.com/hooks",
      "hookd webhooks add --event 'order.*' --url https://example.com/orders --user acme --retry 1s,2s",
      "hookd webhooks add --event invoice.paid --url https://example.com/ --retry base=1m,factor=2,max=1h,attempts=8",
      "hookd webhooks add --event 'hookd.*' --url https://example.com/ops",
    ])
      .alias("create")
      .requiredOption(
        "--event <event>",
        "event, or a pattern: order.*, *; hookd.* for hookd's own, to its operator",
      )
      .requiredOption("--url <url>", "where its events go")
      .option("--user <user>", "whose webhook; default: the key's user")
      .option("--secret <secret>", "whsec_...; default: hookd makes one")
      .option("--inactive", "register it switched off")
      .option("--replace", "replace the one that the user has for this event"),
  ).action(runClient<[], AddOptions>(add));

  addListOptions(
    addCommand(group, "list", "List webhooks, newest first", [
      "hookd webhooks list",
      "hookd webhooks list --user acme --off",
    ])
      .alias("ls")
      .option("--user <user>", "of this user only")
      .option("--event <event>", "registered for this event or pattern only")
      .option("--on", "only those switched on")
      .option("--off", "only those switched off"),
  ).action(runClient<[], ListOptions & { user?: string; event?: string; on?: boolean; off?: boolean }>(list));

  addCommand(group, "get <id>", "Show a webhook, and what its lane is doing", [
    "hookd webhooks get wh_01kb8zs5xjf7crc7a9vpz4h3tn",
  ]).action(
    runClient<[string]>(async (call) => {
      const answer = await call.client.call<WebhookBody>({
        method: "GET",
        path: `/webhooks/${segment(call.args[0])}`,
      });
      if (call.client.isJson) call.terminal.json(answer.text);
      else printWebhook(call.terminal, answer.body);
    }),
  );

  withFields(
    addCommand(group, "update <id>", "Change a webhook, from its next attempt on", [
      "hookd webhooks update wh_01kb8zs5xjf7crc7a9vpz4h3tn --url https://example.com/new",
      "hookd webhooks update wh_01kb8zs5xjf7crc7a9vpz4h3tn --timeout 5s --retry default",
    ])
      .option("--event <event>", "event, or a pattern: order.*, *")
      .option("--url <url>", "where its events go"),
  ).action(runClient<[string], FieldOptions>(update));

  addCommand(group, "remove <id>", "Delete a webhook; what is still open ends as dead/disabled", [
    "hookd webhooks remove wh_01kb8zs5xjf7crc7a9vpz4h3tn",
  ])
    .aliases(["delete", "rm"])
    .option("--yes", "do not ask")
    .action(runClient<[string], { yes?: boolean }>(remove));

  addCommand(group, "rotate-secret <id>", "Sign with a new secret, and with the old one too for a while", [
    "hookd webhooks rotate-secret wh_01kb8zs5xjf7crc7a9vpz4h3tn --overlap 48h",
  ])
    .option("--secret <secret>", "whsec_...; default: hookd makes one")
    .option("--overlap <duration>", "how long the old secret signs too (24h)", durationText)
    .action(runClient<[string], { secret?: string; overlap?: string }>(rotateSecret));

  addCommand(group, "test <id>", "Send a sample at once; exits 1 unless it is taken", [
    "hookd webhooks test wh_01kb8zs5xjf7crc7a9vpz4h3tn",
  ]).action(runClient<[string]>(test));

  addCommand(group, "enable <id>", "Switch on again; resets the breaker", [
    "hookd webhooks enable wh_01kb8zs5xjf7crc7a9vpz4h3tn --replay",
  ])
    .option("--replay", "also deliver what ended because it was off")
    .action(
      runClient<[string], { replay?: boolean }>((call) =>
        change(call, "enable", "on", call.options.replay === true ? { replay: true } : undefined),
      ),
    );
  for (const [name, summary, word] of [
    ["disable", "Switch off; what is open and what comes ends as dead/disabled", "off"],
    ["pause", "Hold deliveries back: they wait until it is resumed", "paused"],
    ["resume", "Let go what was paused", "on"],
  ] as const) {
    addCommand(group, `${name} <id>`, summary, [
      `hookd webhooks ${name} wh_01kb8zs5xjf7crc7a9vpz4h3tn`,
    ]).action(runClient<[string]>((call) => change(call, name, word)));
  }
  addClientOptions(group);
}

function withFields(command: Command): Command {
  return command
    .option(
      "--header <name: value>",
      "header of its own with every request; several times: all it shall have",
      headerOption,
    )
    .option("--description <text>", "what it is for")
    .option(
      "--metadata <name=value>",
      "your own name and value; several times: all it shall have",
      metadataOption,
    )
    .option(
      "--rate-limit <n>",
      "attempts a second: 10, or 10:50 with a burst of 50; or default",
      orDefault(rateLimitOption),
    )
    .option(
      "--concurrency-max <n>",
      "attempts in flight at most; or default",
      orDefault(wholeNumber(1, CONCURRENCY_MAX)),
    )
    .option("--timeout <duration>", "of one attempt, 100ms to 30s; or default", orDefault(durationText))
    .option(
      "--retry <schedule>",
      "1s,2s or base=1m,factor=2,max=1h,attempts=8; or default",
      orDefault(retryOption),
    )
    .option("--permanent <statuses>", "with --retry: statuses that end a delivery at once, like '4xx,!429'")
    .option("--ordering <ordering>", "none, or fifo: in the order accepted, one at a time");
}

function fieldsOf(options: FieldOptions): Record<string, unknown> {
  if (options.permanent !== undefined && (options.retry === undefined || options.retry === DEFAULT_WORD)) {
    throw new Failure("--permanent goes with --retry: the two are set together", { exitCode: 2 });
  }
  const permanent = options.permanent?.split(",").map((item) => item.trim());
  return {
    ...(options.event === undefined ? {} : { event_id: options.event }),
    ...(options.url === undefined ? {} : { callback_url: options.url }),
    ...(options.header === undefined ? {} : { headers: options.header }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
    ...(options.rateLimit === undefined ? {} : { rate_limit: nullIfDefault(options.rateLimit) }),
    ...(options.concurrencyMax === undefined
      ? {}
      : { concurrency_max: nullIfDefault(options.concurrencyMax) }),
    ...(options.timeout === undefined ? {} : { timeout: nullIfDefault(options.timeout) }),
    ...(options.retry === undefined
      ? {}
      : {
          retry:
            options.retry === DEFAULT_WORD ? null : { ...options.retry, ...(permanent && { permanent }) },
        }),
    ...(options.ordering === undefined ? {} : { ordering: options.ordering }),
  };
}

async function add({ client, terminal, options }: ClientCall<[], AddOptions>): Promise<void> {
  const json = {
    ...fieldsOf(options),
    ...(options.user === undefined ? {} : { user_id: options.user }),
    ...(options.secret === undefined ? {} : { secret: options.secret }),
    ...(options.inactive === true ? { is_active: false } : {}),
  };
  const method = options.replace === true ? "PUT" : "POST";
  const answer = await client.call<WebhookBody>({ method, path: "/webhooks", json });
  if (client.isJson) return terminal.json(answer.text);
  printWebhook(terminal, answer.body);
  if (answer.body.secret !== undefined && options.secret === undefined) {
    terminal.note(
      `The receiver verifies with this secret. Later it is shown by GET /v1/webhooks/${answer.body.id}/secret.`,
      "dim",
    );
  }
}

async function list(
  call: ClientCall<[], ListOptions & { user?: string; event?: string; on?: boolean; off?: boolean }>,
): Promise<void> {
  const { user, event, on, off } = call.options;
  const is_active = on === off ? undefined : on === true;
  const query = { user_id: user, event_id: event, is_active };
  const columns: Column<WebhookBody>[] = [
    { title: "ID", text: ({ id }) => id },
    { title: "USER", text: ({ user_id }) => user_id, onTerminal: "wide" },
    { title: "EVENT", text: ({ event_id }) => event_id },
    { title: "URL", text: ({ callback_url }) => callback_url, canShrink: true },
    { title: "STATE", text: stateOf, colour: (webhook) => stateColour(webhook) },
    { title: "BACKLOG", text: ({ live }) => String(live?.backlog ?? "") },
    {
      title: "LAST 5 MIN",
      text: ({ live }) => (live?.success_rate == null ? "" : `${percent(live.success_rate)} delivered`),
    },
  ];
  const nothing = "No webhooks. Register one: hookd webhooks add --event user.created --url https://...";
  await printList(call, { method: "GET", path: "/webhooks", query }, columns, nothing);
}

async function update({
  client,
  terminal,
  args,
  options,
}: ClientCall<[string], FieldOptions>): Promise<void> {
  const json = fieldsOf(options);
  if (Object.keys(json).length === 0) {
    throw new Failure("nothing to change", {
      exitCode: 2,
      hint: "`hookd webhooks update --help` lists what can be",
    });
  }
  const answer = await client.call<WebhookBody>({
    method: "PATCH",
    path: `/webhooks/${segment(args[0])}`,
    json,
  });
  if (client.isJson) terminal.json(answer.text);
  else printWebhook(terminal, answer.body);
}

async function remove({
  client,
  terminal,
  args,
  options,
}: ClientCall<[string], { yes?: boolean }>): Promise<void> {
  const path = `/webhooks/${segment(args[0])}`;
  if (!client.isCurl && options.yes !== true) {
    const { body } = await client.call<WebhookBody>({ method: "GET", path });
    const open = body.live?.backlog ?? 0;
    if (open > 0) {
      const question = `${plural(open, "open delivery", "open deliveries")} of ${args[0]} will end as dead. Delete it?`;
      await confirm(terminal, false, question);
    }
  }
  const answer = await client.call({ method: "DELETE", path });
  if (client.isJson) terminal.json(answer.text === "" ? "null" : answer.text);
  else terminal.line(`${args[0]} deleted`);
}

async function rotateSecret(
  call: ClientCall<[string], { secret?: string; overlap?: string }>,
): Promise<void> {
  const { client, terminal, args, options } = call;
  const json = {
    ...(options.secret === undefined ? {} : { secret: options.secret }),
    ...(options.overlap === undefined ? {} : { overlap: options.overlap }),
  };
  const path = `/webhooks/${segment(args[0])}/rotate-secret`;
  const answer = await client.call<SecretsBody>({ method: "POST", path, json });
  if (client.isJson) return terminal.json(answer.text);
  printFields(terminal, [
    ["webhook", answer.body.webhook_id],
    ["secret", answer.body.secret],
  ]);
  const older = answer.body.secrets.filter(({ expires_at }) => expires_at !== null);
  for (const { expires_at } of older) terminal.note(`An older secret signs too, until ${expires_at}.`, "dim");
}

async function test({ client, terminal, args }: ClientCall<[string], object>): Promise<void> {
  const path = `/webhooks/${segment(args[0])}/test`;
  const answer = await client.call<AttemptBody>({ method: "POST", path });
  const { verdict, status_code, error, duration_ms, response_excerpt } = answer.body;
  if (client.isJson) {
    terminal.json(answer.text);
  } else {
    const isTaken = verdict === "success";
    const what = [
      isTaken ? "delivered" : "not delivered",
      status_code ?? error ?? verdict,
      formatMs(duration_ms),
    ];
    terminal.line(what.join(", "), isTaken ? "green" : "red");
    if (response_excerpt !== null && response_excerpt !== "")
      terminal.line(response_excerpt.trimEnd(), "dim");
  }
  if (verdict !== "success") process.exitCode = 1;
}

async function change(
  { client, terminal, args }: ClientCall<[string], object>,
  name: string,
  word: string,
  json?: unknown,
): Promise<void> {
  const path = `/webhooks/${segment(args[0])}/${name}`;
  const answer = await client.call<WebhookBody>({
    method: "POST",
    path,
    ...(json === undefined ? {} : { json }),
  });
  if (client.isJson) return terminal.json(answer.text);
  terminal.line(`${answer.body.id} is ${stateOf(answer.body)}`, statusColour(word));
}

function printWebhook(terminal: Terminal, webhook: WebhookBody): void {
  const { live } = webhook;
  const now = Date.now();
  const time = (text: string) => (terminal.isTable ? `${text} (${formatAgo(text, now)})` : text);
  printFields(terminal, [
    ["id", webhook.id],
    ["user", webhook.user_id],
    ["event", webhook.event_id],
    ["url", webhook.callback_url],
    ["state", { text: stateOf(webhook), colour: stateColour(webhook) }],
    ["secret", webhook.secret ?? null],
    ["description", webhook.description],
    ["metadata", jsonOrNull(webhook.metadata)],
    ["headers", jsonOrNull(webhook.headers)],
    ["rate limit", webhook.rate_limit && JSON.stringify(webhook.rate_limit)],
    ["concurrency max", webhook.concurrency_max === null ? null : String(webhook.concurrency_max)],
    ["timeout", webhook.timeout],
    ["retry", webhook.retry && JSON.stringify(webhook.retry)],
    ["ordering", webhook.ordering === "none" ? null : webhook.ordering],
    ["created", time(webhook.created_at)],
    ["updated", webhook.updated_at === webhook.created_at ? null : time(webhook.updated_at)],
  ]);
  if (live === undefined) return;
  printFields(terminal, [
    ["breaker", { text: live.breaker, colour: live.breaker === "open" ? "red" : undefined }],
    ["in flight", `${live.in_flight} of ${Math.floor(live.concurrency)}`],
    ["backlog", String(live.backlog)],
    ["oldest due", live.oldest_due_at && time(live.oldest_due_at)],
    ["parked until", live.parked_until && time(live.parked_until)],
    ["last 5 min", live.success_rate === null ? null : `${percent(live.success_rate)} delivered`],
    [
      "p50, p99",
      live.p50_ms === null ? null : `${formatMs(live.p50_ms)}, ${formatMs(live.p99_ms ?? live.p50_ms)}`,
    ],
    ["last error", live.last_error && `${live.last_error.error}, ${time(live.last_error.at)}`],
  ]);
}

function stateOf(webhook: WebhookBody): string {
  if (!webhook.is_active)
    return `off${webhook.disabled_reason === null ? "" : ` (${webhook.disabled_reason})`}`;
  if (webhook.is_paused) return "paused";
  return webhook.live?.breaker === "open" ? "on, breaker open" : "on";
}

function stateColour(webhook: WebhookBody) {
  if (!webhook.is_active) return "red" as const;
  return webhook.is_paused || webhook.live?.breaker === "open" ? ("yellow" as const) : ("green" as const);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share === 1 || share === 0 ? 0 : 1)}%`;
}

function jsonOrNull(value: Readonly<Record<string, string>>): string | null {
  return Object.keys(value).length === 0 ? null : JSON.stringify(value);
}
