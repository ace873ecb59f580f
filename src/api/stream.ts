import type { ServerResponse } from "node:http";
import { Problem } from "../domain/problem.ts";
import type { Engine, WatchCounts, Watched, WatchFilter } from "../engine/port.ts";
import { keyOf, seenWebhook, userForRead } from "./access.ts";
import type { Authenticator } from "./auth.ts";
import type { Api, ApiContext } from "./context.ts";
import type { ApiCounters } from "./counters.ts";
import { statusesOf } from "./fields.ts";
import type { Renderer } from "./render.ts";
import * as schemas from "./schemas.ts";

/**
 * Attempts as they settle, as server-sent events. Nothing waits for a client: what does not fit its buffer is dropped
 * and counted, and the count is sent when there is room again. Counts are of all that its filter lets through, each second
 * that has any.
 *
 *   event: attempt    data: {"delivery_id": ...}
 *   event: skipped    data: {"count": 12}
 *   event: counts     data: {"attempts": 13, "success": 12, "retrying": 1, "dead": 0}
 */
const CLIENTS_MAX = 100;
/** Of those, clients with users' keys: an operator who looks finds a place. And one user's: the others find one. */
const USERS_CLIENTS_MAX = 80;
const USER_CLIENTS_MAX = 20;
/** Bytes that may wait for one client: some 500 attempts. */
const BUFFER_MAX = 256 * 1_024;
/** Without `rows_per_second`: more than anybody reads, and a hundred clients cannot keep the thread from taking events. */
const ROWS_PER_SECOND = 1_000;
const TICK_MS = 1_000;
/** Ticks between comments that keep proxies from closing a quiet stream. */
const HEARTBEAT_TICKS = 15;
/** Ticks that a client may leave its buffer full before it is cut off. */
const STALLED_TICKS_MAX = 60;

export interface StreamHub {
  /** `userId`: whose key it is; null: an admin's. Throws Problem `overloaded`. */
  add(client: {
    response: ServerResponse;
    authorization: string;
    userId: string | null;
    filter: WatchFilter;
  }): void;
  /** Each second: ends streams whose key was revoked, sends heartbeats. */
  tick(): void;
  /** Ends all streams. */
  close(): void;
}

interface Client {
  readonly response: ServerResponse;
  readonly authorization: string;
  readonly userId: string | null;
  readonly watch: Watch;
  skipped: number;
  /** Since the last tick; null: none. */
  counts: WatchCounts | null;
  ticks: number;
  stalledTicks: number;
}

/** Clients with the same filter: what they see is the same, and rendered once. */
interface Watch {
  readonly key: string;
  readonly clients: Set<Client>;
  end: () => void;
}

export function createStreamHub(
  engine: Pick<Engine, "watch">,
  auth: Authenticator,
  render: Renderer,
  counters: ApiCounters,
): StreamHub {
  const clients = new Set<Client>();
  const watches = new Map<string, Watch>();
  let timer: NodeJS.Timeout | null = null;

  function watchOf(filter: WatchFilter): Watch {
    const key = JSON.stringify(filter);
    let watch = watches.get(key);
    if (watch === undefined) {
      const made: Watch = { key, clients: new Set(), end: () => {} };
      watches.set(key, made);
      made.end = engine.watch(filter, (watched) => show(made, watched));
      watch = made;
    }
    return watch;
  }

  function show(watch: Watch, { attempts, counts }: Watched): void {
    const rows = attempts.map(
      (attempt) => `event: attempt\ndata: ${JSON.stringify(render.settled(attempt))}\n\n`,
    );
    // Made once: a text would be turned into bytes again for each client.
    const bytes = Buffer.from(rows.join(""));
    for (const client of watch.clients) {
      client.counts = sumOf(client.counts, counts);
      client.skipped += counts.attempts - attempts.length;
      if (isFull(client)) {
        client.skipped += attempts.length;
        counters.streamSkipped += attempts.length;
        continue;
      }
      tellSkipped(client);
      client.response.write(bytes);
    }
  }

  function tellSkipped(client: Client): void {
    if (client.skipped === 0) return;
    client.response.write(`event: skipped\ndata: {"count":${client.skipped}}\n\n`);
    client.skipped = 0;
  }

  function tellCounts(client: Client): void {
    if (client.counts === null) return;
    client.response.write(`event: counts\ndata: ${JSON.stringify(client.counts)}\n\n`);
    client.counts = null;
  }

  function checkRoom(userId: string | null): void {
    refuseFrom(clients.size, CLIENTS_MAX, "");
    if (userId === null) return;
    const ofUsers = [...clients].filter((client) => client.userId !== null);
    refuseFrom(ofUsers.length, USERS_CLIENTS_MAX, " with users' keys");
    refuseFrom(
      ofUsers.filter((client) => client.userId === userId).length,
      USER_CLIENTS_MAX,
      ` of ${userId}`,
    );
  }

  function remove(client: Client): void {
    if (!clients.delete(client)) return;
    const { watch } = client;
    watch.clients.delete(client);
    if (watch.clients.size === 0) {
      watch.end();
      watches.delete(watch.key);
    }
    counters.streamClients = clients.size;
    if (clients.size > 0) return;
    if (timer !== null) clearInterval(timer);
    timer = null;
  }

  function tick(): void {
    for (const client of clients) {
      checkKey(client);
      client.ticks += 1;
      client.stalledTicks = isFull(client) ? client.stalledTicks + 1 : 0;
      if (client.stalledTicks > STALLED_TICKS_MAX) client.response.destroy();
      else if (!isFull(client)) {
        tellSkipped(client);
        tellCounts(client);
        if (client.ticks % HEARTBEAT_TICKS === 0) client.response.write(": \n\n");
      }
    }
  }

  /** A store that does not answer ends no stream; a key that is gone does. */
  function checkKey(client: Client): void {
    auth.isStillGood(client.authorization).then(
      (isGood) => {
        if (isGood) return;
        // Its response may end much later, or never: who waits for others on its connection must not be written to.
        remove(client);
        client.response.end();
      },
      () => undefined,
    );
  }

  return {
    add({ response, authorization, userId, filter }) {
      checkRoom(userId);
      const client: Client = {
        response,
        authorization,
        userId,
        watch: watchOf(filter),
        skipped: 0,
        counts: null,
        ticks: 0,
        stalledTicks: 0,
      };
      clients.add(client);
      client.watch.clients.add(client);
      counters.streamClients = clients.size;
      response.once("close", () => remove(client));
      // Nobody else hears of it, and unheard it would end the process. What is wrong with a response closes it.
      response.on("error", () => {});
      timer ??= setInterval(tick, TICK_MS).unref();
    },
    tick,
    close() {
      for (const client of [...clients]) {
        client.response.end();
        remove(client);
      }
    },
  };
}

function sumOf(before: WatchCounts | null, more: WatchCounts): WatchCounts {
  if (before === null) return more;
  return {
    attempts: before.attempts + more.attempts,
    success: before.success + more.success,
    retrying: before.retrying + more.retrying,
    dead: before.dead + more.dead,
  };
}

function refuseFrom(open: number, most: number, whose: string): void {
  if (open < most) return;
  throw new Problem("overloaded", `${most} streams${whose} are open, which is the most; close one`);
}

function isFull(client: Client): boolean {
  return client.response.writableLength > BUFFER_MAX;
}

export function streamRoutes(api: Api, context: ApiContext): void {
  api.route({
    method: "GET",
    url: "/stream",
    exposeHeadRoute: false,
    config: {
      operationId: "streamAttempts",
      summary: "Attempts as they settle, as server-sent events",
      tag: "deliveries",
      scope: "read",
      problems: ["not_found", "overloaded"],
      answerType: "text/event-stream",
    },
    schema: { querystring: schemas.StreamQuery, response: { 200: schemas.EventStream } },
    async handler(request, reply) {
      const { query } = request;
      const key = keyOf(request);
      const userId = userForRead(key, query.user_id);
      const webhook =
        query.webhook_id === undefined
          ? null
          : await seenWebhook(context, key, query.webhook_id, { withDeleted: true });
      const statuses = query.status === undefined ? null : statusesOf(query.status);
      const response = reply.raw;
      // Gone while its key and webhook were looked up: its close has been, and would never free its place.
      if (response.destroyed) return reply.hijack();
      context.stream.add({
        response,
        authorization: request.headers.authorization ?? "",
        userId: key.userId,
        filter: {
          userId: userId ?? null,
          webhookId: webhook?.id ?? null,
          eventId: query.event_id ?? null,
          statuses,
          rowsPerSecond: query.rows_per_second ?? ROWS_PER_SECOND,
        },
      });
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) response.setHeader(name, value);
      response.writeHead(200, {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
      });
      response.write(": hookd\n\n");
    },
  });
}
