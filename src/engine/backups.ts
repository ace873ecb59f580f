import { mkdir, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { BackupProgress, Store } from "../store/port.ts";
import { addTo, type Counters } from "./counters.ts";
import type { DiskWatch } from "./disk-watch.ts";
import type { Backup } from "./port.ts";

export interface BackupsDeps {
  readonly config: Config;
  readonly store: Store;
  readonly disk: DiskWatch;
  readonly clock: Clock;
  readonly counters: Counters;
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
}

const SUFFIX = ".db";
/** What a copy is called before it is whole, and SQLite's journal of that. */
const LEFTOVER = /\.db\.partial(-journal)?$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;
/** Failures remembered, until hookd ends: they leave no file. */
const FAILED_KEPT_MAX = 20;
/** Of a list: somebody who makes more than this deletes none. */
const LISTED_MAX = 1_000;

interface Running {
  readonly name: string;
  readonly createdAt: number;
  readonly abort: AbortController;
  bytesDone: number;
  bytesTotal: number;
  /** Resolves when it has ended, however it did. */
  ended: Promise<void>;
}

/**
 * Copies of the database, files in `backup.dir`; one is made at a time. Whoever asked for it need not wait for it.
 *
 *   running --copied--> done: the file has its name, and stays until somebody takes or deletes it
 *   running --the disk runs full, the copy fails--> failed: no file, and why
 *   running --deleted, hookd stops--> gone: no file. A crash leaves a draft, which the next one removes
 */
export class Backups {
  readonly #deps: BackupsDeps;
  readonly #failed = new Map<string, Backup>();
  #running: Running | null = null;
  /** The one that was begun last: who asked for it finds it there, even if `backup.dir` names another place since. */
  #last: { readonly name: string; readonly dir: string } | null = null;
  #isStopped = false;

  constructor(deps: BackupsDeps) {
    this.#deps = deps;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Begins one. Rejects with backup_running, backup_exists, disk_full or store_unavailable. */
  async create(name: string | null): Promise<Backup> {
    if (this.#isStopped) throw stopping();
    if (this.#running) {
      const { name: other } = this.#running;
      throw new Problem("backup_running", `the backup ${other} is being made: wait for it, or delete it`, {
        details: { name: other },
        retryAfterSeconds: 5,
      });
    }
    const createdAt = this.#deps.clock.now();
    const running: Running = {
      name: name ?? nameAt(createdAt),
      createdAt,
      abort: new AbortController(),
      bytesDone: 0,
      bytesTotal: 0,
      ended: Promise.resolve(),
    };
    this.#running = running;
    const { dir } = this.#deps.config.backup;
    try {
      await this.#prepare(running.name, dir);
      if (this.#isStopped) throw stopping();
    } catch (error) {
      this.#running = null;
      throw error;
    }
    this.#failed.delete(running.name);
    this.#last = { name: running.name, dir };
    running.bytesTotal = this.#deps.store.stats().bytes;
    running.ended = this.#run(running);
    return this.#viewOf(running);
  }

  /** Newest first. */
  async list(): Promise<readonly Backup[]> {
    const files = (await this.#files()).filter((file) => file.endsWith(SUFFIX));
    const names = new Set(files.map((file) => file.slice(0, -SUFFIX.length)));
    if (this.#last !== null) names.add(this.#last.name);
    const done = await Promise.all([...names].map((name) => this.#done(name)));
    const all = [...this.#failed.values(), ...done.filter((backup) => backup !== null)];
    if (this.#running) all.push(this.#viewOf(this.#running));
    return all.sort((a, b) => b.createdAt - a.createdAt).slice(0, LISTED_MAX);
  }

  async get(name: string): Promise<Backup | null> {
    if (this.#running?.name === name) return this.#viewOf(this.#running);
    return this.#failed.get(name) ?? (await this.#done(name));
  }

  /** Deletes the file; one that is being made is given up. Rejects with not_found. */
  async delete(name: string): Promise<void> {
    const running = this.#running;
    if (running?.name === name) {
      running.abort.abort();
      await running.ended;
    }
    // Where it was done in the same moment, there is a file after all.
    const isKnown = this.#failed.delete(name) || running?.name === name;
    if ((await this.#done(name)) === null) {
      if (isKnown) return;
      throw new Problem("not_found", `there is no backup ${name}`);
    }
    await rm(this.#pathOf(name), { force: true });
  }

  /**
   * Call now and then: events are worth more than the copy of them. Until that is made, what is stored stays in the log,
   * and is written into the database then: it is given up while there is room for that.
   */
  look(): void {
    if (this.#running === null) return;
    const { disk, config, store } = this.#deps;
    const needed = config.limits.diskFreeBytes + store.stats().walBytes;
    if (!disk.isLow && disk.freeBytes >= needed) return;
    const why = "the disk was nearly full: the backup was given up";
    this.#running.abort.abort(new Problem("disk_full", why));
  }

  /** Gives up what is being made. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#running?.abort.abort();
    await this.#running?.ended;
  }

  /** Never rejects. */
  async #run(running: Running): Promise<void> {
    const { store, counters, log } = this.#deps;
    const { name, abort } = running;
    const onProgress = ({ bytesDone, bytesTotal }: BackupProgress) => {
      running.bytesDone = bytesDone;
      running.bytesTotal = bytesTotal;
    };
    try {
      await store.backup(this.#pathOf(name), { signal: abort.signal, onProgress });
      addTo(counters.backups, "done");
    } catch (error) {
      const { aborted, reason } = abort.signal;
      if (aborted && !(reason instanceof Problem)) addTo(counters.backups, "cancelled");
      else {
        addTo(counters.backups, "failed");
        const why = messageOf(aborted ? reason : error);
        log.warn("a backup failed: nothing of it is left", { name, error: why });
        this.#remember({ ...this.#viewOf(running), state: "failed", bytes: 0, error: why });
      }
    } finally {
      this.#running = null;
    }
  }

  async #prepare(name: string, dir: string): Promise<void> {
    try {
      await mkdir(dir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
      await removeLeftovers(dir);
    } catch (error) {
      throw new Problem(
        "store_unavailable",
        `the directory ${dir} cannot be used: ${messageOf(error)}; make it, or name another one: backup.dir`,
        { cause: error },
      );
    }
    if ((await this.#done(name)) !== null) {
      throw new Problem(
        "backup_exists",
        `there is a backup ${name} already: delete it, or choose another name`,
        {
          details: { name },
        },
      );
    }
    await this.#checkSpace(dir);
  }

  /** Room for all of it, and on the disk of the data for what hookd must not do without besides. */
  async #checkSpace(dir: string): Promise<void> {
    const { config, store } = this.#deps;
    const [{ bavail, bsize }, { dev }, data] = await Promise.all([
      statfs(dir),
      stat(dir),
      stat(config.dataDir).catch(() => null),
    ]);
    const { bytes, walBytes } = store.stats();
    const needed = bytes + walBytes + (dev === data?.dev ? config.limits.diskFreeBytes : 0);
    const free = bavail * bsize;
    if (free >= needed) return;
    throw new Problem(
      "disk_full",
      `${dir} has ${mebibytes(free)} free, and the backup needs ${mebibytes(needed)}` +
        " (limits.disk_free among them, where the data is on the same disk): free space, or set backup.dir",
      { details: { free_bytes: free, needed_bytes: needed }, retryAfterSeconds: 60 },
    );
  }

  /** Null: there is no such file. */
  async #done(name: string): Promise<Backup | null> {
    if (!NAME.test(name)) return null;
    const path = this.#pathOf(name);
    const file = await stat(path).catch(() => null);
    if (!file?.isFile()) return null;
    const completedAt = Math.floor(file.mtimeMs);
    return {
      name,
      path,
      state: "done",
      bytes: file.size,
      progress: 1,
      createdAt: file.birthtimeMs > 0 ? Math.min(Math.floor(file.birthtimeMs), completedAt) : completedAt,
      completedAt,
      error: null,
    };
  }

  async #files(): Promise<readonly string[]> {
    return readdir(this.#deps.config.backup.dir).catch(() => []);
  }

  #viewOf({ name, createdAt, bytesDone, bytesTotal }: Running): Backup {
    return {
      name,
      path: this.#pathOf(name),
      state: "running",
      bytes: bytesDone,
      progress: bytesTotal === 0 ? 0 : Math.min(1, bytesDone / bytesTotal),
      createdAt,
      completedAt: null,
      error: null,
    };
  }

  #remember(failed: Backup): void {
    this.#failed.set(failed.name, failed);
    for (const oldest of this.#failed.keys()) {
      if (this.#failed.size <= FAILED_KEPT_MAX) return;
      this.#failed.delete(oldest);
    }
  }

  #pathOf(name: string): string {
    const dir = this.#last?.name === name ? this.#last.dir : this.#deps.config.backup.dir;
    return join(dir, `${name}${SUFFIX}`);
  }
}

/** Deletes the drafts of copies that a crash ended. Call while none is being made. */
export async function removeLeftovers(dir: string): Promise<void> {
  const files = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  for (const file of files) if (LEFTOVER.test(file)) await rm(join(dir, file), { force: true });
}

/** `hookd-20261122T083000Z`: names sort by time. */
function nameAt(at: number): string {
  return `hookd-${new Date(at).toISOString().replace(/\.\d+/, "").replaceAll(/[-:]/g, "")}`;
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function stopping(): Problem {
  return new Problem("shutting_down", "hookd is stopping: make the backup when it is back", {
    retryAfterSeconds: 5,
  });
}
