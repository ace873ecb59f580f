import type { Command } from "commander";
import type { KeyBody } from "../http-api.ts";
import { formatAgo } from "../lib/format.ts";
import { parseDuration } from "../lib/units.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { addListOptions, type ListOptions, printList } from "./lists.ts";
import { listOption } from "./options.ts";
import { type Column, printFields } from "./table.ts";

interface CreateOptions {
  readonly user?: string;
  readonly scope?: readonly string[];
  readonly name?: string;
  readonly expires?: string;
  readonly admin?: boolean;
}

export function addKeyCommands(program: Command): void {
  const group = addGroup(program, "keys", "API keys", [
    "hookd keys create --user acme --scope publish --name 'shop backend'",
    "hookd keys list",
  ]).alias("key");

  addCommand(group, "create", "Make an API key; it is shown this once", [
    "hookd keys create --user acme --scope publish --name 'shop backend'",
    "hookd keys create --user acme --scope read,manage --expires 90d",
  ])
    .alias("add")
    .option("--user <user>", "whose key; default: the user of the key in use")
    .option("--scope <scopes>", "what it may do: publish, read, manage, or several with commas", listOption)
    .option("--name <name>", "what it is for")
    .option("--expires <time>", "when it ends: 90d from now, or 2027-01-01T00:00:00Z")
    .option("--admin", "for every user, with every scope")
    .action(runClient<[], CreateOptions>(create));

  addListOptions(
    addCommand(group, "list", "List API keys, without their text", ["hookd keys list"])
      .alias("ls")
      .option("--user <user>", "of this user only"),
  ).action(runClient<[], ListOptions & { user?: string }>(list));

  addCommand(group, "revoke <id>", "End an API key", ["hookd keys revoke key_01kb8zs5xjf7crc7a9vpz4h3tn"])
    .aliases(["delete", "remove", "rm"])
    .action(
      runClient<[string]>(async ({ client, terminal, args }) => {
        const answer = await client.call({ method: "DELETE", path: `/keys/${segment(args[0])}` });
        if (client.isJson) terminal.json(answer.text === "" ? "null" : answer.text);
        else terminal.line(`${args[0]} revoked`);
      }),
    );
  addClientOptions(group);
}

async function create({ client, terminal, options }: ClientCall<[], CreateOptions>): Promise<void> {
  const json = {
    ...(options.user === undefined ? {} : { user_id: options.user }),
    ...(options.scope === undefined ? {} : { scopes: options.scope }),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.expires === undefined ? {} : { expires_at: expiryOf(options.expires) }),
    ...(options.admin === true ? { is_admin: true } : {}),
  };
  const answer = await client.call<KeyBody>({ method: "POST", path: "/keys", json });
  if (client.isJson) return terminal.json(answer.text);
  const key = answer.body;
  printFields(terminal, [
    ["id", key.id],
    ["user", key.user_id ?? "(every user)"],
    ["scopes", key.scopes.join(", ")],
    ["name", key.name],
    ["expires", key.expires_at],
    ["key", key.key ?? null],
  ]);
  terminal.note("Keep it now: it is shown this once.", "dim");
}

async function list(call: ClientCall<[], ListOptions & { user?: string }>): Promise<void> {
  const now = Date.now();
  const columns: Column<KeyBody>[] = [
    { title: "ID", text: ({ id }) => id },
    { title: "USER", text: ({ user_id }) => user_id ?? "*" },
    { title: "SCOPES", text: ({ scopes }) => scopes.join(",") },
    { title: "NAME", text: ({ name }) => name ?? "", canShrink: true },
    {
      title: "CREATED",
      text: ({ created_at }) => created_at,
      shown: ({ created_at }) => formatAgo(created_at, now),
    },
    {
      title: "EXPIRES",
      text: ({ expires_at }) => expires_at ?? "",
      shown: ({ expires_at }) => formatAgo(expires_at, now),
    },
  ];
  await printList(
    call,
    { method: "GET", path: "/keys", query: { user_id: call.options.user } },
    columns,
    "No keys.",
  );
}

/** An age becomes the time that it is from now; anything else is for the API to judge. */
function expiryOf(text: string): string {
  const ms = parseDuration(text);
  return ms === null ? text : new Date(Date.now() + ms).toISOString();
}
