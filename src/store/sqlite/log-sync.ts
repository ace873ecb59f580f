import { closeSync, fdatasync, fstatSync, openSync, statSync } from "node:fs";
import { StoreFailure } from "./database.ts";

type SyncFile = (fd: number, done: (error: Error | null) => void) => void;

/**
 * Makes commits durable without holding up the thread: SQLite writes a commit into its log (the WAL) and does not wait
 * for the disk (`synchronous=NORMAL`, which still syncs the log before a checkpoint, and the file after it); this syncs
 * the log from a thread of Node's pool. A sync covers every commit that was written when it began, so what commits
 * while one runs shares the next one.
 *
 *   idle --commit--> syncing --done--> idle, or at once again for what was committed meanwhile
 *   failed: the disk could not be synced once. What is in the page cache then, nobody knows: nothing more is durable.
 */
export class LogSync {
  readonly #fd: number;
  readonly #syncFile: SyncFile;
  #isSyncing = false;
  #failure: StoreFailure | null = null;
  #waiting: PromiseWithResolvers<void> | null = null;
  #running: PromiseWithResolvers<void> | null = null;

  /** `path`: the WAL, which is there and stays the same file as long as the database is open. */
  constructor(path: string, syncFile: SyncFile = fdatasync) {
    this.#syncFile = syncFile;
    this.#fd = openSync(path, "r+");
    if (fstatSync(this.#fd).ino !== statSync(path).ino)
      throw new Error(`${path} was replaced while it was opened`);
  }

  /** Resolves when all that is committed now survives power loss; rejects with StoreFailure. */
  durable(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#waiting ??= Promise.withResolvers();
    const { promise } = this.#waiting;
    if (!this.#isSyncing) this.#sync();
    return promise;
  }

  /** The same for what is committed already and was asked for: at once where nothing of it is left to sync. */
  caughtUp(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    return (this.#waiting ?? (this.#isSyncing ? this.#running : null))?.promise ?? Promise.resolve();
  }

  /** Throws the StoreFailure after which nothing is durable any more. */
  assertSound(): void {
    if (this.#failure) throw this.#failure;
  }

  /** After the database is closed, and so synced. */
  close(): void {
    this.#failure ??= new StoreFailure("the database is closed", null);
    closeSync(this.#fd);
  }

  #sync(): void {
    this.#isSyncing = true;
    this.#running = this.#waiting;
    this.#waiting = null;
    this.#syncFile(this.#fd, (error) => {
      this.#isSyncing = false;
      if (error) {
        this.fail(new StoreFailure(`the database cannot be synced to disk: ${error.message}`, error));
        return;
      }
      this.#running?.resolve();
      if (this.#waiting) this.#sync();
    });
  }

  /** Nothing is durable from now on. */
  fail(failure: StoreFailure): void {
    this.#failure ??= failure;
    this.#running?.reject(failure);
    this.#waiting?.reject(failure);
  }
}
