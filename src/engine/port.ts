import type { DedupeKey } from "../domain/dedupe.ts";
import type { Attempt, DeadReason, Delivery, DeliveryStatus } from "../domain/delivery.ts";
import type { DeliveryId, EventSeq, IdSalt, JobId, KeyId, WebhookId } from "../domain/ids.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import type { Problem } from "../domain/problem.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page, RouteKey, WebhookFilter } from "../domain/query.ts";
import type { Refusal } from "../domain/refusal.ts";
import type { Pause } from "../domain/setting.ts";
import type { TraceContext } from "../domain/trace-context.ts";
import type { Webhook } from "../domain/webhook.ts";

/**
 * What the API asks of the director. Every value is plain (it crosses threads); operating errors are `Problem`s.
 * Calls resolve when what they changed is durable.
 */
export interface Engine {
  /** The installation's id salt, known once the store is open. */
  readonly salt: IdSalt;

  /**
   * Appends one event with its deliveries, in the next group commit. Events handed over within a moment (threads/messages.ts)
   * share a commit, mostly. Rejects with uid_conflict, lane_full, user_full, queue_full, overloaded, disk_full,
   * store_unavailable or shutting_down: then nothing of the event was stored.
   */
  publish(event: PublishRequest): Promise<PublishResult>;
  /** The same for the hot path: `done` hears what became of the event, and nothing else of it is kept meanwhile. */
  submit(event: PublishRequest, done: (outcome: PublishOutcome) => void): void;
  /** Many at once, each with an outcome of its own, in order. */
  publishMany(events: readonly PublishRequest[]): Promise<readonly PublishOutcome[]>;
  /** The same, for every user's webhook that matches; beyond `limits.fanout_max` webhooks by a job. */
  broadcast(event: Omit<PublishRequest, "userId" | "targets">): Promise<PublishResult>;

  /** For each (user, event): the webhooks that the event goes to, most specific match only, from the store. */
  routes(keys: readonly RouteKey[]): Promise<readonly (readonly WebhookId[])[]>;

  /** Creates; rejects with webhook_exists (details.webhook_id: WebhookId as number). */
  createWebhook(fields: WebhookFields): Promise<Webhook>;
  /** Creates, or replaces the one of the same (user, event). */
  putWebhook(fields: WebhookFields): Promise<{ webhook: Webhook; created: boolean }>;
  /** Changes the given fields. Rejects with not_found, webhook_exists. Switching off starts a job that ends what is open. */
  updateWebhook(id: WebhookId, changes: WebhookChanges): Promise<Webhook>;
  /** Leaves a tombstone and starts a job that ends its open deliveries. */
  deleteWebhook(id: WebhookId): Promise<void>;
  /** Tombstones too (deletedAt is set). */
  getWebhooks(ids: readonly WebhookId[]): Promise<readonly (Webhook | null)[]>;
  /** Newest first, without tombstones. */
  listWebhooks(
    filter: WebhookFilter,
    page: Page,
  ): Promise<{ items: readonly Webhook[]; next: number | null }>;
  /** Sends one sample at once, outside of lanes and log. Rejects with `paused` while hookd as a whole is. */
  testWebhook(id: WebhookId): Promise<Attempt>;
  /** What the lanes know, and what the last 5 minutes were like. */
  live(ids: readonly WebhookId[]): Promise<readonly LaneLive[]>;

  /** Newest first. Examines at most 2,000 rows: a page may be short and still have a `next`. */
  listDeliveries(
    filter: DeliveryFilter,
    page: Page,
  ): Promise<{ items: readonly Delivery[]; next: number | null }>;
  getDelivery(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null>;
  getEvent(userId: string, uid: string): Promise<EventView | null>;
  /** Pending or retrying: due now; leased: unchanged; dead: replayed. Rejects with already_delivered, not_found. */
  retryDelivery(id: DeliveryId): Promise<Delivery>;
  /** Ends it as cancelled; while leased a success in flight still wins. Rejects with not_open, not_found. */
  cancelDelivery(id: DeliveryId): Promise<Delivery>;
  /** Dead deliveries, counted without reading them. */
  deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]>;

  /** How many deliveries a job would cover; exact up to 100,000, then at least that. */
  countJob(spec: JobSpec): Promise<{ count: number; isExact: boolean }>;
  createJob(spec: JobSpec): Promise<Job>;
  getJob(id: JobId): Promise<Job | null>;
  listJobs(userId: string | null, page: Page): Promise<{ items: readonly Job[]; next: number | null }>;
  /** Rejects with not_retryable where it has ended. */
  cancelJob(id: JobId): Promise<Job>;

  createKey(key: Omit<ApiKey, "id" | "createdAt">): Promise<ApiKey>;
  findKey(hash: Uint8Array): Promise<ApiKey | null>;
  getKey(id: KeyId): Promise<ApiKey | null>;
  listKeys(userId: string | null, page: Page): Promise<{ items: readonly ApiKey[]; next: number | null }>;
  deleteKey(id: KeyId): Promise<boolean>;

  /**
   * Begins a copy of the database in `backup.dir`, under this name or one that tells the time. Rejects with
   * backup_running, backup_exists, disk_full, store_unavailable.
   */
  createBackup(name: string | null): Promise<Backup>;
  /** Newest first. */
  listBackups(): Promise<readonly Backup[]>;
  getBackup(name: string): Promise<Backup | null>;
  /** One that is being made is given up. Rejects with not_found. */
  deleteBackup(name: string): Promise<void>;

  /** From now on nothing is sent, also after a restart; events are taken. What it was paused for, where it was already. */
  pause(): Promise<Pause>;
  resume(): Promise<void>;
  /** Null: deliveries go out. */
  getPause(): Promise<Pause | null>;

  /** Counters and gauges by the names of observe/metric-names.ts. */
  stats(): Promise<EngineStats>;
  /** Attempts as they settle, some 20 times a second, until the returned function is called. */
  watch(filter: WatchFilter, tell: (watched: Watched) => void): () => void;
  /** A webhook was changed by the engine itself (a 410, nothing but failure): caches drop it. */
  onWebhookChanged(listener: (userId: string) => void): void;
  /** Null while events are taken; otherwise why not. */
  readonly refusal: Refusal | null;
  /** As many events wait for their commit as may: what is published now is refused with `overloaded`. */
  readonly isFull: boolean;
}

/** A copy of the database, as a file where hookd runs. */
export interface Backup {
  readonly name: string;
  readonly path: string;
  readonly state: "running" | "done" | "failed";
  /** So far. */
  readonly bytes: number;
  /** 0 to 1. */
  readonly progress: number;
  readonly createdAt: number;
  readonly completedAt: number | null;
  /** Why it failed. */
  readonly error: string | null;
}

export interface PublishRequest {
  readonly userId: string;
  readonly eventId: string;
  /** Null: hookd names the event itself. */
  readonly uid: string | null;
  readonly contentType: string;
  readonly payload: Uint8Array;
  /** The webhooks that routing gave; at least one. */
  readonly targets: readonly WebhookId[];
  /** The span of its acceptance, kept with the event for those of its attempts. Null: not traced. */
  readonly trace: TraceContext | null;
  /** What is remembered of the uid, where it was worked out on the way here; otherwise the engine works it out. */
  readonly dedupe?: DedupeKey | null;
}

export interface PublishResult {
  readonly event: EventSeq;
  readonly isDuplicate: boolean;
  readonly deliveryCount: number;
  /** The first 100. */
  readonly deliveries: readonly { readonly id: DeliveryId; readonly webhookId: WebhookId }[];
  readonly fanOut: JobId | null;
}

/** A problem: nothing of the event was stored. */
export type PublishOutcome = PublishResult | Problem;

export type WebhookFields = Omit<
  Webhook,
  "id" | "createdAt" | "updatedAt" | "version" | "deletedAt" | "isPaused" | "disabledReason"
>;

export type WebhookChanges = Partial<Omit<WebhookFields, "userId">> & {
  readonly isPaused?: boolean;
  /** Also start a job that replays what ended as disabled. */
  readonly replayDisabled?: boolean;
  /** The receiver works again: what is held against it is forgotten. */
  readonly isMended?: boolean;
};

export interface EventView {
  readonly event: EventSeq;
  readonly uid: string | null;
  readonly userId: string;
  readonly eventId: string;
  readonly contentType: string;
  readonly payload: Uint8Array;
  readonly createdAt: number;
  readonly deliveryCount: number;
  /** The first 100. */
  readonly deliveries: readonly Delivery[];
}

export interface LaneLive {
  readonly breaker: "closed" | "open";
  readonly inFlight: number;
  readonly backlog: number;
  readonly oldestDueAt: number | null;
  /** Null: there is no lane, since the webhook has had nothing to do for a while. */
  readonly concurrency: number | null;
  readonly parkedUntil: number | null;
  /** Of the last 5 minutes; null without attempts. */
  readonly successRate: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly lastError: { readonly at: number; readonly error: string } | null;
}

/** Which attempts someone watches. Null: any. */
export interface WatchFilter {
  readonly userId: string | null;
  readonly webhookId: WebhookId | null;
  readonly eventId: string | null;
  readonly statuses: readonly DeliveryStatus[] | null;
  /** Where there are more, this many of them drawn at random; null: all. */
  readonly rowsPerSecond: number | null;
}

export interface Watched {
  /** In the order in which they settled. */
  readonly attempts: readonly SettledAttempt[];
  /** All that the filter has let through since the last time; those that are not among `attempts` too. */
  readonly counts: WatchCounts;
}

export interface WatchCounts {
  readonly attempts: number;
  /** Of the deliveries after the attempt. */
  readonly success: number;
  readonly retrying: number;
  readonly dead: number;
}

/** One settled attempt, as the stream shows it. */
export interface SettledAttempt {
  readonly deliveryId: DeliveryId;
  readonly webhookId: WebhookId;
  readonly userId: string;
  readonly eventId: string;
  readonly eventUid: string;
  readonly attempt: Attempt;
  readonly status: DeliveryStatus;
  readonly reason: DeadReason | null;
  readonly nextRetryAt: number | null;
}

/** Flat: metric name (with labels, Prometheus style) to value; histograms by bucket. */
export interface EngineStats {
  readonly counters: Readonly<Record<string, number>>;
  readonly gauges: Readonly<Record<string, number>>;
  readonly histograms: Readonly<Record<string, HistogramSnapshot>>;
}

export interface HistogramSnapshot {
  /** Upper bounds, ascending, in the unit that the metric's name ends with. */
  readonly bounds: readonly number[];
  /** One more than bounds: the last is what lies above. Not cumulative. */
  readonly counts: readonly number[];
  readonly sum: number;
}
