import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../lib/clock.ts";
import type { BackupOptions } from "../port.ts";
import { connect, type Db, isDiskFull } from "./database.ts";

/** A step is to hold up a commit for no longer; its pages follow from how long the last ones took. */
const STEP_MS = 3;
const STEP_PAGES_MIN = 4;
const STEP_PAGES_FIRST = 32;
const STEP_PAGES_MAX = 256;
/** Rest after a step, in times of what it took: a quarter of the thread, and half while the database grows as fast. */
const REST = 3;
const REST_BEHIND = 1;
/** The copy is synced this often, off the thread: what SQLite's own sync at the end would find, stands the thread still. */
const SYNC_EVERY_BYTES = 8 * 1024 * 1024;
/** Steps without a page: somebody else has locked the copy, and will not let go. */
const STUCK_STEPS_MAX = 200;
/** Where the header says that the file comes with a log: 2, or without: 1 (https://sqlite.org/fileformat2.html 1.3.3). */
const FORMAT_AT = 18;
const WITHOUT_LOG = [1, 1];

/**
 * Copies the database into a new file by SQLite's online backup, on the store's own connection (there can be no other):
 * it reads through the pager, so what is in the log only is copied too, and SQLite writes what changes meanwhile into
 * both. The copy is the database as of its end, as a crash would leave it, in one file without a log. The file has its
 * name when it is whole and durable; otherwise nothing is left.
 */
export async function backupDatabase(
  db: Db,
  path: string,
  clock: Clock,
  { signal, onProgress }: BackupOptions,
): Promise<void> {
  const draft = `${path}.partial`;
  await removeDraft(draft);
  const file = await open(draft, "wx", 0o600);
  try {
    try {
      await copyPages(db, draft, file, clock, { signal, onProgress });
      await file.write(Buffer.from(WITHOUT_LOG), 0, WITHOUT_LOG.length, FORMAT_AT);
      await file.datasync();
    } finally {
      // Not before SQLite is done with the draft: closing any descriptor of a file drops the locks that SQLite has on it.
      await file.close();
    }
    signal.throwIfAborted();
    await rename(draft, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await removeDraft(draft);
    throw isDiskFull(error)
      ? new Problem(
          "disk_full",
          "the disk became full while the database was copied: free space, or back up to another disk",
          { cause: error },
        )
      : error;
  }
}

async function copyPages(
  db: Db,
  draft: string,
  file: FileHandle,
  clock: Clock,
  { signal, onProgress }: BackupOptions,
): Promise<void> {
  const pageBytes = Number(db.pragma("page_size", { simple: true }));
  makeEmpty(draft, pageBytes);
  const copy = beginBackup(db, draft);
  try {
    let pages = STEP_PAGES_FIRST;
    let unsyncedPages = 0;
    let least = Number.POSITIVE_INFINITY;
    let stuckSteps = 0;
    for (let before: Step | null = null; ; ) {
      signal.throwIfAborted();
      const begunMono = clock.mono();
      const step = copy.transfer(pages);
      const tookMs = clock.mono() - begunMono;
      const { totalPages, remainingPages } = step;
      const bytesTotal = totalPages * pageBytes;
      onProgress({ bytesDone: bytesTotal - remainingPages * pageBytes, bytesTotal, tookMs });
      if (remainingPages === 0) return;
      const isStuck = before?.totalPages === totalPages && before.remainingPages === remainingPages;
      stuckSteps = isStuck ? stuckSteps + 1 : 0;
      if (stuckSteps > STUCK_STEPS_MAX) throw new Error(`${draft} is locked by another process`);
      before = step;
      unsyncedPages += pages;
      pages = fitted(pages, tookMs);
      if (unsyncedPages * pageBytes >= SYNC_EVERY_BYTES || remainingPages <= pages) {
        await file.datasync();
        unsyncedPages = 0;
      }
      const isBehind = remainingPages >= least;
      least = Math.min(least, remainingPages);
      await sleep(Math.ceil(tookMs * (isBehind ? REST_BEHIND : REST)), undefined, { signal });
    }
  } finally {
    copy.close();
  }
}

function fitted(pages: number, tookMs: number): number {
  if (tookMs > STEP_MS) return Math.max(STEP_PAGES_MIN, Math.floor((pages * STEP_MS) / tookMs));
  return tookMs < STEP_MS / 2 ? Math.min(STEP_PAGES_MAX, Math.ceil(pages * 1.25)) : pages;
}

/**
 * A database of one page, of the same size as the source's. SQLite's cache of the copy is sized by the pages that it
 * finds in the file: in a new one those are small, and it would hold 60 MB of the large ones and write them all in the
 * last step (60-110 ms instead of 20-30).
 */
function makeEmpty(draft: string, pageBytes: number): void {
  const copy = connect(draft);
  try {
    copy.pragma(`page_size = ${pageBytes}`);
    copy.pragma("journal_mode = MEMORY");
    // It is nothing yet; what comes into it is synced.
    copy.pragma("synchronous = OFF");
    copy.pragma("user_version = 1");
  } finally {
    copy.close();
  }
}

interface Step {
  readonly totalPages: number;
  readonly remainingPages: number;
}

interface NativeBackup {
  transfer(pages: number): Step;
  close(): void;
}

/**
 * better-sqlite3's own `backup()` takes its next step in the next turn of the loop, whatever else waits: half of the
 * thread, and all of it in a rest. So this drives the same native object, which the library keeps under its one symbol.
 */
function beginBackup(db: Db, draft: string): NativeBackup {
  const [symbol] = Object.getOwnPropertySymbols(db);
  const native = symbol && (db as unknown as Record<symbol, { backup?: unknown }>)[symbol];
  if (typeof native?.backup !== "function") throw new Error("this better-sqlite3 cannot back up in steps");
  return native.backup(db, "main", draft, false) as NativeBackup;
}

/** SQLite's own journal of the draft goes with it. */
async function removeDraft(draft: string): Promise<void> {
  await rm(`${draft}-journal`, { force: true });
  await rm(draft, { force: true });
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
