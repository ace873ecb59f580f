import { timeOfSeq } from "../../domain/ids.ts";
import { MASTER_KEY_ID, PAUSED, pauseText, WATERMARK } from "../../domain/setting.ts";
import { connect, type Db } from "./connection.ts";
import { describe, isLocked, sqliteCode } from "./database.ts";
import { MIGRATIONS } from "./migrations.ts";
import { lastSeq } from "./recovery.ts";

/** What a backup says of itself. */
export interface BackupFacts {
  /** When it was alive last, epoch ms; null: it never was. */
  readonly asOf: number | null;
  readonly webhooks: number;
  /** Names the master key that its secrets are sealed with; null: none yet. */
  readonly masterKeyId: string | null;
  /** Whether it knows the API key of this hash. */
  hasKey(hash: Uint8Array): boolean;
}

/**
 * Reads a database file that nobody has open, and changes nothing, not even beside it: it must come without a log.
 * Throws what is wrong with it. Looks at every page, which takes a second for each gigabyte or so.
 */
export function inspectBackup(path: string): BackupFacts {
  let db: Db | null = null;
  try {
    db = connect(path, { readOnly: true, mustExist: true });
    assertOurs(db, path);
    const fault = String(db.pragma("integrity_check(1)"));
    if (fault !== "ok") throw new Error(`${path} is damaged: ${fault.split("\n", 1)[0]}`);
    return factsOf(db);
  } catch (error) {
    if (sqliteCode(error) === null) throw error;
    throw new Error(`${path} is damaged, or no database: ${describe(error)}`, { cause: error });
  } finally {
    db?.close();
  }
}

/** The next hookd that opens it takes events and sends nothing, until somebody resumes it. */
export function markRestored(path: string, at: number): void {
  const db = connect(path, { mustExist: true });
  try {
    db.prepare("insert or replace into setting values (?, ?)").run(PAUSED, pauseText("restored", at));
  } finally {
    db.close();
  }
}

/** Whether a process has it open as hookd does. Otherwise what waits in its log is written into it, and the log removed. */
export function isInUse(path: string): boolean {
  let db: Db | null = null;
  try {
    db = connect(path, { mustExist: true, timeoutMs: 0 });
    db.pragma("locking_mode = EXCLUSIVE");
    db.exec("begin exclusive; rollback");
    db.pragma("wal_checkpoint(TRUNCATE)");
    return false;
  } catch (error) {
    // What cannot be read at all is nobody's: hookd would not have started on it.
    return isLocked(error);
  } finally {
    db?.close();
  }
}

function assertOurs(db: Db, path: string): void {
  const version = Number(db.pragma("user_version"));
  const tables = db.pluck("select name from sqlite_schema where type = 'table'").all();
  const isOurs = ["setting", "webhook", "journal", "log"].every((table) => tables.includes(table));
  if (version === 0 || !isOurs) throw new Error(`${path} is a database, but not hookd's`);
  if (version > MIGRATIONS.length) {
    throw new Error(
      `${path} was written by a newer hookd (schema ${version}, this one knows ${MIGRATIONS.length}). Restore it with that version`,
    );
  }
}

function factsOf(db: Db): BackupFacts {
  const setting = db.pluck("select value from setting where name = ?");
  const seq = lastSeq(db);
  const seenAt = Number(setting.get(WATERMARK) ?? 0);
  const asOf = Math.max(seenAt, seq === 0 ? 0 : timeOfSeq(seq));
  const keyId = setting.get(MASTER_KEY_ID);
  const hashes = db.pluck("select hash from api_key").all() as Uint8Array[];
  return {
    asOf: asOf === 0 ? null : asOf,
    webhooks: Number(db.pluck("select count(*) from webhook where deleted_at is null").get()),
    masterKeyId: typeof keyId === "string" ? keyId : null,
    hasKey: (hash) => hashes.some((known) => Buffer.compare(known, hash) === 0),
  };
}
