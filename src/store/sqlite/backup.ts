import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Problem } from "../../domain/problem.ts";
import { startThread } from "../../lib/thread.ts";
import type { BackupOptions } from "../port.ts";
import type { BackupData, FromBackup } from "./backup-thread.ts";
import { connect } from "./connection.ts";

/** Where the header says that the file comes with a log: 2, or without: 1 (https://sqlite.org/fileformat2.html 1.3.3). */
const FORMAT_AT = 18;
const WITHOUT_LOG = [1, 1];

/**
 * Copies the database into a new file by SQLite's online backup, in a thread and on a connection of its own, which sees
 * the moment at which it began: what is in the log only is copied too. Until it is over, SQLite copies the log back up to
 * that moment only, and it grows. The copy is the database as a crash would have left it, in one file without a log. The
 * file has its name when it is whole and durable; otherwise nothing is left.
 */
export async function backupDatabase(
  source: string,
  pageBytes: number,
  path: string,
  { signal, onProgress }: BackupOptions,
): Promise<void> {
  const draft = `${path}.partial`;
  await removeDraft(draft);
  const file = await open(draft, "wx", 0o600);
  try {
    try {
      makeEmpty(draft, pageBytes);
      await copyPages(source, draft, file, pageBytes, { signal, onProgress });
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
    throw error;
  }
}

/** Resolves when the thread has ended. */
async function copyPages(
  source: string,
  draft: string,
  file: FileHandle,
  pageBytes: number,
  { signal, onProgress }: BackupOptions,
): Promise<void> {
  signal.throwIfAborted();
  const abort = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const giveUp = () => {
    Atomics.store(abort, 0, 1);
    Atomics.notify(abort, 0);
  };
  signal.addEventListener("abort", giveUp);
  const data: BackupData = { path: source, draft, file: file.fd, abort };
  const worker = startThread("store/sqlite/backup-thread", { workerData: data, name: "backup" });
  try {
    let failure: Error | null = new Error("the backup's thread ended");
    worker.on("message", (message: FromBackup) => {
      if (message.kind === "progress") {
        const { pagesDone, pagesTotal } = message;
        onProgress({ bytesDone: pagesDone * pageBytes, bytesTotal: pagesTotal * pageBytes });
      } else failure = message.kind === "done" ? null : failureOf(message.message, message.isDiskFull);
    });
    worker.on("error", (error: Error) => {
      failure = error;
    });
    await new Promise((resolve) => worker.once("exit", resolve));
    signal.throwIfAborted();
    if (failure !== null) throw failure;
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}

function failureOf(message: string, isDiskFull: boolean): Error {
  if (!isDiskFull) return new Error(message);
  return new Problem(
    "disk_full",
    "the disk became full while the database was copied: free space, or back up to another disk",
  );
}

/**
 * A database of one page, of the same size as the source's. SQLite's cache of the copy is sized by the pages that it
 * finds in the file: in a new one those are small, and it would hold 60 MB of the large ones and write them all in the
 * last step.
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
