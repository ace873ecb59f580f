import { Command, type CommandOptions, Option } from "commander";
import { type Client, type ClientOptions, createClient, DEFAULT_DATA_DIR } from "./client.ts";
import { createTerminal, type Terminal } from "./terminal.ts";

/** What a command works with: its arguments and options as commander parsed them, and where its words go. */
export interface Call<Arguments extends readonly unknown[], Options> {
  readonly args: Arguments;
  readonly options: Options;
  readonly terminal: Terminal;
}

export interface ClientCall<Arguments extends readonly unknown[], Options> extends Call<Arguments, Options> {
  readonly client: Client;
}

/** A command, with help that shows how it is used. With `isDefault` it is what its group does without more words. */
export function addCommand(
  parent: Command,
  usage: string,
  summary: string,
  examples: readonly string[],
  options: CommandOptions = {},
): Command {
  const command = parent.command(usage, options).summary(summary).description(summary);
  return command.addHelpText("after", examplesText(examples));
}

const CLIENT_OPTIONS = "Options of every client command:";

/** Each of the commands talks to the daemon. Called last, so that help shows each one's own options first. */
export function addClientOptions(group: Pick<Command, "commands">): void {
  for (const command of group.commands) {
    addServerOptions(command.optionsGroup(CLIENT_OPTIONS))
      .option("--json", "print what the API said")
      .option("--curl", "print the request as a curl command instead of sending it")
      .addHelpOption(new Option("-h, --help", "display help for command").helpGroup(CLIENT_OPTIONS));
  }
}

/** Which daemon, and with which key. */
export function addServerOptions(command: Command): Command {
  return command
    .option("--server <url>", "the daemon's address (HOOKD_SERVER; http://127.0.0.1:8420)")
    .option("--key <key>", "API key (HOOKD_API_KEY; better than the option, which others may see in ps)")
    .option(
      "--data-dir <dir>",
      `data directory whose admin.key to use (HOOKD_DATA_DIR; ${DEFAULT_DATA_DIR})`,
    );
}

/** A group of commands: `webhooks`, `dlq`. Alone it shows its help. */
export function addGroup(
  parent: Command,
  name: string,
  summary: string,
  examples: readonly string[],
): Command {
  return parent
    .command(name)
    .summary(summary)
    .description(summary)
    .addHelpText("after", examplesText(examples));
}

export function examplesText(examples: readonly string[]): string {
  const title = examples.length === 1 ? "Example:" : "Examples:";
  return `\n${title}\n${examples.map((example) => `  $ ${example}`).join("\n")}\n`;
}

/** commander's action for a handler: the last argument it hands over is the command. */
export function run<Arguments extends readonly unknown[], Options = object>(
  handler: (call: Call<Arguments, Options>) => Promise<void>,
) {
  return (...given: unknown[]): Promise<void> => handler(callOf<Arguments, Options>(given));
}

export function runClient<Arguments extends readonly unknown[], Options = object>(
  handler: (call: ClientCall<Arguments, Options>) => Promise<void>,
) {
  return (...given: unknown[]): Promise<void> => {
    const call = callOf<Arguments, Options & ClientOptions>(given);
    return handler({ ...call, client: createClient(call.options, call.terminal) });
  };
}

function callOf<Arguments extends readonly unknown[], Options>(
  given: readonly unknown[],
): Call<Arguments, Options> {
  const command = given.at(-1);
  if (!(command instanceof Command)) throw new Error("commander hands its command over last");
  return {
    args: command.processedArgs as unknown as Arguments,
    options: command.optsWithGlobals() as Options,
    terminal: createTerminal(),
  };
}
