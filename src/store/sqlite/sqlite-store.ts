import { statSync } from "node:fs";
import { join } from "node:path";
import type { DedupeKey } from "../../domain/dedupe.ts";
import type { Attempt, DeadReason, Delivery } from "../../domain/delivery.ts";
import type { DeliveryId, EventSeq, JobId, KeyId, WebhookId } from "../../domain/ids.ts";
import type { Job } from "../../domain/job.ts";
import type { ApiKey } from "../../domain/key.ts";
import type {
  DeadGroup,
  DeliveryFilter,
  GroupKey,
  Page,
  RouteKey,
  WebhookFilter,
} from "../../domain/query.ts";
import type { Webhook } from "../../domain/webhook.ts";
import type { Clock } from "../../lib/clock.ts";
import type {
  BackupOptions,
  BroadcastRoutes,
  CommitBatch,
  Committed,
  JobStep,
  Keep,
  LaneChange,
  LeaseGrant,
  LeaseWant,
  NewEvent,
  Paged,
  PruneBounds,
  Pruned,
  Recovery,
  StepContext,
  Store,
  StoredEvent,
  StoreStats,
} from "../port.ts";
import { Appending } from "./appending.ts";
import { backupDatabase } from "./backup.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { isDiskFull, openDatabase, storeProblem } from "./database.ts";
import { Deliveries } from "./deliveries.ts";
import { Fold } from "./fold.ts";
import { FoldTurns } from "./fold-turns.ts";
import { DEAD, Hot, type HotRow } from "./hot.ts";
import { Jobs } from "./jobs.ts";
import { applySettlement, endOfRow, hotFromAppend, Journal } from "./journal.ts";
import { Keys } from "./keys.ts";
import { Lanes } from "./lanes.ts";
import { LogChanges } from "./log-changes.ts";
import { LogSync } from "./log-sync.ts";
import { Prune } from "./prune.ts";
import { Readers } from "./readers.ts";
import { lastSeq, readSalt, recoverLanes } from "./recovery.ts";
import { Remover } from "./remover.ts";
import { replayJournal } from "./replay-journal.ts";
import { UidTrees } from "./uid-trees.ts";
import { UidMemory } from "./uids.ts";
import { Webhooks } from "./webhooks.ts";

export interface SqliteOptions {
  readonly dataDir: string;
  readonly dedupeWindowMs: number;
  readonly clock: Clock;
  /** Opens the file. A test gives another one, to reach the connection. */
  readonly openDatabase?: (path: string) => Db;
  /**
   * Whether the log is copied back in a thread of its own. Otherwise commits do it: for tests, where a copy of the files as
   * they are stands for a crash.
   */
  readonly isCheckpointedAside?: boolean;
  /** Rows in each slice of a fold. A test makes it small, to stop in the middle of one. */
  readonly foldSliceRows?: number;
}

/** So many changes since a fold say that there is traffic, which readers must not hold up. */
const BUSY_ROWS = 2_000;
/** A delivery that changes again during each of so many folds is busy: a command on it is refused as if it were leased. */
const FOLDS_PER_CHANGE_MAX = 4;
const FORGOTTEN_PER_SLICE = 2_000;

export function createSqliteStore(options: SqliteOptions): Store {
  return new SqliteStore(options);
}

/**
 * The store in one SQLite file; one connection, in one thread, does all that is asked for: the hot path appends to the
 * journal, the fold writes the rest seconds later (fold.ts). SQLite's calls return when they are done, so every method
 * has its effect in the turn in which it was called, except those that wait for the fold, and resolves when that is on
 * disk. The log is copied back, and backups are made, by threads with connections of their own.
 */
class SqliteStore implements Store {
  readonly #options: SqliteOptions;
  readonly #path: string;
  #db!: Db;
  #sync!: LogSync;
  #checkpoints: Checkpoints | null = null;
  #hot!: Hot;
  #journal!: Journal;
  #uids!: UidMemory;
  #fold!: Fold;
  #foldTurns!: FoldTurns;
  #readers!: Readers;
  #lanes!: Lanes;
  #deliveries!: Deliveries;
  #webhooks!: Webhooks;
  #keys!: Keys;
  #changes!: LogChanges;
  #jobs!: Jobs;
  #prune!: Prune;
  #begin!: Statement;
  #commit!: Statement;
  #rollback!: Statement;
  #freeBytes!: Plucked;
  #putLane!: Statement;
  #dropLane!: Statement;
  #mark = { journalId: 0, settleSeq: 0 };

  constructor(options: SqliteOptions) {
    this.#options = options;
    this.#path = join(options.dataDir, "hookd.db");
  }

  async open(): Promise<Recovery> {
    const db = (this.#options.openDatabase ?? openDatabase)(this.#path);
    this.#db = db;
    try {
      const recovery = this.#recover(db);
      this.#sync = new LogSync(`${this.#path}-wal`);
      if (this.#options.isCheckpointedAside) {
        this.#checkpoints = new Checkpoints({
          db,
          path: this.#path,
          mono: () => this.#options.clock.mono(),
          onFailure: (failure) => this.#sync.fail(failure),
        });
      }
      return recovery;
    } catch (error) {
      db.close();
      throw storeProblem(error);
    }
  }

  #recover(db: Db): Recovery {
    this.#begin = db.prepare("begin immediate");
    this.#commit = db.prepare("commit");
    this.#rollback = db.prepare("rollback");
    this.#freeBytes = db.pluck(
      "select freelist_count * page_size from pragma_freelist_count, pragma_page_size",
    );
    this.#putLane = db.prepare("insert or replace into lane values (?, ?)");
    this.#dropLane = db.prepare("delete from lane where webhook = ?");
    this.#hot = new Hot();
    this.#journal = new Journal(db);
    this.#uids = new UidMemory(new UidTrees(db, this.#options.clock), this.#options.dedupeWindowMs);
    this.#webhooks = new Webhooks(db);
    this.#lanes = new Lanes(db, this.#hot, this.#journal, this.#webhooks);
    this.#fold = new Fold(db, this.#hot, this.#uids, {
      queued: (webhookId, rows) => {
        for (const row of rows) this.#lanes.queued(webhookId, row);
      },
      ended: () => this.#lanes.rest(),
    });
    this.#foldTurns = new FoldTurns({
      fold: this.#fold,
      clock: this.#options.clock,
      mark: () => ({ ...this.#mark }),
      transaction: (work) => this.#transaction(work),
      sliceRows: this.#options.foldSliceRows,
    });
    this.#readers = new Readers(this.#options.clock, () => this.#hot.unfoldedCount > BUSY_ROWS);
    this.#deliveries = new Deliveries(db, this.#hot, this.#journal, this.#webhooks);
    this.#keys = new Keys(db);
    const remover = new Remover(db);
    this.#changes = new LogChanges(db, this.#hot, this.#journal, this.#lanes, remover);
    this.#jobs = new Jobs(db, this.#changes, this.#journal, this.#webhooks, remover);
    const parts = { hot: this.#hot, fold: this.#fold, journal: this.#journal, webhooks: this.#webhooks };
    this.#prune = new Prune(db, { ...parts, remover });
    this.#mark = replayJournal(db, {
      hot: this.#hot,
      journal: this.#journal,
      uids: this.#uids,
      fold: this.#fold,
      deliveries: this.#deliveries,
      webhooks: this.#webhooks,
      now: this.#options.clock.now(),
    });
    return {
      salt: readSalt(db),
      lastSeq: lastSeq(db),
      lanes: recoverLanes(db, this.#hot),
      runningJobs: this.#jobs.running(),
    };
  }

  async close(): Promise<void> {
    await this.#checkpoints?.end();
    // Whoever closes the database as the last one copies the log into it and deletes it. After a failed write or sync that
    // must not be: the log is what is left of what the disk did not take.
    this.#sync.assertSound();
    try {
      this.#fold.finish(() => ({ ...this.#mark }));
      this.#db.pragma("wal_checkpoint(TRUNCATE)");
    } catch (error) {
      // On a full disk the fold waits for the next start: the journal has all of it.
      if (!isDiskFull(error)) throw storeProblem(error);
    }
    this.#db.close();
    this.#sync.close();
    this.#checkpoints?.close();
  }

  async commit(batch: CommitBatch): Promise<Committed> {
    const stale: number[] = [];
    const seen = new Set<DeliveryId>();
    const settled = batch.settlements.filter(({ id, token }, index) => {
      const isOurs = token !== 0 && this.#hot.rows.get(id)?.token === token && !seen.has(id);
      if (isOurs) seen.add(id);
      else stale.push(index);
      return isOurs;
    });
    const appending = new Appending(this.#journal, this.#uids, (job) => this.#jobs.insert(job));
    const confirmFold = this.#transaction(() => {
      this.#uids.rotate(batch.now);
      for (const event of batch.appends) appending.append(event, batch.now);
      this.#journal.appendSettlements(this.#mark.settleSeq + 1, [...settled, ...appending.ended]);
      for (const { webhookId, state } of batch.laneStates) {
        if (state === null) this.#dropLane.run(webhookId);
        else this.#putLane.run(webhookId, state);
      }
      return this.#foldTurns.inCommit(batch.appends.length + settled.length, batch.now);
    });
    confirmFold?.();
    batch.appends.forEach((event, index) => {
      if (appending.appended[index]?.kind === "accepted") this.#heat(event, batch.now);
    });
    appending.confirm();
    this.#mark.settleSeq += 1;
    for (const settlement of settled) {
      const row = this.#hot.rows.get(settlement.id);
      if (!row) continue;
      applySettlement(row, settlement);
      this.#hot.markDirty(row, batch.now);
      if (row.dueAt !== null) this.#hot.wait(row);
    }
    await this.#sync.durable();
    return { appended: appending.appended, stale };
  }

  async lease(wants: readonly LeaseWant[]): Promise<readonly LeaseGrant[]> {
    return wants.map((want) => this.#lanes.lease(want));
  }

  async release(leases: readonly { readonly id: DeliveryId; readonly token: number }[]): Promise<void> {
    for (const { id, token } of leases) this.#lanes.release(id, token);
  }

  async maintain(): Promise<boolean> {
    if (this.#foldTurns.idle()) return true;
    if (this.#hot.unfoldedCount === 0) this.#lanes.rest();
    return false;
  }

  async expire(webhookId: WebhookId, queuedBefore: number, limit: number, now: number): Promise<LaneChange> {
    if (this.#changes.holdsOldHot(webhookId, queuedBefore, limit)) await this.#foldTurns.all();
    return this.#durably(() => this.#changes.expire(webhookId, queuedBefore, limit, now));
  }

  async prune(bounds: PruneBounds, limit: number, keep?: Keep): Promise<Pruned> {
    const since = this.#fold.unfoldedSince;
    if (since !== null && Math.max(bounds.successBefore, bounds.deadBefore) > since)
      await this.#foldTurns.all();
    const found = this.#prune.find(bounds, limit, this.#fold.foldedUpTo, keep !== undefined);
    if (found.ended && found.ended.length > 0) await keep?.(found.ended);
    const pruned = this.#transaction(() => this.#prune.slice(found, limit));
    pruned.confirm();
    return { deleted: pruned.deleted, hasMore: pruned.hasMore };
  }

  async revive(id: DeliveryId, now: number): Promise<LaneChange | null> {
    return this.#changeInLog(id, () => this.#changes.revive(id, now));
  }

  async makeDue(id: DeliveryId, now: number): Promise<LaneChange | null> {
    return this.#changeInLog(id, () => this.#changes.makeDue(id, now));
  }

  async kill(id: DeliveryId, reason: DeadReason, now: number): Promise<LaneChange | null> {
    return this.#changeInLog(id, () => this.#changes.kill(id, reason, now));
  }

  async listDeliveries(filter: DeliveryFilter, page: Page): Promise<Paged<Delivery>> {
    return this.#seen(await this.#readers.look(() => this.#deliveries.list(filter, page)));
  }

  async getDelivery(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null> {
    return this.#seen(this.#deliveries.get(id));
  }

  async findEvent(key: DedupeKey): Promise<EventSeq | null> {
    return this.#uids.find(key)?.event ?? null;
  }

  async getEvent(event: EventSeq, deliveriesMax: number): Promise<StoredEvent | null> {
    return this.#seen(this.#deliveries.event(event, deliveriesMax));
  }

  async deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]> {
    return this.#seen(await this.#deliveries.deadGroups(filter, by, (find) => this.#readers.look(find)));
  }

  async insertWebhook(webhook: Webhook): Promise<Webhook | null> {
    return this.#durably(() => this.#webhooks.insert(webhook));
  }

  async updateWebhook(webhook: Webhook): Promise<boolean> {
    return this.#durably(() => this.#webhooks.update(webhook));
  }

  async findWebhook(userId: string, eventId: string): Promise<Webhook | null> {
    return this.#seen(this.#webhooks.find(userId, eventId));
  }

  async getWebhooks(ids: readonly WebhookId[]): Promise<readonly (Webhook | null)[]> {
    return this.#seen(ids.map((id) => this.#webhooks.get(id)));
  }

  async listWebhooks(filter: WebhookFilter, page: Page): Promise<Paged<Webhook>> {
    return this.#seen(await this.#readers.look(() => this.#webhooks.list(filter, page)));
  }

  async routes(keys: readonly RouteKey[]): Promise<readonly (readonly WebhookId[])[]> {
    return this.#seen(keys.map((key) => this.#webhooks.route(key)));
  }

  async broadcastRoutes(eventId: string, afterUser: string, limit: number): Promise<BroadcastRoutes> {
    return this.#seen(this.#webhooks.broadcastRoutes(eventId, afterUser, limit));
  }

  async insertKey(key: ApiKey): Promise<void> {
    await this.#durably(() => this.#keys.insert(key));
  }

  async findKey(hash: Uint8Array): Promise<ApiKey | null> {
    return this.#seen(this.#keys.find(hash));
  }

  async getKey(id: KeyId): Promise<ApiKey | null> {
    return this.#seen(this.#keys.get(id));
  }

  async listKeys(userId: string | null, page: Page): Promise<Paged<ApiKey>> {
    return this.#seen(this.#keys.list(userId, page));
  }

  async deleteKey(id: KeyId): Promise<boolean> {
    return this.#durably(() => this.#keys.delete(id));
  }

  async insertJob(job: Job): Promise<void> {
    // A job covers what is there when it is made: all of that must be where the job looks, in the log.
    await this.#foldTurns.all();
    await this.#durably(() => this.#jobs.insert(job));
  }

  async getJob(id: JobId): Promise<Job | null> {
    return this.#seen(this.#jobs.get(id));
  }

  async listJobs(userId: string | null, page: Page): Promise<Paged<Job>> {
    return this.#seen(this.#jobs.list(userId, page));
  }

  async countSelection(job: Job, limit: number, looksMax?: number): Promise<number> {
    await this.#foldTurns.all();
    return this.#jobs.count(job, { limit, looksMax }, (find) => this.#readers.look(find));
  }

  async stepJob(id: JobId, limit: number, context: StepContext): Promise<JobStep> {
    if (this.#jobs.needsFold(id)) await this.#foldTurns.all();
    const made: HotRow[] = [];
    const step = this.#transaction(() => {
      const taken = this.#jobs.step(id, limit, context, made);
      this.#journal.appendSettlements(this.#mark.settleSeq + 1, made.filter(isDead).map(endOfRow));
      return taken;
    });
    this.#mark.settleSeq += 1;
    for (const row of made) {
      this.#hot.append(row, context.now);
      if (row.dueAt !== null) this.#hot.wait(row);
      this.#mark.journalId = row.id;
    }
    await this.#sync.durable();
    return step;
  }

  async cancelJob(id: JobId, now: number): Promise<boolean> {
    return this.#durably(() => this.#jobs.cancel(id, now));
  }

  async forgetUids(before: number): Promise<boolean> {
    const forgotten = this.#transaction(() => this.#uids.forgetSlice(before, FORGOTTEN_PER_SLICE));
    forgotten.confirm();
    return forgotten.hasMore;
  }

  async putSetting(name: string, value: string): Promise<void> {
    await this.#durably(() =>
      this.#db.prepare("insert or replace into setting values (?, ?)").run(name, value),
    );
  }

  async getSetting(name: string): Promise<string | null> {
    const value = this.#db.pluck("select value from setting where name = ?").get(name);
    return typeof value === "string" ? value : null;
  }

  async backup(path: string, options: BackupOptions): Promise<void> {
    const release = this.#checkpoints?.hold();
    try {
      await backupDatabase(this.#path, Number(this.#db.pragma("page_size")), path, options);
    } finally {
      release?.();
    }
  }

  stats(): StoreStats {
    return {
      bytes: fileBytes(this.#path),
      walBytes: fileBytes(`${this.#path}-wal`),
      unfolded: this.#hot.unfoldedCount,
      dead: this.#deliveries.deadCount(),
    };
  }

  reusableBytes(): number {
    return Number(this.#freeBytes.get());
  }

  /** Makes an appended event's deliveries hot. */
  #heat(event: NewEvent, now: number): void {
    this.#mark.journalId = event.seq;
    for (const target of event.targets) {
      const row = hotFromAppend(event, target, now);
      this.#hot.append(row, now);
      if (row.token === 0 && row.dueAt !== null) this.#lanes.wait(row, event);
      this.#mark.journalId = Math.max(this.#mark.journalId, target.id);
    }
  }

  /** A single delivery is changed in the log, so what is hot of it goes there first; a leased one stays as it is. */
  async #changeInLog(id: DeliveryId, change: () => LaneChange | null): Promise<LaneChange | null> {
    for (let folds = 0; folds < FOLDS_PER_CHANGE_MAX; folds += 1) {
      const row = this.#hot.rows.get(id);
      if (row?.token !== 0) break;
      await this.#foldTurns.all();
    }
    return this.#durably(change);
  }

  /** A transaction, and then the disk. */
  async #durably<T>(work: () => T): Promise<T> {
    const result = this.#transaction(work);
    await this.#sync.durable();
    return result;
  }

  /** What a read found is told once it is durable, and so after whoever wrote it was told. */
  async #seen<T>(found: T): Promise<T> {
    await this.#sync.caughtUp();
    return found;
  }

  /** All or nothing. SQLite's own errors come out as problems, with nothing changed. */
  #transaction<T>(work: () => T): T {
    let result: T;
    try {
      this.#begin.run();
      result = work();
      this.#commit.run();
    } catch (error) {
      if (this.#db.isTransaction) this.#rollback.run();
      throw storeProblem(error);
    }
    this.#checkpoints?.committed();
    return result;
  }
}

function isDead(row: HotRow): boolean {
  return row.status === DEAD;
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
