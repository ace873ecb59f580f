import { fdatasyncSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { connect } from "./connection.ts";
import { describe, isDiskFull } from "./database.ts";

/** What the thread is given. */
export interface CheckpointData {
  /** The database. */
  readonly path: string;
  /** The same, open for writing, to be synced. Not closed here: that would drop the locks that SQLite has on it. */
  readonly file: number;
}

/** Copy back what is in the log; or end. */
export type ToCheckpoint = "copy" | "copy all" | "end";

/** `failure`: why it could not be. */
export interface FromCheckpoint {
  readonly failure: string | null;
  readonly isDiskFull: boolean;
}

/** Entry of the thread that copies the log back into the database, beside the connection that writes into the log. */
if (!parentPort) throw new Error("store/sqlite/checkpoint-thread.ts runs as a worker thread only");
const port = parentPort;
const { path, file } = workerData as CheckpointData;
const db = connect(path, { isOwn: true });
db.pragma("synchronous = NORMAL");
const checkpoint = db.prepare("pragma wal_checkpoint(passive)");

port.on("message", (message: ToCheckpoint) => {
  if (message === "end") {
    db.close();
    port.close();
    return;
  }
  try {
    copy();
    // What was written meanwhile is little: whoever copies the rest waits for almost nothing.
    if (message === "copy all") copy();
    tell({ failure: null, isDiskFull: false });
  } catch (error) {
    tell({ failure: describe(error), isDiskFull: isDiskFull(error) });
  }
});

/** SQLite syncs the log first, and the database only where it copied all that there is: so that is done here. */
function copy(): void {
  checkpoint.get();
  fdatasyncSync(file);
}

function tell(message: FromCheckpoint): void {
  port.postMessage(message);
}
