import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { hashKey, makeKey } from "./domain/key-text.ts";
import { keyIdOf } from "./domain/seal.ts";
import { readKey, syncDirectory, writePrivate } from "./master-key.ts";
import { type BackupFacts, inspectBackup, isInUse, markRestored } from "./store/sqlite/backup-file.ts";

export type { BackupFacts };
export { inspectBackup };

export interface RestoreRequest {
  readonly file: string;
  readonly dataDir: string;
  /** Put in place as master.key; null: the one that is there, or comes later. */
  readonly masterKeyFile: string | null;
  /** A database that is there is moved aside. */
  readonly isForced: boolean;
  readonly now: number;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly onCopied: (bytes: number, bytesTotal: number) => void;
  /** `checking`: the look at every page, which holds up the thread. `placing`: from here on the directory changes. */
  readonly onPhase: (phase: "checking" | "placing") => void;
}

export interface Restored {
  readonly facts: BackupFacts;
  /** What was there before, under its new names. */
  readonly movedAside: readonly string[];
  readonly hasMasterKey: boolean;
}

/** Beside the database, and part of it: with another one's they would be read as its own, and ruin it. */
const COMPANIONS = ["", "-wal", "-shm", "-journal"];
const CHUNK_BYTES = 4 * 1024 * 1024;
const HEADER_BYTES = 100;
const MAGIC = "SQLite format 3\0";
const FORMAT_AT = 18;
const WITHOUT_LOG = Buffer.of(1, 1);

/**
 * Puts a backup into a data directory in which no hookd runs. Everything is checked on the copy that will be used, which
 * gets its name last: until then the directory is as it was, and a restore that ends half-way is begun again.
 */
export async function restoreBackup(request: RestoreRequest): Promise<Restored> {
  const { file, dataDir, now, randomBytes } = request;
  const path = join(dataDir, "hookd.db");
  checkTarget(request, path);
  const bytes = sizeOfBackup(file);
  makeDirectory(dataDir);
  const copy = `${path}.restoring`;
  const removeCopy = () => {
    for (const companion of COMPANIONS) rmSync(copy + companion, { force: true });
  };
  removeCopy();
  checkSpace(dataDir, bytes);
  process.on("exit", removeCopy);
  try {
    await copyFile(file, copy, bytes, request.onCopied);
    request.onPhase("checking");
    const facts = inspectBackup(copy);
    const hasMasterKey = checkMasterKey(request, facts);
    request.onPhase("placing");
    markRestored(copy, now);
    const aside = `replaced-${new Date(now).toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "")}`;
    const movedAside = [
      ...moveDatabase(path, aside),
      ...placeMasterKey(request, aside),
      ...placeAdminKey(dataDir, facts, randomBytes, aside),
    ];
    // Not renamed: that would replace the database of a hookd that was started meanwhile.
    linkSync(copy, path);
    unlinkSync(copy);
    syncDirectory(dataDir);
    return { facts, movedAside, hasMasterKey };
  } finally {
    process.off("exit", removeCopy);
    removeCopy();
  }
}

function checkTarget({ dataDir, isForced }: RestoreRequest, path: string): void {
  const found = COMPANIONS.map((companion) => path + companion).filter((name) => existsSync(name));
  if (found.length === 0) return;
  if (existsSync(path) && isInUse(path)) throw runningIn(dataDir);
  if (isForced) return;
  throw new Error(
    `${found[0]} is there: name another --data-dir, or move it aside with --force (nothing of it is deleted)`,
  );
}

/** Looks at the header only. The size of the file. */
function sizeOfBackup(file: string): number {
  const found = statSync(file, { throwIfNoEntry: false });
  if (!found?.isFile()) throw new Error(`${file} is no file: give the one that hookd backup made`);
  if ((statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) {
    throw new Error(
      `${file} has a log beside it (${file}-wal): it is a database in use, or one that was killed, and no backup. ` +
        "Make one with hookd backup",
    );
  }
  const header = readHeader(file);
  if (header.length < HEADER_BYTES || header.toString("latin1", 0, MAGIC.length) !== MAGIC)
    throw new Error(`${file} is no database: give the file that hookd backup made`);
  // 1 stands for 65536 (https://sqlite.org/fileformat2.html 1.3.2).
  const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
  const expected = header.readUInt32BE(28) * pageBytes;
  if (found.size !== expected)
    throw new Error(
      `${file} has ${found.size} bytes, and should have ${expected}: it was cut off or changed`,
    );
  return found.size;
}

function readHeader(file: string): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  const opened = openSync(file, "r");
  try {
    return header.subarray(0, readSync(opened, header));
  } finally {
    closeSync(opened);
  }
}

function makeDirectory(dataDir: string): void {
  if (statSync(dataDir, { throwIfNoEntry: false })?.isDirectory()) return;
  try {
    mkdirSync(dataDir, { mode: 0o700 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the data directory ${dataDir} cannot be made: ${why}`, { cause: error });
  }
}

function checkSpace(dataDir: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(dataDir);
  if (bavail * bsize >= bytes) return;
  throw new Error(
    `${dataDir} has ${mebibytes(bavail * bsize)} free, and the backup has ${mebibytes(bytes)}: free space`,
  );
}

async function copyFile(
  from: string,
  to: string,
  bytesTotal: number,
  onCopied: RestoreRequest["onCopied"],
): Promise<void> {
  const source = await open(from, "r");
  const target = await open(to, "wx", 0o600);
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; ; ) {
      const { bytesRead } = await source.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) break;
      await target.write(chunk, 0, bytesRead, at);
      at += bytesRead;
      onCopied(at, bytesTotal);
    }
    // A stopped hookd's own file says that a log belongs to it, which SQLite would look for.
    await target.write(WITHOUT_LOG, 0, WITHOUT_LOG.length, FORMAT_AT);
    await target.sync();
  } finally {
    await source.close();
    await target.close();
  }
}

/** Whether the key is there, or will be put there. A wrong one is refused here, not by a start in the middle of the night. */
function checkMasterKey({ dataDir, masterKeyFile }: RestoreRequest, facts: BackupFacts): boolean {
  const there = join(dataDir, "master.key");
  const file = masterKeyFile ?? (existsSync(there) ? there : null);
  if (file === null) return false;
  const keyId = keyIdOf(readKey(file));
  if (facts.masterKeyId === null || keyId === facts.masterKeyId) return true;
  throw new Error(
    `${file} is not the master key that the backup's secrets are sealed with: give that one with --master-key`,
  );
}

function placeMasterKey({ dataDir, masterKeyFile }: RestoreRequest, aside: string): string[] {
  if (masterKeyFile === null) return [];
  const path = join(dataDir, "master.key");
  const text = readFileSync(masterKeyFile, "utf8");
  const moved: string[] = [];
  if (existsSync(path)) {
    if (readFileSync(path, "utf8").trim() === text.trim()) return [];
    moved.push(moveAside(path, aside));
  }
  writePrivate(path, `${text.trim()}\n`);
  return moved;
}

/**
 * Whoever restores is the operator, and may have lost the old admin key with its machine: unless the one that is there
 * is known to the backup, a new one is left as a draft, which the next start makes known to the store.
 */
function placeAdminKey(
  dataDir: string,
  facts: BackupFacts,
  randomBytes: RestoreRequest["randomBytes"],
  aside: string,
): string[] {
  const path = join(dataDir, "admin.key");
  const moved: string[] = [];
  if (existsSync(path)) {
    if (facts.hasKey(hashKey(readFileSync(path, "utf8").trim()))) return [];
    moved.push(moveAside(path, aside));
  }
  rmSync(`${path}.new`, { force: true });
  writePrivate(`${path}.new`, `${makeKey(randomBytes).text}\n`);
  return moved;
}

function moveDatabase(path: string, aside: string): string[] {
  if (existsSync(path) && isInUse(path)) throw runningIn(dirname(path));
  const moved = COMPANIONS.filter((companion) => existsSync(path + companion)).map((companion) => {
    renameSync(path + companion, `${path}.${aside}${companion}`);
    return `${path}.${aside}${companion}`;
  });
  // A hookd that was started in this very moment has what was moved: it gets it back.
  const [database] = moved;
  if (database === undefined || !isInUse(database)) return moved;
  for (const name of moved) renameSync(name, name.replace(`.${aside}`, ""));
  throw runningIn(dirname(path));
}

function moveAside(path: string, aside: string): string {
  const moved = `${path}.${aside}`;
  renameSync(path, moved);
  return moved;
}

function runningIn(dataDir: string): Error {
  return new Error(`a hookd is running on ${dataDir}: stop it first, or name another --data-dir`);
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
