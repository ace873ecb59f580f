import type { Command } from "commander";
import { addCommand, addGroup, type Call, run } from "./command.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

interface ConfigOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly listen?: string;
  readonly dev?: boolean;
  readonly json?: boolean;
  readonly defaults?: boolean;
}

export function addConfigCommands(program: Command): void {
  const group = addGroup(program, "config", "Check and show the configuration", [
    "hookd config check --config hookd.yaml",
    "hookd config print --defaults > hookd.yaml",
  ]);

  const checking = addCommand(
    group,
    "check",
    "Say whether the configuration can be used, and what is wrong with it",
    ["hookd config check --config hookd.yaml"],
  );
  addServeOptions(checking)
    .option("--json", "print the configuration in force, parsed: times in ms, sizes in bytes")
    .action(run<[], ConfigOptions>(check));

  const printing = addCommand(
    group,
    "print",
    "Print every key with its value, where that is from, and whether a change is live or needs a restart",
    ["hookd config print --config hookd.yaml", "hookd config print --defaults > hookd.yaml"],
  );
  addServeOptions(printing)
    .option("--defaults", "print the defaults instead, with what each key means: a file to start from")
    .option("--json", "print it as JSON")
    .action(run<[], ConfigOptions>(print));
}

/** What `serve` is started with decides what is in force. */
function addServeOptions(command: Command): Command {
  return command
    .option("--config <file>", "configuration file (HOOKD_CONFIG)")
    .option("--data-dir <dir>", "as with serve --data-dir (HOOKD_DATA_DIR)")
    .option("--listen <host:port>", "as with serve --listen (HOOKD_LISTEN)")
    .option("--dev", "as with serve --dev");
}

async function check(call: Call<[], ConfigOptions>): Promise<void> {
  const { shownConfig } = await import("../config/secrets.ts");
  const { config } = await resolved(call);
  if (call.options.json === true) call.terminal.json(JSON.stringify(shownConfig(config)));
  else call.terminal.line("The configuration is good.", "green");
}

async function print(call: Call<[], ConfigOptions>): Promise<void> {
  const { exampleYaml, settingsYaml } = await import("../config/example.ts");
  const { KEYS } = await import("../config/keys.ts");
  const { options, terminal } = call;
  if (options.defaults === true) {
    const { json, config, dataDir, listen, dev } = options;
    if ([json, config, dataDir, listen, dev].some((given) => given !== undefined))
      throw new Failure("--defaults prints a file to start from: it takes no other option", { exitCode: 2 });
    return printText(terminal, exampleYaml());
  }
  const { settings } = await resolved(call);
  if (options.json !== true) return printText(terminal, settingsYaml(settings));
  terminal.json(
    JSON.stringify(
      Object.fromEntries(
        settings.map(({ name, raw, origin }) => [name, { value: raw, origin, change: KEYS[name].change }]),
      ),
    ),
  );
}

async function resolved({ options, terminal }: Call<[], ConfigOptions>) {
  const { resolveConfig } = await import("../config/load.ts");
  return resolveConfig({
    ...(options.config === undefined ? {} : { file: options.config }),
    env: terminal.env,
    flags: { dev: options.dev === true, data_dir: options.dataDir, listen: options.listen },
  });
}

function printText(terminal: Terminal, text: string): void {
  for (const line of text.trimEnd().split("\n")) terminal.line(line);
}
