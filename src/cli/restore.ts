import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { formatSpan, plural } from "../lib/format.ts";
import { DEFAULT_DATA_DIR } from "./client.ts";
import { addCommand, type Call, run } from "./command.ts";
import { confirm } from "./confirm.ts";
import { Failure, messageOf } from "./failure.ts";
import { createProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

interface RestoreOptions {
  readonly dataDir?: string;
  readonly masterKey?: string;
  readonly force?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

/** hookd deletes nothing of its own accord after a longer gap than this, until the clock is confirmed. */
const GAP_MAX_MS = 3_600_000;
const INTERRUPTED = 130;

export function addRestoreCommand(program: Command): void {
  addCommand(program, "restore", "Put a backup in place, while no hookd runs there; it then starts paused", [
    "hookd restore /mnt/backups/hookd.db --data-dir /var/lib/hookd",
    "hookd restore hookd.db --master-key hookd.db.master.key",
  ])
    .argument("<file>", "what `hookd backup` made")
    .option("--data-dir <dir>", `the data directory to fill (HOOKD_DATA_DIR; ${DEFAULT_DATA_DIR})`)
    .option("--master-key <file>", "the key that the backup's secrets are sealed with; it becomes master.key")
    .option("--force", "move a database that is there aside")
    .option("--yes", "do not ask")
    .option("--json", "print what was done as JSON")
    .action(run<[string], RestoreOptions>(restore));
}

async function restore({ args, options, terminal }: Call<[string], RestoreOptions>): Promise<void> {
  const dataDir = resolve(options.dataDir ?? (terminal.env.HOOKD_DATA_DIR || DEFAULT_DATA_DIR));
  const file = resolve(args[0]);
  const isForced = options.force === true;
  if (isForced && existsSync(join(dataDir, "hookd.db"))) {
    const question = `${dataDir} has a database. It is moved aside, and ${file} takes its place.`;
    await confirm(terminal, options.yes === true, question);
  }
  const { restoreBackup } = await import("../restore.ts");
  const progress = createProgress(terminal);
  const now = Date.now();
  let isChanged = false;
  const onInterrupt = () => process.exit(INTERRUPTED);
  process.once("SIGINT", onInterrupt);
  const { facts, movedAside, hasMasterKey } = await restoreBackup({
    file,
    dataDir,
    masterKeyFile: options.masterKey === undefined ? null : resolve(options.masterKey),
    isForced,
    now,
    randomBytes,
    onCopied: (bytes, total) => progress.update(`copying: ${Math.floor((bytes / total) * 100)} %`),
    onPhase: (phase) => {
      progress.update(phase === "checking" ? "checking every page" : "putting it in place");
      // While the thread is held up, Ctrl-C must end the process by itself; while files change their names, not at all.
      isChanged = phase === "placing";
      if (phase === "checking") process.off("SIGINT", onInterrupt);
      else process.once("SIGINT", onInterrupt);
    },
  }).catch((error: unknown) => {
    throw new Failure(messageOf(error), {
      hint: isChanged
        ? "nothing was deleted: look there, then restore again"
        : `nothing was changed in ${dataDir}`,
      cause: error,
    });
  });
  progress.end();
  process.off("SIGINT", onInterrupt);
  if (options.json === true) {
    const asOf = facts.asOf === null ? null : new Date(facts.asOf).toISOString();
    const done = { data_dir: dataDir, as_of: asOf, webhooks: facts.webhooks, moved_aside: movedAside };
    terminal.json(JSON.stringify({ ...done, has_master_key: hasMasterKey, paused: true }));
    return;
  }
  const asOf = facts.asOf === null ? "" : `, as of ${new Date(facts.asOf).toISOString()}`;
  terminal.line(`Restored into ${dataDir}: ${plural(facts.webhooks, "webhook")}${asOf}`, "green");
  for (const path of movedAside) terminal.note(`What was there is now ${path}`);
  tellWhatNext(terminal, dataDir, hasMasterKey, facts.asOf === null ? 0 : now - facts.asOf);
}

function tellWhatNext(terminal: Terminal, dataDir: string, hasMasterKey: boolean, ageMs: number): void {
  if (!hasMasterKey) {
    terminal.note(
      `The master key is missing, and hookd does not start without: put it at ${join(dataDir, "master.key")} (mode 600), ` +
        "or name it with security.master_key_file",
      "yellow",
    );
  }
  terminal.note(
    "hookd will start paused: it takes events and sends nothing, since the one that was backed up may still run, and " +
      "what is open would be delivered twice. Once that one is stopped: hookd resume",
    "yellow",
  );
  if (ageMs <= GAP_MAX_MS) return;
  terminal.note(
    `The backup is ${formatSpan(ageMs)} old. Nothing is pruned or expired until you have looked at what is open, and ` +
      "started once with: hookd serve --accept-clock",
    "yellow",
  );
}
