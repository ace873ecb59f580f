import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Delivery } from "../../src/domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { createMemoryStore } from "../../src/store/memory/memory-store.ts";
import type { Store } from "../../src/store/port.ts";
import type { Db } from "../../src/store/sqlite/connection.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { UID_PREFIX } from "./ledger.ts";

/** A delivery as the disk has it. */
export type Kept = Pick<
  Delivery,
  | "id"
  | "event"
  | "webhookId"
  | "status"
  | "reason"
  | "attemptCount"
  | "roundStart"
  | "dueAt"
  | "queuedAt"
  | "completedAt"
>;

/** What outlives a crash. */
export interface SimDisk {
  /** A store on what is there. */
  open(clock: Clock, dedupeWindowMs: number): Store;
  /** The process is gone: its store can write no more. */
  crash(): void;
  /** What is durable now, read without the store; null where that cannot be done. */
  readonly direct: DirectDisk | null;
  /** Everything, read through the store if it must be. */
  all(): Promise<Iterable<Kept>>;
  /** The number of the simulation's event. */
  eventNumber(kept: Kept): number;
  dispose(): void;
}

export interface DirectDisk {
  get(id: DeliveryId): Kept | undefined;
  openOf(webhookId: WebhookId): Iterable<Kept>;
  webhook(id: WebhookId): Webhook | undefined;
}

/** Maps in memory: hours a second. */
export function memoryDisk(): SimDisk {
  const disk = new MemoryDisk();
  const decoder = new TextDecoder();
  return {
    open: (clock, dedupeWindowMs) => createMemoryStore({ disk, clock, dedupeWindowMs }),
    crash: () => {},
    direct: {
      get: (id) => disk.deliveries.get(id),
      openOf: (webhookId) => disk.lanes.get(webhookId)?.values() ?? [],
      webhook: (id) => disk.webhooks.get(id),
    },
    all: async () => disk.deliveries.values(),
    eventNumber({ event }) {
      const { payload } = disk.events.get(event)!;
      return JSON.parse(decoder.decode(payload)).n;
    },
    dispose: () => {},
  };
}

const PAGE = 200;
/** Small, so that crashes come in the middle of a fold. */
const FOLD_SLICE_ROWS = 40;

/**
 * Real SQLite. A crash copies the files as they are, as a kill would leave them, and goes on with the copy.
 * The page cache outlives a killed process, so nothing is synced here; test/crash/power-loss.test.ts is about
 * that.
 */
export function sqliteDisk(): SimDisk {
  const root = mkdtempSync(join(tmpdir(), "hookd-sim-"));
  let copies = 0;
  let dir = join(root, "0");
  mkdirSync(dir);
  let store: Store | null = null;
  const uids = new Map<number, string | null>();
  const openQuickly = (path: string): Db => {
    const db = openDatabase(path);
    db.pragma("synchronous = OFF");
    return db;
  };
  return {
    open(clock, dedupeWindowMs) {
      const options = { dataDir: dir, clock, dedupeWindowMs, foldSliceRows: FOLD_SLICE_ROWS };
      store = createSqliteStore({ ...options, openDatabase: openQuickly });
      return store;
    },
    crash() {
      copies += 1;
      const copy = join(root, String(copies));
      cpSync(dir, copy, { recursive: true });
      discard(store, dir);
      dir = copy;
    },
    direct: null,
    async all() {
      const all: Delivery[] = [];
      let before: number | null = null;
      do {
        const page: { items: readonly Delivery[]; next: number | null } = await store!.listDeliveries(
          {},
          { limit: PAGE, before },
        );
        for (const delivery of page.items) uids.set(delivery.id, delivery.eventUid);
        all.push(...page.items);
        before = page.next;
      } while (before !== null);
      return all;
    },
    eventNumber: ({ id }) => Number(uids.get(id)?.slice(UID_PREFIX.length)),
    dispose: () => discard(store, root),
  };
}

/** What a dead process had open is closed, and its files go: nobody looks at them any more. */
function discard(store: Store | null, dir: string): void {
  const remove = () => rmSync(dir, { recursive: true, force: true });
  (store?.close() ?? Promise.resolve()).then(remove, remove);
}
