import { fdatasyncSync } from "node:fs";
import { backup } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../lib/clock.ts";
import { connect } from "./connection.ts";
import { describe, isDiskFull } from "./database.ts";

/** What the thread is given. */
export interface BackupData {
  /** The database. */
  readonly path: string;
  /** What it is copied into: a database of one page, of the same size. */
  readonly draft: string;
  /** The draft, open for writing, to be synced. Not closed here: that would drop the locks that SQLite has on it. */
  readonly file: number;
  /** One integer: not 0 as soon as the copy is given up. Whoever sets it wakes up who waits for it. */
  readonly abort: Int32Array;
}

export type FromBackup =
  | { readonly kind: "progress"; readonly pagesDone: number; readonly pagesTotal: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string; readonly isDiskFull: boolean };

/** So many pages a step: half a megabyte of 8 KiB each. */
const STEP_PAGES = 64;
/** Rest after a step, in times of what it took: half of a core, and half of what the disk can do. */
const REST = 1;
/** The draft is synced this often: the disk is not given all of it in one go. */
const SYNC_EVERY_PAGES = 1_024;

/** Entry of the thread that makes one backup, by SQLite's own, and ends. */
if (!parentPort) throw new Error("store/sqlite/backup-thread.ts runs as a worker thread only");
const port = parentPort;
const { path, draft, file, abort } = workerData as BackupData;
const isAborted = () => Atomics.load(abort, 0) !== 0;

copy().then(
  () => tell({ kind: "done" }),
  (error: unknown) => tell({ kind: "failed", message: describe(error), isDiskFull: isDiskFull(error) }),
);

/** SQLite writes into the draft from a thread of Node's pool; between two steps it asks here how to go on. */
async function copy(): Promise<void> {
  const source = connect(path, { isOwn: true });
  try {
    // A transaction sees one moment. Without it, SQLite would begin anew with each commit of the other connection.
    source.exec("begin");
    source.pluck("select count(*) from sqlite_schema").get();
    let begunMono = systemClock.mono();
    let unsyncedPages = 0;
    const pages = await backup(source.native, draft, {
      rate: STEP_PAGES,
      progress({ totalPages, remainingPages }) {
        unsyncedPages += STEP_PAGES;
        if (unsyncedPages >= SYNC_EVERY_PAGES) {
          fdatasyncSync(file);
          unsyncedPages = 0;
        }
        tell({ kind: "progress", pagesDone: totalPages - remainingPages, pagesTotal: totalPages });
        const restMs = (systemClock.mono() - begunMono) * REST;
        if (isAborted() || Atomics.wait(abort, 0, 0, restMs) !== "timed-out")
          throw new Error("it was given up");
        begunMono = systemClock.mono();
      },
    });
    tell({ kind: "progress", pagesDone: pages, pagesTotal: pages });
  } finally {
    source.close();
  }
}

function tell(message: FromBackup): void {
  port.postMessage(message);
}
