import { closeSync, openSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import { startThread } from "../../lib/thread.ts";
import type { CheckpointData, FromCheckpoint, ToCheckpoint } from "./checkpoint-thread.ts";
import type { Db, Statement } from "./connection.ts";
import { describe, isDiskFull, StoreFailure } from "./database.ts";

/** So much of the log that is not copied back is worth a turn of the thread. A test gives less. */
const STEP_BYTES = 6 * 1_024 * 1_024;
/** From here on the log is copied to its end, and written from its beginning again. */
const RESTART_BYTES = 32 * 1_024 * 1_024;
/** On a full disk: not in every commit. */
const RETRY_MS = 1_000;

export interface CheckpointsOptions {
  /** The connection that writes. */
  readonly db: Db;
  readonly path: string;
  readonly mono: () => number;
  /** Opens the database to be synced. A test gives what cannot be. */
  readonly openFile?: (path: string) => number;
  readonly stepBytes?: number;
  readonly restartBytes?: number;
  /** The database cannot be written, or not be synced: what the page cache holds then, nobody knows. */
  readonly onFailure: (failure: StoreFailure) => void;
}

/**
 * Copies the log (the WAL) back into the database in a thread of its own: the connection that commits neither copies nor
 * waits for the disk. A log to which commits are added all the time never is copied to its end, and would grow: so the
 * writing connection copies the last bit itself, after the thread copied and synced all but that; the next commit
 * then begins the log anew.
 *
 *   idle --6 MiB to copy--> copying --done--> idle
 *   idle --and 32 MiB long--> copying all --done--> idle, after the rest was copied here
 *   held: a backup reads the log as of a moment; beyond that SQLite copies nothing, and there is no use in trying
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  /** Tells how long the log is, and how much of it is copied; copies nothing. */
  readonly #look: Statement;
  readonly #copyRest: Statement;
  readonly #stepPages: number;
  readonly #restartPages: number;
  /** Open as long as the database is: closing it drops SQLite's locks. */
  readonly #file: number;
  #worker: Worker | null = null;
  #isCopying = false;
  #isCopyingAll = false;
  /** Pages that were left after the last time that all was copied. */
  #lastRest = Number.POSITIVE_INFINITY;
  #hasFailed = false;
  #holds = 0;
  #notBeforeMono = 0;

  constructor(options: CheckpointsOptions) {
    const { db, path, stepBytes = STEP_BYTES, restartBytes = RESTART_BYTES } = options;
    this.#options = options;
    this.#look = db.prepare("pragma wal_checkpoint(noop)");
    this.#copyRest = db.prepare("pragma wal_checkpoint(passive)");
    const pageBytes = Number(db.pragma("page_size"));
    this.#stepPages = Math.floor(stepBytes / pageBytes);
    this.#restartPages = Math.floor(restartBytes / pageBytes);
    db.pragma("wal_autocheckpoint = 0");
    // What the log holds after a backup is given back.
    db.pragma(`journal_size_limit = ${2 * restartBytes}`);
    this.#file = options.openFile?.(path) ?? openSync(path, "r+");
  }

  /** Call after each commit. Never throws: the commit is made. */
  committed(): void {
    if (this.#isCopying || this.#hasFailed || this.#holds > 0) return;
    try {
      const { length, rest } = this.#lookAtLog();
      if (rest < this.#stepPages || this.#options.mono() < this.#notBeforeMono) return;
      this.#isCopyingAll = length >= this.#restartPages;
      this.#worker ??= this.#start();
      this.#worker.postMessage((this.#isCopyingAll ? "copy all" : "copy") satisfies ToCheckpoint);
      this.#isCopying = true;
    } catch (error) {
      this.#fail(describe(error));
    }
  }

  /** The log is left alone until what this gives is called. */
  hold(): () => void {
    this.#holds += 1;
    return () => {
      this.#holds -= 1;
    };
  }

  /** Before the database is closed: its last connection empties the log. */
  async end(): Promise<void> {
    this.hold();
    const worker = this.#worker;
    if (worker === null) return;
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    this.#worker = null;
    worker.postMessage("end" satisfies ToCheckpoint);
    await ended;
  }

  /** After the database is closed. */
  close(): void {
    closeSync(this.#file);
  }

  #start(): Worker {
    const data: CheckpointData = { path: this.#options.path, file: this.#file };
    const worker = startThread("store/sqlite/checkpoint-thread", { workerData: data, name: "checkpoint" });
    worker.on("message", (message: FromCheckpoint) => this.#copied(message));
    worker.on("error", (error) => this.#fail(`its thread failed: ${String(error)}`));
    worker.on("exit", () => {
      const isExpected = this.#worker !== worker;
      this.#worker = null;
      if (!isExpected) this.#fail("its thread ended");
    });
    return worker;
  }

  #copied(message: FromCheckpoint): void {
    this.#isCopying = false;
    if (message.isDiskFull) this.#retryLater();
    else if (message.failure !== null) this.#fail(message.failure);
    else if (this.#isCopyingAll && this.#holds === 0) this.#copyTheRest();
  }

  /** A few pages; unless so much came meanwhile that the thread had better go on, as long as that makes it less. */
  #copyTheRest(): void {
    try {
      const { rest } = this.#lookAtLog();
      const isLess = rest < this.#lastRest;
      this.#lastRest = rest;
      if (rest >= this.#stepPages && isLess) return;
      this.#copyRest.get();
      this.#lastRest = Number.POSITIVE_INFINITY;
    } catch (error) {
      if (isDiskFull(error)) this.#retryLater();
      else this.#fail(describe(error));
    }
  }

  /** In pages; `rest`: what is not copied. */
  #lookAtLog(): { length: number; rest: number } {
    const { log, checkpointed } = this.#look.get() as { log: number; checkpointed: number };
    return { length: log, rest: log - checkpointed };
  }

  #retryLater(): void {
    this.#notBeforeMono = this.#options.mono() + RETRY_MS;
  }

  #fail(why: string): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.onFailure(new StoreFailure(`the log cannot be copied into the database: ${why}`, null));
  }
}
