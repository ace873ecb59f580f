import type { DeadReason, DeliveryStatus } from "./delivery.ts";
import type { WebhookId } from "./ids.ts";

/** Filters, pages and groups of list calls: what the API asks and the store answers. */
export interface RouteKey {
  readonly userId: string;
  readonly eventId: string;
}

export interface WebhookFilter {
  readonly userId?: string;
  readonly eventId?: string;
  readonly isActive?: boolean;
}

/** `before`: the key that the last page ended with, or null for the first one. */
export interface Page {
  readonly limit: number;
  readonly before: number | null;
}

export interface DeliveryFilter {
  readonly userId?: string;
  readonly webhookId?: WebhookId;
  readonly eventId?: string;
  readonly statuses?: readonly DeliveryStatus[];
  readonly reason?: DeadReason;
  /** Wall clock bounds on the time of creation: since <= created < until. */
  readonly since?: number;
  readonly until?: number;
}

export type GroupKey = "webhook" | "reason" | "event" | "user";

export interface DeadGroup {
  readonly webhookId?: WebhookId;
  readonly reason?: DeadReason;
  readonly eventId?: string;
  readonly userId?: string;
  readonly count: number;
}
