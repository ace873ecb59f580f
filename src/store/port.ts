import type { DedupeKey } from "../domain/dedupe.ts";
import type { Attempt, DeadReason, Delivery, DeliveryStatus, EndedDelivery } from "../domain/delivery.ts";
import type { DeliveryId, EventSeq, IdSalt, JobId, KeyId, WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page, RouteKey, WebhookFilter } from "../domain/query.ts";
import type { TraceContext } from "../domain/trace-context.ts";
import type { Webhook } from "../domain/webhook.ts";

/**
 * Where events, deliveries and the small tables live. Few methods, each over a batch, named in queue words. All of
 * them are atomic; a promise resolves when what it changed survives power loss, and rejects with a `Problem`
 * (disk_full, store_unavailable) when nothing of it was done. One caller at a time owns the lanes (the director);
 * calls may overlap, and take effect in the order in which they were made.
 */
export interface Store {
  /** Opens, migrates and recovers. Every lease of an earlier process is free again. */
  open(): Promise<Recovery>;
  /** Makes durable what still waits, and closes. */
  close(): Promise<void>;

  /** The group commit: new events, outcomes of attempts and changed lane states, all or nothing. */
  commit(batch: CommitBatch): Promise<Committed>;
  /** Leases due deliveries, per lane the oldest due first. */
  lease(wants: readonly LeaseWant[]): Promise<readonly LeaseGrant[]>;
  /** Gives leases back as if they had not been: no attempt was made. Unknown tokens are ignored. */
  release(leases: readonly { readonly id: DeliveryId; readonly token: number }[]): Promise<void>;
  /** Work that waits for a quiet moment, one bounded slice of it. True when more waits. */
  maintain(): Promise<boolean>;

  /**
   * Ends as expired what was queued before `queuedBefore`, of the `limit` oldest due deliveries that are not leased in
   * each of the lane's two queues. (A later due one was queued later, or will be among them soon.)
   */
  expire(webhookId: WebhookId, queuedBefore: number, limit: number, now: number): Promise<LaneChange>;
  /**
   * Deletes what ended before the bounds, one slice: deliveries, tombstones that no delivery needs (as old as a success
   * may be) and ended jobs (as old as a dead delivery may be). How many deliveries, and whether more waits.
   * `keep` is given every delivery before it is deleted; nothing is deleted until it resolves, nor what has changed
   * meanwhile, and its rejection is passed on. After a crash or a rejection it is given the same ones again. A
   * deletion may itself be lost with power, and is done again.
   */
  prune(bounds: PruneBounds, limit: number, keep?: Keep): Promise<Pruned>;

  /** Starts a new round of a dead delivery. Null: it is not dead. */
  revive(id: DeliveryId, now: number): Promise<LaneChange | null>;
  /** Makes an open delivery due. Null: it is not open, or leased. */
  makeDue(id: DeliveryId, now: number): Promise<LaneChange | null>;
  /** Ends an open delivery. Null: it is not open, or leased. */
  kill(id: DeliveryId, reason: DeadReason, now: number): Promise<LaneChange | null>;

  listDeliveries(filter: DeliveryFilter, page: Page): Promise<Paged<Delivery>>;
  getDelivery(id: DeliveryId): Promise<{ delivery: Delivery; attempts: readonly Attempt[] } | null>;
  /** By the publisher's uid as long as it is remembered. */
  findEvent(key: DedupeKey): Promise<EventSeq | null>;
  getEvent(event: EventSeq, deliveriesMax: number): Promise<StoredEvent | null>;
  /**
   * From kept counts; examines no delivery unless the filter has times or an event id. The event of a group is what its
   * webhook is registered for, which may be a pattern.
   */
  deadGroups(filter: DeliveryFilter, by: readonly GroupKey[]): Promise<readonly DeadGroup[]>;

  insertWebhook(webhook: Webhook): Promise<Webhook | null>;
  /** Replaces the webhook if the stored version is older by one. False: it is not there, or of another version. */
  updateWebhook(webhook: Webhook): Promise<boolean>;
  findWebhook(userId: string, eventId: string): Promise<Webhook | null>;
  getWebhooks(ids: readonly WebhookId[]): Promise<readonly (Webhook | null)[]>;
  listWebhooks(filter: WebhookFilter, page: Page): Promise<Paged<Webhook>>;
  /** For each key the webhook with the most specific matching pattern, if any. */
  routes(keys: readonly RouteKey[]): Promise<readonly (readonly WebhookId[])[]>;
  /** The same for every user, in order of user id, beginning after `afterUser`. */
  broadcastRoutes(eventId: string, afterUser: string, limit: number): Promise<BroadcastRoutes>;

  insertKey(key: ApiKey): Promise<void>;
  findKey(hash: Uint8Array): Promise<ApiKey | null>;
  getKey(id: KeyId): Promise<ApiKey | null>;
  listKeys(userId: string | null, page: Page): Promise<Paged<ApiKey>>;
  deleteKey(id: KeyId): Promise<boolean>;

  /** The job as it is stored; its deliveries are those that exist now. */
  insertJob(job: Job): Promise<void>;
  getJob(id: JobId): Promise<Job | null>;
  listJobs(userId: string | null, page: Page): Promise<Paged<Job>>;
  /** Deliveries that the job would cover, counted up to `limit`; `limit` where `looksMax` looks at the log do not tell. */
  countSelection(job: Job, limit: number, looksMax?: number): Promise<number>;
  /** One slice of a running job; its changes and its progress commit together. */
  stepJob(id: JobId, limit: number, context: StepContext): Promise<JobStep>;
  cancelJob(id: JobId, now: number): Promise<boolean>;

  /** Forgets uids that were given before `before`, in whole generations, one slice. True when more waits. */
  forgetUids(before: number): Promise<boolean>;
  /** A small value by name; those that several rooms know are in domain/setting.ts. */
  putSetting(name: string, value: string): Promise<void>;
  getSetting(name: string): Promise<string | null>;
  stats(): StoreStats;
  /** Room in the file that deleting left: it is written over before the file grows. */
  reusableBytes(): number;
  /**
   * Copies everything into a new file, while all else goes on. The copy is as of one moment, when it begins: what was
   * acknowledged before the call is in it. Until it is done, what is stored takes room twice (`walBytes`). The file has its
   * name when it is whole and durable; a copy that fails, or is aborted (it rejects with the signal's reason), leaves nothing.
   */
  backup(path: string, options: BackupOptions): Promise<void>;
}

export interface BackupOptions {
  readonly signal: AbortSignal;
  /** After each step. */
  readonly onProgress: (progress: BackupProgress) => void;
}

export interface BackupProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface Recovery {
  readonly salt: IdSalt;
  /** Every id in the store is at most this. */
  readonly lastSeq: number;
  /** Lanes that have open deliveries, or a stored state. */
  readonly lanes: readonly RecoveredLane[];
  readonly runningJobs: readonly Job[];
}

export interface RecoveredLane {
  readonly webhookId: WebhookId;
  readonly pending: number;
  readonly retrying: number;
  readonly pendingDueAt: number | null;
  readonly retryingDueAt: number | null;
  /** As last written by `commit`; null when there is none. */
  readonly state: string | null;
}

export interface CommitBatch {
  readonly now: number;
  readonly appends: readonly NewEvent[];
  readonly settlements: readonly Settlement[];
  readonly laneStates: readonly { readonly webhookId: WebhookId; readonly state: string | null }[];
}

export interface NewEvent {
  readonly seq: EventSeq;
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  /** Null: nothing to remember (hookd named the event). */
  readonly dedupe: DedupeKey | null;
  readonly contentType: string;
  readonly payload: Uint8Array;
  /** One target: its delivery has the event's number. More, or a later expansion: the event has a row of its own. */
  readonly targets: readonly NewDelivery[];
  /** The job that will make the deliveries, for a broadcast that is expanded; it commits with the event. */
  readonly expansion: Job | null;
  /** Stored with the event, for as long as it is. */
  readonly trace: TraceContext | null;
}

export interface NewDelivery {
  readonly id: DeliveryId;
  readonly webhookId: WebhookId;
  /** The webhook's user; for a broadcast not the event's, which is `*`. */
  readonly userId: string;
  /** Appended leased, with this token; 0: appended due. */
  readonly token: number;
  /** Appended dead; null otherwise. */
  readonly reason: DeadReason | null;
}

/** The outcome of an attempt, or an end without one, as absolute values: applying it twice changes nothing. */
export interface Settlement {
  readonly id: DeliveryId;
  readonly webhookId: WebhookId;
  /** The lease's; with another one the settlement is stale and not applied. */
  readonly token: number;
  readonly status: DeliveryStatus;
  readonly reason: DeadReason | null;
  /** Next attempt, for an open status. */
  readonly dueAt: number | null;
  readonly attemptCount: number;
  readonly attempt: Attempt | null;
  readonly settledAt: number;
}

export interface Committed {
  /** One for each append, in order. */
  readonly appended: readonly Appended[];
  /** Indexes of settlements that were not applied, since their lease was another's. */
  readonly stale: readonly number[];
}

export type Appended =
  | { readonly kind: "accepted" }
  /** The uid was used for the same content: `seq` and `deliveries` are the first one's. Nothing was stored. */
  | {
      readonly kind: "duplicate";
      readonly seq: EventSeq;
      readonly deliveryCount: number;
      readonly deliveries: readonly DeliveryRef[];
    }
  /** The uid was used for other content. Nothing was stored. */
  | { readonly kind: "conflict" };

export interface DeliveryRef {
  readonly id: DeliveryId;
  readonly webhookId: WebhookId;
}

/** `status` names one of the lane's two queues: those never tried in this round, and those tried. */
export interface LeaseWant {
  readonly webhookId: WebhookId;
  readonly status: "pending" | "retrying";
  readonly limit: number;
  readonly dueBy: number;
  /** Tokens are handed out from this one upwards. */
  readonly firstToken: number;
}

export interface LeaseGrant {
  readonly leased: readonly Leased[];
  /** When the queue's next delivery that is not leased is due; null when there is none. */
  readonly nextDueAt: number | null;
}

export interface Leased {
  readonly id: DeliveryId;
  readonly token: number;
  readonly webhookId: WebhookId;
  readonly event: EventSeq;
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  readonly contentType: string;
  readonly payload: Uint8Array;
  readonly attemptCount: number;
  readonly roundStart: number;
  readonly queuedAt: number;
  /** The event's. */
  readonly trace: TraceContext | null;
}

/** How one lane's queues changed. */
export interface LaneChange {
  readonly webhookId: WebhookId;
  readonly pending: number;
  readonly retrying: number;
  /** Earliest due time among what was added; null when nothing was. */
  readonly dueAt: number | null;
  /** How many deliveries ended as dead. */
  readonly died: number;
}

/** Cold storage: resolves when what it was given is durable there. */
export type Keep = (ended: readonly EndedDelivery[]) => Promise<void>;

export interface Pruned {
  readonly deleted: number;
  readonly hasMore: boolean;
}

export interface PruneBounds {
  /** Successes that ended before this are deleted. */
  readonly successBefore: number;
  readonly deadBefore: number;
}

export interface Paged<T> {
  readonly items: readonly T[];
  /** The key to go on after; null at the end. */
  readonly next: number | null;
}

export interface StoredEvent {
  readonly seq: EventSeq;
  readonly uid: string | null;
  readonly userId: string;
  readonly eventId: string;
  readonly contentType: string;
  readonly payload: Uint8Array;
  readonly deliveryCount: number;
  readonly deliveries: readonly Delivery[];
}

export interface BroadcastRoutes {
  readonly targets: readonly { readonly userId: string; readonly webhookId: WebhookId }[];
  /** The last user looked at; null when every user was. */
  readonly next: string | null;
}

export interface StepContext {
  readonly now: number;
  /** Sequence numbers for what an expansion makes. */
  readonly nextSeq: () => number;
  /** Expansion: why a delivery to this webhook is dead at once, or null. */
  readonly refusal: (webhookId: WebhookId) => DeadReason | null;
}

export interface JobStep {
  readonly job: Job;
  readonly changes: readonly LaneChange[];
}

export interface StoreStats {
  readonly bytes: number;
  readonly walBytes: number;
  /** Deliveries whose state is not yet in the indexes. */
  readonly unfolded: number;
  readonly dead: number;
}
