import type { DeadReason, DeliveryStatus } from "./delivery.ts";
import type { DeliveryId, EventSeq, JobId, WebhookId } from "./ids.ts";

/**
 * Bulk work, done in slices between commits; a slice's changes and its cursor commit together, so a job goes on after
 * a crash where it stopped.
 *
 *   running --all done--> done
 *      +------cancel----> cancelled
 */
export type JobStatus = "running" | "done" | "cancelled";

export type JobSpec =
  /** dead (or, with `statuses`, also delivered) -> pending. */
  | {
      readonly kind: "replay";
      readonly userId: string | null;
      readonly select: Selection;
      readonly ratePerSecond: number | null;
    }
  /** Dead deliveries are deleted. */
  | { readonly kind: "purge"; readonly userId: string | null; readonly select: Selection }
  /** Open deliveries of a webhook that is off or deleted end as dead/disabled. */
  | { readonly kind: "end"; readonly userId: string | null; readonly webhookId: WebhookId }
  /** A broadcast's deliveries are made. */
  | { readonly kind: "expand"; readonly userId: null; readonly event: EventSeq; readonly eventId: string };

/** Which deliveries: those named, or all that match and existed when the job was made. `userId` null: any user. */
export interface Selection {
  readonly ids?: readonly DeliveryId[];
  readonly webhookId?: WebhookId;
  readonly eventId?: string;
  readonly reason?: DeadReason;
  readonly since?: number;
  readonly until?: number;
  /** Default: dead. */
  readonly statuses?: readonly DeliveryStatus[];
}

export interface Job {
  readonly id: JobId;
  readonly spec: JobSpec;
  readonly status: JobStatus;
  /** Known at the start for jobs over a selection; null for an expansion until it ends. */
  readonly total: number | null;
  readonly done: number;
  readonly createdAt: number;
  readonly completedAt: number | null;
}
