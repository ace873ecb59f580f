import type { Delivery } from "../../domain/delivery.ts";
import type { WebhookId } from "../../domain/ids.ts";
import type { DeadGroup, DeliveryFilter, GroupKey, Page, WebhookFilter } from "../../domain/query.ts";
import { matchCandidates } from "../../domain/routing.ts";
import type { Webhook } from "../../domain/webhook.ts";
import type { BroadcastRoutes, Paged } from "../port.ts";
import type { MemoryDisk } from "./disk.ts";

/** One page of what is listed by number, newest first. */
export function pageNewestFirst<T extends { readonly id: number }>(all: Iterable<T>, page: Page): Paged<T> {
  const before = page.before ?? Number.POSITIVE_INFINITY;
  const left = [...all].filter((item) => item.id < before).sort((a, b) => b.id - a.id);
  const items = left.slice(0, page.limit);
  return { items, next: left.length > items.length ? (items.at(-1)?.id ?? null) : null };
}

export function deliveryMatches(delivery: Delivery, filter: DeliveryFilter): boolean {
  return (
    (filter.userId === undefined || delivery.userId === filter.userId) &&
    (filter.webhookId === undefined || delivery.webhookId === filter.webhookId) &&
    (filter.eventId === undefined || delivery.eventId === filter.eventId) &&
    (filter.statuses === undefined || filter.statuses.includes(delivery.status)) &&
    (filter.reason === undefined || delivery.reason === filter.reason) &&
    (filter.since === undefined || delivery.createdAt >= filter.since) &&
    (filter.until === undefined || delivery.createdAt < filter.until)
  );
}

export function webhookMatches(webhook: Webhook, filter: WebhookFilter): boolean {
  return (
    webhook.deletedAt === null &&
    (filter.userId === undefined || webhook.userId === filter.userId) &&
    (filter.eventId === undefined || webhook.eventId === filter.eventId) &&
    (filter.isActive === undefined || webhook.isActive === filter.isActive)
  );
}

export function groupDead(
  dead: readonly Delivery[],
  by: readonly GroupKey[],
  patternOf: (webhookId: WebhookId) => string | undefined,
): DeadGroup[] {
  const counts = new Map<string, DeadGroup>();
  for (const delivery of dead) {
    const group = {
      ...(by.includes("webhook") ? { webhookId: delivery.webhookId } : {}),
      ...(by.includes("reason") && delivery.reason !== null ? { reason: delivery.reason } : {}),
      ...(by.includes("event") ? { eventId: patternOf(delivery.webhookId) ?? delivery.eventId } : {}),
      ...(by.includes("user") ? { userId: delivery.userId } : {}),
    };
    const name = JSON.stringify(group);
    counts.set(name, { ...group, count: (counts.get(name)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

/** The webhook with the most specific pattern that matches. */
export function routeOf(disk: MemoryDisk, userId: string, eventId: string): WebhookId | null {
  for (const pattern of matchCandidates(eventId)) {
    const webhook = disk.webhookAt(userId, pattern);
    if (webhook) return webhook.id;
  }
  return null;
}

export function broadcastRoutes(
  disk: MemoryDisk,
  eventId: string,
  afterUser: string,
  limit: number,
): BroadcastRoutes {
  const users = new Set([...disk.webhooks.values()].map((webhook) => webhook.userId));
  const routed = [...users]
    .filter((userId) => userId > afterUser)
    .sort()
    .map((userId) => ({ userId, webhookId: routeOf(disk, userId, eventId) }))
    .filter((target) => target.webhookId !== null) as { userId: string; webhookId: WebhookId }[];
  const targets = routed.slice(0, limit);
  return { targets, next: routed.length > targets.length ? (targets.at(-1)?.userId ?? null) : null };
}
