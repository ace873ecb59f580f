import type { ServerResponse } from "node:http";
import { Problem } from "../domain/problem.ts";
import type { Engine, SettledAttempt } from "../engine/port.ts";
import { keyOf, seenWebhook, userForRead } from "./access.ts";
import type { Authenticator } from "./auth.ts";
import type { Api, ApiContext } from "./context.ts";
import type { ApiCounters } from "./counters.ts";
import { statusesOf } from "./fields.ts";
import type { Renderer } from "./render.ts";
import * as schemas from "./schemas.ts";

/**
 * Attempts as they settle, as server-sent events. Nothing waits for a client: what does not fit its buffer is dropped
 * and counted, and the count is sent when there is room again.
 *
 *   event: attempt    data: {"delivery_id": ...}
 *   event: skipped    data: {"count": 12}
 */
const CLIENTS_MAX = 100;
/** Bytes that may wait for one client: some 500 attempts. */
const BUFFER_MAX = 256 * 1_024;
const TICK_MS = 1_000;
/** Ticks between comments that keep proxies from closing a quiet stream. */
const HEARTBEAT_TICKS = 15;
/** Ticks that a client may leave its buffer full before it is cut off. */
const STALLED_TICKS_MAX = 60;

export interface StreamHub {
  add(client: {
    response: ServerResponse;
    authorization: string;
    accepts(attempt: SettledAttempt): boolean;
  }): void;
  /** Each second: ends streams whose key was revoked, sends heartbeats. */
  tick(): void;
  /** Ends all streams. */
  close(): void;
}

interface Client {
  readonly response: ServerResponse;
  readonly authorization: string;
  accepts(attempt: SettledAttempt): boolean;
  skipped: number;
  ticks: number;
  stalledTicks: number;
}

export function createStreamHub(
  engine: Pick<Engine, "subscribe">,
  auth: Authenticator,
  render: Renderer,
  counters: ApiCounters,
): StreamHub {
  const clients = new Set<Client>();
  let unsubscribe: (() => void) | null = null;
  let timer: NodeJS.Timeout | null = null;

  function onSettled(attempts: readonly SettledAttempt[], skipped: number): void {
    const texts = new Map<SettledAttempt, string>();
    for (const client of clients) {
      skip(client, skipped);
      for (const attempt of attempts) {
        if (!client.accepts(attempt)) continue;
        if (isFull(client)) skip(client, 1);
        else {
          tellSkipped(client);
          client.response.write(textOf(attempt, texts));
        }
      }
    }
  }

  /** Rendered once for all clients that take it. */
  function textOf(attempt: SettledAttempt, texts: Map<SettledAttempt, string>): string {
    let text = texts.get(attempt);
    if (text === undefined) {
      text = `event: attempt\ndata: ${JSON.stringify(render.settled(attempt))}\n\n`;
      texts.set(attempt, text);
    }
    return text;
  }

  function skip(client: Client, count: number): void {
    client.skipped += count;
    counters.streamSkipped += count;
  }

  function tellSkipped(client: Client): void {
    if (client.skipped === 0) return;
    client.response.write(`event: skipped\ndata: {"count":${client.skipped}}\n\n`);
    client.skipped = 0;
  }

  function remove(client: Client): void {
    if (!clients.delete(client)) return;
    counters.streamClients = clients.size;
    if (clients.size > 0) return;
    unsubscribe?.();
    unsubscribe = null;
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
        if (client.ticks % HEARTBEAT_TICKS === 0) client.response.write(": \n\n");
      }
    }
  }

  /** A store that does not answer ends no stream; a key that is gone does. */
  function checkKey(client: Client): void {
    auth.isStillGood(client.authorization).then(
      (isGood) => {
        if (!isGood) client.response.end();
      },
      () => undefined,
    );
  }

  return {
    add({ response, authorization, accepts }) {
      if (clients.size >= CLIENTS_MAX) {
        throw new Problem("overloaded", `${CLIENTS_MAX} streams are open, which is the most; close one`);
      }
      const client: Client = { response, authorization, accepts, skipped: 0, ticks: 0, stalledTicks: 0 };
      clients.add(client);
      counters.streamClients = clients.size;
      response.once("close", () => remove(client));
      unsubscribe ??= engine.subscribe(onSettled);
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
        accepts: (attempt) =>
          (userId === undefined || attempt.userId === userId) &&
          (webhook === null || attempt.webhookId === webhook.id) &&
          (query.event_id === undefined || attempt.eventId === query.event_id) &&
          (statuses === null || statuses.includes(attempt.status)),
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
