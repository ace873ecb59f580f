import { Problem } from "../../domain/problem.ts";
import { connect, type Db, IN_MEMORY } from "./connection.ts";
import { migrate } from "./migrations.ts";

/** SQLite before this version could corrupt a WAL database (fixed 2026-03-13, https://sqlite.org/wal.html#walreset). */
const SQLITE_VERSION_MIN = "3.51.3";
/**
 * Of a new database. Batches go in somewhat faster with 16 KiB (docs/decisions/0001-sqlite-layout.md); but each commit and fold writes
 * most pages for a few rows, and 8 KiB pages are a fifth less to write (docs/decisions/0018-uids-in-trees.md).
 */
const PAGE_BYTES = 8_192;
/** Where nothing else copies the WAL back (checkpoints.ts), a commit that finds so much in it does: some 8 ms. */
const CHECKPOINT_BYTES = 6 * 1_024 * 1_024;
/** Twice as much made nothing faster that could be told, with 1,000 and with 10,000 webhooks. */
const CACHE_KIB = 16_384;
/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const BUSY = 5;
const LOCKED = 6;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const NOTADB = 26;

/**
 * Opens hookd's database: WAL, by the `unix-excl` VFS (https://sqlite.org/vfs.html). A commit is durable once `LogSync`
 * says so. The VFS keeps other processes out, and what the connections of this one share of the log in memory, not in a
 * `-shm` file, which dies with SIGBUS on a full disk. One connection writes; `checkpoint-thread.ts` and `backup-thread.ts`
 * have others.
 */
export function openDatabase(path: string): Db {
  let db: Db;
  try {
    db = connect(path, { timeoutMs: 0, isOwn: true });
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    db.pragma(`page_size = ${PAGE_BYTES}`);
    db.pragma("journal_mode = WAL");
    // Checkpoints sync by themselves; each commit is synced off this thread, by log-sync.ts.
    db.pragma("synchronous = NORMAL");
    db.pragma("mmap_size = 0");
    db.pragma(`cache_size = -${CACHE_KIB}`);
    const pageBytes = Number(db.pragma("page_size"));
    db.pragma(`wal_autocheckpoint = ${Math.floor(CHECKPOINT_BYTES / pageBytes)}`);
    assertVersion(db);
    migrate(db, path);
    assertDurable(db);
    return db;
  } catch (error) {
    db.close();
    throw sqliteCode(error) === null ? error : unreadable(path, error);
  }
}

/** The SQLite that Node brings along. */
export function sqliteVersion(): { version: string; versionMin: string; isEnough: boolean } {
  const db = connect(IN_MEMORY);
  try {
    const version = versionOf(db);
    const isEnough = compareVersions(version, SQLITE_VERSION_MIN) >= 0;
    return { version, versionMin: SQLITE_VERSION_MIN, isEnough };
  } finally {
    db.close();
  }
}

/** SQLite's primary result code, where it is SQLite that threw. */
export function sqliteCode(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return code === "ERR_SQLITE_ERROR" && typeof errcode === "number" ? errcode & 0xff : null;
}

/** What went wrong; SQLite's own words with its extended result code. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { errcode } = error as { errcode?: unknown };
  return sqliteCode(error) === null ? error.message : `${error.message} (SQLite's code ${errcode})`;
}

export function isLocked(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === BUSY || code === LOCKED;
}

export function isDiskFull(error: unknown): boolean {
  return sqliteCode(error) === FULL;
}

/** Turns SQLite's errors into what callers act on; anything else is a bug and stays as it is. */
export function storeProblem(error: unknown): unknown {
  if (isDiskFull(error)) {
    return new Problem(
      "disk_full",
      "the disk is full: nothing was stored; free space in the data directory",
      {
        cause: error,
        retryAfterSeconds: 5,
      },
    );
  }
  const code = sqliteCode(error);
  if (code === IOERR || code === CORRUPT) {
    return new StoreFailure(`the database cannot be written: ${describe(error)}`, error);
  }
  return error;
}

/** The disk failed in a way after which nothing may be acknowledged: the process must stop and recover from the log. */
export class StoreFailure extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = "StoreFailure";
  }
}

function versionOf(db: Db): string {
  return String(db.pluck("select sqlite_version()").get());
}

function assertVersion(db: Db): void {
  const version = versionOf(db);
  if (compareVersions(version, SQLITE_VERSION_MIN) < 0) {
    throw new Error(
      `SQLite ${version} can corrupt its log; hookd needs ${SQLITE_VERSION_MIN} or newer: run npm ci`,
    );
  }
}

/** Reads back what a commit will do, after a first write: the setting is silently lowered otherwise. */
function assertDurable(db: Db): void {
  try {
    db.prepare("insert or replace into setting(name, value) values ('opened', ?)").run(String(process.pid));
  } catch (error) {
    // A full disk must not keep hookd from starting: it reads, refuses events, and goes on when there is room.
    if (!isDiskFull(error)) throw error;
  }
  const synchronous = db.pragma("synchronous");
  const journal = db.pragma("journal_mode");
  if (synchronous !== 1 || journal !== "wal") {
    throw new Error(
      `the database is not durable: synchronous=${synchronous} (want 1), journal_mode=${journal} (want wal)`,
    );
  }
}

function unreadable(path: string, error: unknown): Error {
  const code = sqliteCode(error);
  const what = isLocked(error)
    ? `another hookd is running on ${path}. Stop it first, or use another --data-dir`
    : code === NOTADB || code === CORRUPT
      ? `${path} is not a database that can be read (${describe(error)}). Restore it from a backup; hookd does not overwrite it`
      : `${path} cannot be opened: ${describe(error)}`;
  return new Error(what, { cause: error });
}

function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let index = 0; index < 3; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
