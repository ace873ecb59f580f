import type { Command } from "commander";
import type { DeadGroupBody, PageBody } from "../http-api.ts";
import { suggest } from "../lib/suggest.ts";
import { addCommand, type ClientCall, runClient } from "./command.ts";
import { apiOf, copyToClipboard, hasScreen, showScreen } from "./screen.ts";
import { printTable } from "./table.ts";

export function addBrowseCommand(group: Command): void {
  const summary = "Look through the dead, replay and purge them; counts in a pipe";
  const command = addCommand(group, "browse", summary, ["hookd dlq browse"], { isDefault: true });
  command.action(runClient<[]>(browse));
  group.hook("preSubcommand", (_group, named) => {
    if (named === command) refuseUnknown(group);
  });
}

/** A word that is no command leads to the default one, which would only say that it takes no words. */
function refuseUnknown(group: Command): void {
  const [word] = group.args;
  if (word === undefined || word.startsWith("-") || word === "browse") return;
  const near = suggest(
    word,
    group.commands.flatMap((one) => [one.name(), ...one.aliases()]),
  );
  group.error(`error: unknown command '${word}'${near === null ? "" : `\n(Did you mean ${near}?)`}`);
}

async function browse({ client, terminal }: ClientCall<[], object>): Promise<void> {
  if (hasScreen(client, terminal)) {
    const { createDlqScreen } = await import("../tui/dlq-screen.ts");
    return showScreen(terminal, () => createDlqScreen(apiOf(client), { copy: copyToClipboard }));
  }
  const query = { group: "webhook,reason" };
  const answer = await client.call<PageBody<DeadGroupBody>>({ method: "GET", path: "/dlq", query });
  if (client.isJson) return terminal.json(answer.text);
  if (answer.body.data.length === 0) return terminal.note("Nothing is dead.");
  printTable(
    terminal,
    [
      { title: "COUNT", text: ({ count }) => String(count) },
      { title: "WEBHOOK", text: ({ webhook_id }) => webhook_id ?? "" },
      { title: "REASON", text: ({ reason }) => reason ?? "" },
    ],
    [...answer.body.data].sort((a, b) => b.count - a.count),
  );
}
