import type { Command } from "commander";
import { addCommand, addGroup, type Call, run } from "./command.ts";
import type { Terminal } from "./terminal.ts";

interface ConfigOptions {
  readonly config?: string;
  readonly dev?: boolean;
  readonly json?: boolean;
  readonly defaults?: boolean;
}

export function addConfigCommands(program: Command): void {
  const group = addGroup(program, "config", "Check and show the configuration", [
    "hookd config check --config hookd.yaml",
    "hookd config print --defaults > hookd.yaml",
  ]);

  addCommand(group, "check", "Say whether the configuration can be used, and what is wrong with it", [
    "hookd config check --config hookd.yaml",
  ])
    .option("--config <file>", "configuration file (HOOKD_CONFIG)")
    .option("--dev", "as it would be with serve --dev")
    .option("--json", "print the configuration in force, parsed: times in ms, sizes in bytes")
    .action(run<[], ConfigOptions>(check));

  addCommand(
    group,
    "print",
    "Print every key with its value, where that is from, and whether a change is live or needs a restart",
    ["hookd config print --config hookd.yaml", "hookd config print --defaults > hookd.yaml"],
  )
    .option("--config <file>", "configuration file (HOOKD_CONFIG)")
    .option("--defaults", "print the defaults instead, with what each key means: a file to start from")
    .option("--dev", "as it would be with serve --dev")
    .option("--json", "print it as JSON")
    .action(run<[], ConfigOptions>(print));
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
  if (options.defaults === true) return printText(terminal, exampleYaml());
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
    flags: { dev: options.dev === true },
  });
}

function printText(terminal: Terminal, text: string): void {
  for (const line of text.trimEnd().split("\n")) terminal.line(line);
}
