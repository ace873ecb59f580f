import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/lib/clock.ts";
import type { Store } from "../../src/store/port.ts";
import type { Db } from "../../src/store/sqlite/connection.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { type Adapter, WINDOW_MS } from "./world.ts";

export interface SqliteAdapter extends Adapter {
  readonly root: string;
  /** Every connection, the last one last. */
  readonly opened: readonly Db[];
  /** Called with each connection before the store reads from it. */
  onOpen: ((db: Db) => void) | null;
  /** The connection of the store that was opened last. */
  readonly db: Db;
  /** The directory of the store that was made last. */
  readonly dataDir: string;
  /** Copies the database and its log as they are now, as a kill would leave them. */
  snapshot(): string;
  /** A store on a directory. */
  at(dataDir: string, clock: Clock): Store;
}

/** Real SQLite in a directory of its own. A crash is a copy of the files, while the old connection stays open. */
export function sqliteAdapter(options: { foldSliceRows?: number } = {}): SqliteAdapter {
  const root = mkdtempSync(join(tmpdir(), "hookd-store-"));
  const opened: Db[] = [];
  let dataDir = join(root, "0");
  mkdirSync(dataDir);
  let copies = 0;
  const adapter: SqliteAdapter = {
    root,
    opened,
    onOpen: null,
    get db() {
      return opened.at(-1)!;
    },
    get dataDir() {
      return dataDir;
    },
    at: (dir, clock) =>
      createSqliteStore({
        dataDir: dir,
        dedupeWindowMs: WINDOW_MS,
        clock,
        ...options,
        openDatabase: (path) => {
          const db = openDatabase(path);
          opened.push(db);
          adapter.onOpen?.(db);
          return db;
        },
      }),
    create: (clock) => adapter.at(dataDir, clock),
    snapshot() {
      copies += 1;
      const copy = join(root, String(copies));
      mkdirSync(copy);
      cpSync(dataDir, copy, { recursive: true });
      return copy;
    },
    crash(clock) {
      dataDir = adapter.snapshot();
      return adapter.create(clock);
    },
    async cleanup() {
      for (const db of opened) db.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
  return adapter;
}
