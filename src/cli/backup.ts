import { constants, linkSync, rmSync, statSync } from "node:fs";
import { copyFile, open } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { keyIdOf } from "../domain/seal.ts";
import type { BackupBody } from "../http-api.ts";
import { formatAgo, formatMs } from "../lib/format.ts";
import { formatSize } from "../lib/units.ts";
import { DEFAULT_DATA_DIR, segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { confirm } from "./confirm.ts";
import { Failure, messageOf } from "./failure.ts";
import { createProgress } from "./progress.ts";
import { statusColour } from "./status-colour.ts";
import { type Column, printTable } from "./table.ts";

interface BackupOptions {
  readonly name?: string;
  readonly withMasterKey?: boolean;
  readonly dataDir?: string;
}

type BackupCall = ClientCall<[string | undefined], BackupOptions>;

const LOOK_EVERY_MS = 250;
const INTERRUPTED = 130;

export function addBackupCommand(program: Command): void {
  const command = addCommand(
    program,
    "backup",
    "Copy the database of a running hookd, consistent and checked",
    [
      "hookd backup /mnt/backups/hookd.db",
      "hookd backup --name before-upgrade",
      "hookd backup /mnt/backups/with-key.db --with-master-key",
    ],
  )
    .argument(
      "[file]",
      "where to put it, a file or a directory (default: it stays in the daemon's backup.dir)",
    )
    .option("--name <name>", "what the daemon calls it (default: by the time)")
    .option(
      "--with-master-key",
      "also copy the key that its secrets are sealed with, to FILE.master.key: who has both can sign for everyone",
    )
    .action(runClient<[string | undefined], BackupOptions>(backup));
  addClientOptions({ commands: [command] });
}

export function addBackupCommands(program: Command): void {
  const group = addGroup(program, "backups", "Backups that lie where hookd runs", [
    "hookd backups list",
    "hookd backups delete before-upgrade --yes",
  ]);
  addCommand(group, "list", "List backups, newest first: made, being made, and failed lately", [
    "hookd backups list",
  ])
    .alias("ls")
    .action(runClient<[]>(list));
  addCommand(group, "delete <name>", "Delete a backup; one that is being made is given up", [
    "hookd backups delete before-upgrade --yes",
  ])
    .alias("remove")
    .option("--yes", "do not ask")
    .action(
      runClient<[string], { yes?: boolean }>(async ({ client, terminal, args, options }) => {
        if (!client.isCurl)
          await confirm(terminal, options.yes === true, `This deletes the backup ${args[0]}.`);
        await client.call({ method: "DELETE", path: `/backups/${segment(args[0])}` });
        if (!client.isJson) terminal.line(`Deleted ${args[0]}.`);
      }),
    );
  addClientOptions(group);
}

async function backup(call: BackupCall): Promise<void> {
  const { client, terminal, args, options } = call;
  const keyFile = options.withMasterKey === true ? masterKeyFileOf(call) : null;
  const begunMono = performance.now();
  const target = args[0] === undefined ? null : targetOf(args[0], options.name);
  const json = options.name === undefined ? {} : { name: options.name };
  const begun = await client.call<BackupBody>({ method: "POST", path: "/backups", json });
  const made = await finished(call, begun.body.name);
  if (!isHere(made)) return leaveThere(call, made);
  const path = target === null ? made.path : await take(call, made, target(made.name));
  terminal.rewrite("checking every page");
  const { inspectBackup } = await import("../restore.ts");
  const facts = inspectBackup(path);
  const keyCopy = keyFile === null ? null : await copyKey(keyFile, `${path}.master.key`, facts.masterKeyId);
  if (client.isJson) {
    terminal.json(JSON.stringify({ ...made, path, checked: true, master_key: keyCopy }));
    return;
  }
  const took = formatMs(performance.now() - begunMono);
  terminal.line(`${path}: ${sizeOf(made.bytes)}, made and checked in ${took}`, "green");
  if (keyCopy === null) {
    terminal.note(
      "The master key is not in it. Keep a copy of master.key somewhere else: without it the secrets cannot be read.",
      "dim",
    );
  } else {
    terminal.note(
      `${keyCopy} holds the master key. Whoever has both files can read every signing secret and sign as hookd: keep them apart.`,
      "yellow",
    );
  }
}

/** Waits until it is made. Ctrl-C gives it up; a lost connection does not. */
async function finished({ client, terminal }: BackupCall, name: string): Promise<BackupBody> {
  const progress = createProgress(terminal);
  const interrupted = new AbortController();
  const onInterrupt = () => interrupted.abort();
  process.once("SIGINT", onInterrupt);
  try {
    while (true) {
      const { body } = await client.call<BackupBody>({ method: "GET", path: `/backups/${segment(name)}` });
      if (body.state === "done") return body;
      if (body.state === "failed") throw new Failure(`the backup failed: ${body.error}`);
      progress.update(`backing up: ${Math.floor(body.progress * 100)} %, ${sizeOf(body.bytes)}`);
      await sleep(LOOK_EVERY_MS, undefined, { signal: interrupted.signal }).catch(() => undefined);
      if (!interrupted.signal.aborted) continue;
      await client.call({ method: "DELETE", path: `/backups/${segment(name)}` });
      progress.end();
      terminal.note("The backup was given up: nothing of it is left.");
      process.exit(INTERRUPTED);
    }
  } finally {
    progress.end();
    process.off("SIGINT", onInterrupt);
  }
}

/** Whether the daemon's file is one that this machine sees too: of the same size, written at the same moment. */
function isHere({ path, bytes, completed_at }: BackupBody): boolean {
  try {
    const { size, mtimeMs } = statSync(path);
    return size === bytes && Math.floor(mtimeMs) === Date.parse(completed_at ?? "");
  } catch {
    // Not there, or in a directory that is hookd's user's only.
    return false;
  }
}

function leaveThere({ client, terminal, args, options }: BackupCall, made: BackupBody): void {
  if (args[0] !== undefined || options.withMasterKey === true) {
    throw new Failure(`the backup is made, but where hookd runs: ${made.path}`, {
      hint: "this machine does not see that file: run the command there, or fetch it from there",
    });
  }
  if (client.isJson) terminal.json(JSON.stringify(made));
  else {
    terminal.line(`${made.path}, where hookd runs: ${sizeOf(made.bytes)}`, "green");
    terminal.note(
      "It was not looked at from here; hookd restore checks it before it puts it in place.",
      "dim",
    );
  }
}

/** Looked at before anything is made: a target that cannot be used must not cost a backup. */
function targetOf(file: string, given: string | undefined): (name: string) => string {
  const isDirectory = statSync(file, { throwIfNoEntry: false })?.isDirectory() === true;
  const pathFor = (name: string) => resolve(isDirectory ? join(file, `${name}.db`) : file);
  if (!isDirectory && statSync(dirname(resolve(file)), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new Failure(`there is no directory ${dirname(resolve(file))}`, {
      exitCode: 2,
      hint: "make it first",
    });
  if (!isDirectory || given !== undefined) assertFree(pathFor(given ?? ""));
  return pathFor;
}

function assertFree(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }))
    throw new Failure(`${path} is there already`, {
      exitCode: 2,
      hint: "name another file, or remove it first",
    });
}

/** Moves the file from where the daemon left it: a second name for it on the same disk, a copy elsewhere. */
async function take({ client, terminal }: BackupCall, made: BackupBody, target: string): Promise<string> {
  assertFree(target);
  try {
    try {
      linkSync(made.path, target);
    } catch {
      // Another disk, or a file that this user may read and not link.
      terminal.rewrite(`copying to ${target}`);
      await copyDurably(made.path, target);
    }
    await syncPath(dirname(target));
  } catch (error) {
    throw new Failure(`the backup is made, but cannot be put at ${target}: ${messageOf(error)}`, {
      hint: `it is at ${made.path}; take it from there, then: hookd backups delete ${made.name}`,
      cause: error,
    });
  }
  await client.call({ method: "DELETE", path: `/backups/${segment(made.name)}` });
  return target;
}

async function copyDurably(from: string, to: string): Promise<void> {
  const draft = `${to}.partial`;
  const remove = () => rmSync(draft, { force: true });
  remove();
  process.on("exit", remove);
  try {
    await copyFile(from, draft, constants.COPYFILE_EXCL);
    await syncPath(draft);
    linkSync(draft, to);
  } finally {
    process.off("exit", remove);
    remove();
  }
}

async function syncPath(path: string): Promise<void> {
  const opened = await open(path, "r");
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

/** The key lies in the data directory, and goes over no wire. */
function masterKeyFileOf({ options, terminal }: BackupCall): string {
  const dataDir = options.dataDir ?? (terminal.env.HOOKD_DATA_DIR || DEFAULT_DATA_DIR);
  const file = join(dataDir, "master.key");
  if (statSync(file, { throwIfNoEntry: false })) return file;
  throw new Failure(`there is no ${file}`, {
    exitCode: 2,
    hint: "name hookd's data directory with --data-dir, on its machine; where security.master_key_file names the key, copy that",
  });
}

async function copyKey(from: string, to: string, keyId: string | null): Promise<string> {
  const { readKey, writePrivate } = await import("../master-key.ts");
  const key = readKey(from);
  if (keyId !== null && keyIdOf(key) !== keyId) {
    throw new Failure(`${from} is not the key of this backup's secrets: it was not copied`, {
      hint: "name the data directory of the hookd that was backed up with --data-dir",
    });
  }
  writePrivate(to, `${Buffer.from(key).toString("base64")}\n`);
  return to;
}

async function list({ client, terminal }: ClientCall<[], object>): Promise<void> {
  const answer = await client.call<{ data: readonly BackupBody[] }>({ method: "GET", path: "/backups" });
  if (client.isJson) return terminal.json(answer.text);
  const now = Date.now();
  const columns: Column<BackupBody>[] = [
    { title: "NAME", text: ({ name }) => name },
    { title: "STATE", text: ({ state }) => state, colour: ({ state }) => statusColour(state) },
    { title: "DONE", text: ({ progress }) => `${Math.floor(progress * 100)}%` },
    { title: "SIZE", text: ({ bytes }) => String(bytes), shown: ({ bytes }) => sizeOf(bytes) },
    {
      title: "CREATED",
      text: ({ created_at }) => created_at,
      shown: ({ created_at }) => formatAgo(created_at, now),
    },
    { title: "PATH", text: ({ path, error }) => error ?? path, canShrink: true },
  ];
  if (answer.body.data.length === 0) terminal.note("No backups. Make one with: hookd backup");
  else printTable(terminal, columns, answer.body.data);
}

/** To a tenth of a MiB. */
function sizeOf(bytes: number): string {
  return bytes < 2 ** 20 ? formatSize(bytes) : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
