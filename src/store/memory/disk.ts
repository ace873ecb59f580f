import type { Attempt, AttemptError, DeadReason, Delivery, DeliveryStatus } from "../../domain/delivery.ts";
import {
  type DeliveryId,
  type EventSeq,
  type IdSalt,
  type JobId,
  type KeyId,
  timeOfSeq,
  type WebhookId,
} from "../../domain/ids.ts";
import type { Job } from "../../domain/job.ts";
import type { ApiKey } from "../../domain/key.ts";
import type { TraceContext } from "../../domain/trace-context.ts";
import type { Webhook } from "../../domain/webhook.ts";
import { MemoryUids } from "./uids.ts";

export interface EventRecord {
  readonly seq: EventSeq;
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  readonly contentType: string;
  readonly payload: Uint8Array;
  readonly trace: TraceContext | null;
}

/** A delivery as it is stored. Who changes its status does so with `MemoryDisk.put`. */
export interface DeliveryRecord {
  readonly id: DeliveryId;
  readonly event: EventSeq;
  readonly webhookId: WebhookId;
  readonly userId: string;
  readonly status: DeliveryStatus;
  readonly reason: DeadReason | null;
  readonly attemptCount: number;
  readonly roundStart: number;
  readonly dueAt: number | null;
  readonly queuedAt: number;
  readonly completedAt: number | null;
  readonly statusCode: number | null;
  readonly error: AttemptError | null;
  readonly durationMs: number | null;
  /** In order of number. */
  readonly attempts: readonly Attempt[];
}

export interface JobRecord {
  readonly job: Job;
  /** The last delivery looked at, or the last user of an expansion. */
  readonly cursor: { readonly id: number; readonly user: string };
}

/**
 * What the memory adapter has committed. It outlives the store: a simulated crash drops the store, with its leases, and
 * opens a new one on the same disk.
 */
export class MemoryDisk {
  /** Fixed, so that a simulation shows the same ids again. */
  readonly salt: IdSalt = { a: 0x5eed_0001, b: 0x5eed_0002 };
  lastSeq = 0;
  /** How often it was opened: a store of before a crash must not write any more. */
  openings = 0;
  readonly events = new Map<EventSeq, EventRecord>();
  readonly deliveries = new Map<DeliveryId, DeliveryRecord>();
  /** The same records of open deliveries, by lane. */
  readonly lanes = new Map<WebhookId, Map<DeliveryId, DeliveryRecord>>();
  readonly laneStates = new Map<WebhookId, string>();
  readonly webhooks = new Map<WebhookId, Webhook>();
  readonly keys = new Map<KeyId, ApiKey>();
  readonly jobs = new Map<JobId, JobRecord>();
  readonly settings = new Map<string, string>();
  readonly uids = new MemoryUids();

  put(record: DeliveryRecord): void {
    this.deliveries.set(record.id, record);
    const lane = this.lanes.get(record.webhookId) ?? new Map<DeliveryId, DeliveryRecord>();
    if (isOpen(record)) lane.set(record.id, record);
    else lane.delete(record.id);
    if (lane.size > 0) this.lanes.set(record.webhookId, lane);
    else this.lanes.delete(record.webhookId);
    this.lastSeq = Math.max(this.lastSeq, record.id);
  }

  /** Deletes an ended delivery; the event goes with the last one. */
  remove(record: DeliveryRecord): void {
    this.deliveries.delete(record.id);
    this.removeBarren(record.event);
  }

  /** Deletes an event if there is no delivery of it, and none to come. */
  removeBarren(event: EventSeq): void {
    const isExpanding = [...this.jobs.values()].some(
      ({ job }) => job.status === "running" && job.spec.kind === "expand" && job.spec.event === event,
    );
    if (!isExpanding && this.deliveriesOf(event).length === 0) this.events.delete(event);
  }

  /** In order of id. */
  deliveriesOf(event: EventSeq): DeliveryRecord[] {
    return [...this.deliveries.values()].filter((one) => one.event === event).sort((a, b) => a.id - b.id);
  }

  /** The webhook of that user and pattern that is not deleted. */
  webhookAt(userId: string, eventId: string): Webhook | null {
    for (const webhook of this.webhooks.values()) {
      if (webhook.userId === userId && webhook.eventId === eventId && webhook.deletedAt === null)
        return webhook;
    }
    return null;
  }
}

export function isOpen(record: DeliveryRecord): boolean {
  return record.status === "pending" || record.status === "retrying";
}

/** A delivery that is due at once. */
export function freshDelivery(
  id: DeliveryId,
  event: EventSeq,
  target: { readonly webhookId: WebhookId; readonly userId: string; readonly reason: DeadReason | null },
  now: number,
): DeliveryRecord {
  const queuedAt = Math.min(timeOfSeq(id), now);
  const isDead = target.reason !== null;
  return {
    id,
    event,
    webhookId: target.webhookId,
    userId: target.userId,
    status: isDead ? "dead" : "pending",
    reason: target.reason,
    attemptCount: 0,
    roundStart: 0,
    dueAt: isDead ? null : queuedAt,
    queuedAt,
    completedAt: isDead ? now : null,
    statusCode: null,
    error: null,
    durationMs: null,
    attempts: [],
  };
}

export function deliveryOf(record: DeliveryRecord, event: EventRecord, isLeased: boolean): Delivery {
  const { attempts, ...shown } = record;
  return {
    ...shown,
    eventUid: event.uid,
    eventId: event.eventId,
    isLeased,
    createdAt: timeOfSeq(record.id),
  };
}
