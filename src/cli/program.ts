import { Command } from "commander";
import { VERSION } from "../version.ts";
import { examplesText } from "./command.ts";

type Load = () => Promise<(program: Command) => void>;

/** What adds each command, by every name that it has; in the order of the help. */
const COMMANDS: readonly (readonly [names: readonly string[], load: Load])[] = [
  [["serve"], async () => (await import("./serve.ts")).addServeCommand],
  [["webhooks", "webhook"], async () => (await import("./webhooks.ts")).addWebhookCommands],
  [["events", "event"], async () => (await import("./events.ts")).addEventCommands],
  [["deliveries", "delivery"], async () => (await import("./deliveries.ts")).addDeliveryCommands],
  [["dlq"], async () => (await import("./dlq.ts")).addDlqCommands],
  [["jobs", "job"], async () => (await import("./jobs.ts")).addJobCommands],
  [["keys", "key"], async () => (await import("./keys.ts")).addKeyCommands],
  [["top"], async () => (await import("./top.ts")).addTopCommand],
  [["backup"], async () => (await import("./backup.ts")).addBackupCommand],
  [["backups"], async () => (await import("./backup.ts")).addBackupCommands],
  [["restore"], async () => (await import("./restore.ts")).addRestoreCommand],
  [["pause"], async () => (await import("./pause.ts")).addPauseCommand],
  [["resume"], async () => (await import("./pause.ts")).addResumeCommand],
  [["listen"], async () => (await import("./listen/listen.ts")).addListenCommand],
  [["doctor"], async () => (await import("./doctor.ts")).addDoctorCommand],
  [["verify"], async () => (await import("./verify/verify.ts")).addVerifyCommand],
  [["bench"], async () => (await import("./bench.ts")).addBenchCommand],
  [["config"], async () => (await import("./config.ts")).addConfigCommands],
  [["completion"], async () => (await import("./completion/completion.ts")).addCompletionCommand],
  [["version"], async () => (await import("./version.ts")).addVersionCommand],
];

/**
 * The program for these arguments. It knows every command, unless the first argument names one: then only that one is
 * loaded, which takes half of the time. For the version none is.
 */
export async function createProgram(args: readonly string[]): Promise<Command> {
  const program = new Command("hookd")
    .description("Webhook delivery that you run yourself: signed, retried, durable, visible.")
    .version(VERSION, "-V, --version", "print the version")
    .helpCommand("help [command]", "show the help of a command")
    .showSuggestionAfterError()
    .showHelpAfterError("(add --help to see how it is used)")
    .exitOverride()
    .addHelpText(
      "after",
      examplesText([
        "hookd serve --dev",
        "hookd webhooks add --event user.created --url http://127.0.0.1:9000/hooks",
        `hookd events send user.created '{"id": 1}' --wait`,
        "hookd deliveries list --status failed",
      ]),
    );
  const named = COMMANDS.filter(([names]) => names.includes(args[0] ?? ""));
  const isVersion = ["--version", "-V"].includes(args[0] ?? "");
  for (const [, load] of named.length > 0 || isVersion ? named : COMMANDS) (await load())(program);
  return program;
}
