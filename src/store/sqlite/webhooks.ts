import type { WebhookId } from "../../domain/ids.ts";
import type { Page, RouteKey, WebhookFilter } from "../../domain/query.ts";
import { matchCandidates } from "../../domain/routing.ts";
import type { Webhook } from "../../domain/webhook.ts";
import type { BroadcastRoutes, Paged } from "../port.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import { pageOf } from "./keys.ts";

interface WebhookRow {
  readonly id: number;
  readonly user_id: string;
  readonly event_id: string;
  readonly is_active: number;
  readonly version: number;
  readonly deleted_at: number | null;
  readonly sealed: Uint8Array;
  readonly body: string;
}

type Body = Omit<Webhook, "id" | "userId" | "eventId" | "isActive" | "version" | "deletedAt" | "sealed">;

const LIST_EXAMINED_MAX = 2_000;

/** Registrations and their tombstones. */
export class Webhooks {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #get: Statement;
  readonly #find: Statement;
  readonly #list: Statement;
  readonly #listOf: Statement;
  readonly #byEvent: Statement;
  readonly #idsOf: Plucked;
  readonly #routeOf: Statement;
  readonly #idAt: Plucked;

  constructor(db: Db) {
    this.#insert = db.prepare("insert or ignore into webhook values (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#update = db.prepare(
      `update or ignore webhook set user_id = ?, event_id = ?, is_active = ?, version = ?, deleted_at = ?, sealed = ?,
       body = ? where id = ? and version = ?`,
    );
    this.#get = db.prepare("select * from webhook where id = ?");
    this.#find = db.prepare(
      "select * from webhook where user_id = ? and event_id = ? and deleted_at is null",
    );
    this.#list = db.prepare(
      "select * from webhook where deleted_at is null and id < ? order by id desc limit ?",
    );
    this.#listOf = db.prepare(
      "select * from webhook where user_id = ? and deleted_at is null and id < ? order by id desc limit ?",
    );
    this.#routeOf = db.prepare("select user_id, event_id from webhook where id = ?");
    this.#idAt = db.pluck("select id from webhook where user_id = ? and event_id = ? and deleted_at is null");
    this.#idsOf = db.pluck("select id from webhook where user_id = ? limit ?");
    this.#byEvent = db.prepare(
      "select id, user_id from webhook where event_id = ? and user_id > ? and deleted_at is null order by user_id limit ?",
    );
  }

  /** The given webhook, or null where its (user, event) is taken. */
  insert(webhook: Webhook): Webhook | null {
    const changes = this.#insert.run(
      webhook.id,
      webhook.userId,
      webhook.eventId,
      webhook.isActive ? 1 : 0,
      webhook.version,
      webhook.deletedAt,
      webhook.sealed,
      bodyOf(webhook),
    ).changes;
    return changes > 0 ? webhook : null;
  }

  update(webhook: Webhook): boolean {
    const changes = this.#update.run(
      webhook.userId,
      webhook.eventId,
      webhook.isActive ? 1 : 0,
      webhook.version,
      webhook.deletedAt,
      webhook.sealed,
      bodyOf(webhook),
      webhook.id,
      webhook.version - 1,
    ).changes;
    return changes > 0;
  }

  get(id: WebhookId): Webhook | null {
    return webhookOf(this.#get.get(id) as WebhookRow | undefined);
  }

  /** Ids of a user's webhooks, tombstones included, up to `limit`. */
  idsOf(userId: string, limit: number): WebhookId[] {
    return this.#idsOf.all(userId, limit) as WebhookId[];
  }

  /** Whose it is and what it takes, without reading the rest. */
  routeOf(id: number): { readonly user_id: string; readonly event_id: string } | undefined {
    return this.#routeOf.get(id) as { user_id: string; event_id: string } | undefined;
  }

  /** The user whom a delivery of this webhook belongs to, given the user of its event (`*`: a broadcast). */
  userOf(id: number, eventUser: string | null): string {
    return eventUser !== null && eventUser !== "*" ? eventUser : (this.routeOf(id)?.user_id ?? "");
  }

  find(userId: string, eventId: string): Webhook | null {
    return webhookOf(this.#find.get(userId, eventId) as WebhookRow | undefined);
  }

  list(filter: WebhookFilter, page: Page): Paged<Webhook> {
    if (filter.userId !== undefined && filter.eventId !== undefined) {
      const found = this.find(filter.userId, filter.eventId);
      const isShown = found && matches(found, filter) && (page.before === null || found.id < page.before);
      return { items: isShown ? [found] : [], next: null };
    }
    const items: Webhook[] = [];
    let before = page.before ?? Number.MAX_SAFE_INTEGER;
    for (let examined = 0; examined < LIST_EXAMINED_MAX; ) {
      const size = page.limit + 1;
      const rows = (
        filter.userId === undefined
          ? this.#list.all(before, size)
          : this.#listOf.all(filter.userId, before, size)
      ) as WebhookRow[];
      const read = pageOf(rows, page.limit, webhookOf);
      for (const webhook of read.items) {
        if (matches(webhook, filter)) items.push(webhook);
        before = webhook.id;
        if (items.length === page.limit) {
          const isLast = webhook.id === read.items.at(-1)?.id && read.next === null;
          return { items, next: isLast ? null : webhook.id };
        }
      }
      if (read.next === null) return { items, next: null };
      examined += rows.length;
    }
    return { items, next: before };
  }

  /** Most specific first; an event goes to one webhook of its user. */
  route(key: RouteKey): readonly WebhookId[] {
    for (const pattern of matchCandidates(key.eventId)) {
      const id = this.#idAt.get(key.userId, pattern);
      if (typeof id === "number") return [id as WebhookId];
    }
    return [];
  }

  broadcastRoutes(eventId: string, afterUser: string, limit: number): BroadcastRoutes {
    // Each candidate's list is complete up to its own last user; only users up to the smallest of those are decided.
    const chosen = new Map<string, WebhookId>();
    let decidedUpTo: string | null = null;
    for (const pattern of matchCandidates(eventId)) {
      const rows = this.#byEvent.all(pattern, afterUser, limit) as { id: number; user_id: string }[];
      const last = rows.at(-1);
      if (last && rows.length === limit && (decidedUpTo === null || last.user_id < decidedUpTo)) {
        decidedUpTo = last.user_id;
      }
      for (const row of rows) if (!chosen.has(row.user_id)) chosen.set(row.user_id, row.id as WebhookId);
    }
    const bound = decidedUpTo;
    const decided = [...chosen]
      .filter(([userId]) => bound === null || userId <= bound)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([userId, webhookId]) => ({ userId, webhookId }));
    const targets = decided.slice(0, limit);
    return { targets, next: targets.length < decided.length ? (targets.at(-1)?.userId ?? bound) : bound };
  }
}

function bodyOf(webhook: Webhook): string {
  const { id, userId, eventId, isActive, version, deletedAt, sealed, ...body } = webhook;
  return JSON.stringify(body);
}

function webhookOf(row: WebhookRow | undefined): Webhook | null {
  if (!row) return null;
  return {
    ...(JSON.parse(row.body) as Body),
    id: row.id as WebhookId,
    userId: row.user_id,
    eventId: row.event_id,
    isActive: row.is_active === 1,
    version: row.version,
    deletedAt: row.deleted_at,
    sealed: Uint8Array.from(row.sealed),
  };
}

function matches(webhook: Webhook, filter: WebhookFilter): boolean {
  return (
    (filter.eventId === undefined || webhook.eventId === filter.eventId) &&
    (filter.isActive === undefined || webhook.isActive === filter.isActive)
  );
}
