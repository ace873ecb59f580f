import Database from "better-sqlite3";
import { Problem } from "../../domain/problem.ts";
import { sqliteAddon } from "../../lib/native-addon.ts";
import { migrate } from "./migrations.ts";

export type Db = Database.Database;
export type Statement = Database.Statement<unknown[], unknown>;

/** SQLite before this version could corrupt a WAL database (fixed 2026-03-13, https://sqlite.org/wal.html#walreset). */
const SQLITE_VERSION_MIN = "3.51.3";
/**
 * Of a new database. Batches go in somewhat faster with 16 KiB (docs/decisions/0001-sqlite-layout.md); but each commit and fold writes
 * most pages for a few rows, and 8 KiB pages are a fifth less to write (docs/decisions/0018-uids-in-trees.md).
 */
const PAGE_BYTES = 8_192;
/** The WAL is copied back when it has so much, inside the commit that filled it: some 8 ms, several times a second. */
const CHECKPOINT_BYTES = 6 * 1_024 * 1_024;
/** Holds the pages that the fold writes into: one or more for each webhook that has traffic. */
const CACHE_KIB = 32_768;

/** A connection as it comes: every one, since the single binary brings the native part along. */
export function connect(path: string, options: Database.Options = {}): Db {
  // Its types know of a path only; the addon itself is taken as well.
  return new Database(path, { ...options, nativeBinding: sqliteAddon() as string | undefined });
}

/**
 * Opens hookd's database: one connection, exclusive, WAL. A commit is durable once `LogSync` says so. Exclusive mode
 * keeps a second process out, and keeps SQLite from mapping a `-shm` file, which dies with SIGBUS on a full disk.
 */
export function openDatabase(path: string): Db {
  let db: Db;
  try {
    db = connect(path, { timeout: 0 });
  } catch (error) {
    throw unreadable(path, error);
  }
  try {
    db.pragma(`page_size = ${PAGE_BYTES}`);
    db.pragma("locking_mode = EXCLUSIVE");
    db.pragma("journal_mode = WAL");
    // Checkpoints sync by themselves; each commit is synced off this thread, by log-sync.ts.
    db.pragma("synchronous = NORMAL");
    db.pragma("foreign_keys = OFF");
    db.pragma("mmap_size = 0");
    db.pragma(`cache_size = -${CACHE_KIB}`);
    const pageBytes = Number(db.pragma("page_size", { simple: true }));
    db.pragma(`wal_autocheckpoint = ${Math.floor(CHECKPOINT_BYTES / pageBytes)}`);
    assertVersion(db);
    migrate(db, path);
    assertDurable(db);
    return db;
  } catch (error) {
    db.close();
    throw error instanceof Database.SqliteError ? unreadable(path, error) : error;
  }
}

/** The SQLite that hookd brings along. Throws where its native part cannot be loaded. */
export function sqliteVersion(): { version: string; versionMin: string; isEnough: boolean } {
  const db = connect(":memory:");
  try {
    const version = versionOf(db);
    const isEnough = compareVersions(version, SQLITE_VERSION_MIN) >= 0;
    return { version, versionMin: SQLITE_VERSION_MIN, isEnough };
  } finally {
    db.close();
  }
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code === "SQLITE_FULL";
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
  if (!(error instanceof Database.SqliteError)) return error;
  if (error.code.startsWith("SQLITE_IOERR") || error.code.startsWith("SQLITE_CORRUPT")) {
    return new StoreFailure(`the database cannot be written: ${error.code}: ${error.message}`, error);
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
  return String(db.prepare("select sqlite_version()").pluck().get());
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
  const synchronous = db.pragma("synchronous", { simple: true });
  const journal = db.pragma("journal_mode", { simple: true });
  const locking = db.pragma("locking_mode", { simple: true });
  if (synchronous !== 1 || journal !== "wal" || locking !== "exclusive") {
    throw new Error(
      `the database is not durable: synchronous=${synchronous} (want 1), journal_mode=${journal} (want wal), ` +
        `locking_mode=${locking} (want exclusive)`,
    );
  }
}

function unreadable(path: string, error: unknown): Error {
  const code = error instanceof Database.SqliteError ? error.code : "";
  const what =
    code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")
      ? `another hookd is running on ${path}. Stop it first, or use another --data-dir`
      : code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT")
        ? `${path} is not a database that can be read (${code}). Restore it from a backup; hookd does not overwrite it`
        : `${path} cannot be opened: ${error instanceof Error ? error.message : String(error)}`;
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
