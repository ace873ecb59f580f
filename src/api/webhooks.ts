import { Type } from "typebox";
import { startConcurrency } from "../domain/ramp.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { WebhookFields } from "../engine/port.ts";
import { checkEventChange, keyOf, ownerForWebhook, seenWebhook, userForRead } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { answerPage } from "./lists.ts";
import * as schemas from "./schemas.ts";
import { changeWebhook, partsOf, sealedFields, turnOf } from "./webhook-changes.ts";
import { headersOf, plainChanges, plainFields, secretOf } from "./webhook-fields.ts";
import * as webhookSchemas from "./webhook-schemas.ts";

const params = Type.Object({ id: schemas.WebhookIdText }, schemas.closed);
const tag = "webhooks";

export function webhookRoutes(api: Api, context: ApiContext): void {
  createRoute(api, context);
  putRoute(api, context);
  listRoute(api, context);
  getRoute(api, context);
  changeRoute(api, context);
  deleteRoute(api, context);
}

function createRoute(api: Api, context: ApiContext): void {
  const { engine, render, registry } = context;
  api.route({
    method: "POST",
    url: "/webhooks",
    config: {
      operationId: "createWebhook",
      summary: "Register a callback URL for an event",
      tag,
      scope: "manage",
      problems: ["invalid_url", "invalid_header", "invalid_secret", "webhook_exists"],
    },
    schema: { body: webhookSchemas.WebhookCreate, response: { 201: webhookSchemas.Webhook } },
    async handler(request, reply) {
      const { body } = request;
      const userId = ownerForWebhook(keyOf(request), body.event_id, body.user_id);
      const secret = secretOf(context, body.secret);
      const headers = headersOf(body.headers ?? {}, []);
      const parts = { secrets: [{ secret, expiresAt: null }], headers };
      const fields = {
        ...plainFields(context, body),
        userId,
        eventId: body.event_id,
        ...sealedFields(context, parts),
      };
      const webhook = await engine.createWebhook(fields);
      registry.invalidateUser(userId);
      reply
        .code(201)
        .header("cache-control", "no-store")
        .header("location", `/v1/webhooks/${render.webhookId(webhook.id)}`);
      return render.webhook(webhook, { secret });
    },
  });
}

function putRoute(api: Api, context: ApiContext): void {
  const { engine, render, registry, inTurn } = context;
  api.route({
    method: "PUT",
    url: "/webhooks",
    config: {
      operationId: "putWebhook",
      summary: "Create or replace the webhook of a user and an event",
      tag,
      scope: "manage",
      problems: ["invalid_url", "invalid_header", "invalid_secret"],
    },
    schema: {
      body: webhookSchemas.WebhookCreate,
      response: { 200: webhookSchemas.Webhook, 201: webhookSchemas.Webhook },
    },
    async handler(request, reply) {
      const { body } = request;
      const userId = ownerForWebhook(keyOf(request), body.event_id, body.user_id);
      // Checked before the look-up, so that bad input costs none.
      const plain = plainFields(context, body);
      if (body.secret !== undefined) secretOf(context, body.secret);
      return inTurn(turnOf(userId, body.event_id), async () => {
        const before = await webhookOf(context, userId, body.event_id);
        const kept = partsOf(context, before);
        // Replacing without a secret keeps the ones there are: a repeated PUT must not break the receiver.
        const isKept = body.secret === undefined && kept.secrets.length > 0;
        const secret = secretOf(context, body.secret);
        const secrets = isKept ? kept.secrets : [{ secret, expiresAt: null }];
        const headers = headersOf(body.headers ?? {}, kept.headers);
        const sealed = sealedFields(context, { secrets, headers });
        const fields: WebhookFields = { ...plain, userId, eventId: body.event_id, ...sealed };
        const { webhook, created } = await engine.putWebhook(fields);
        registry.invalidateUser(userId);
        if (created)
          reply
            .code(201)
            .header("cache-control", "no-store")
            .header("location", `/v1/webhooks/${render.webhookId(webhook.id)}`);
        const isShown = created || (!isKept && body.secret === undefined);
        return render.webhook(webhook, isShown ? { secret: secrets[0]?.secret } : {});
      });
    },
  });
}

function listRoute(api: Api, context: ApiContext): void {
  const { engine } = context;
  api.route({
    method: "GET",
    url: "/webhooks",
    config: {
      operationId: "listWebhooks",
      summary: "List webhooks, newest first",
      tag,
      scope: "read",
      problems: ["not_found", "invalid_cursor"],
    },
    schema: {
      querystring: Type.Object(
        {
          event_id: Type.Optional(schemas.EventPattern),
          user_id: Type.Optional(schemas.OwnerId),
          is_active: Type.Optional(Type.Boolean()),
          ...schemas.paging,
        },
        schemas.closed,
      ),
      response: { 200: webhookSchemas.WebhookList },
    },
    async handler(request) {
      const { query } = request;
      const key = keyOf(request);
      const userId = userForRead(key, query.user_id);
      const filter = {
        ...(userId === undefined ? {} : { userId }),
        ...(query.event_id === undefined ? {} : { eventId: query.event_id }),
        ...(query.is_active === undefined ? {} : { isActive: query.is_active }),
      };
      return answerPage(context, {
        list: "webhooks",
        key,
        query,
        read: (page) => engine.listWebhooks(filter, page),
        show: (webhooks) => showLive(context, webhooks),
      });
    },
  });
}

function getRoute(api: Api, context: ApiContext): void {
  api.route({
    method: "GET",
    url: "/webhooks/:id",
    config: {
      operationId: "getWebhook",
      summary: "A webhook, and what its lane is doing",
      tag,
      scope: "read",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: webhookSchemas.Webhook } },
    async handler(request) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      return (await showLive(context, [webhook]))[0];
    },
  });
}

function changeRoute(api: Api, context: ApiContext): void {
  api.route({
    method: "PATCH",
    url: "/webhooks/:id",
    config: {
      operationId: "updateWebhook",
      summary: "Change a webhook; takes effect on the next attempt",
      tag,
      scope: "manage",
      problems: ["not_found", "invalid_url", "invalid_header", "webhook_exists"],
    },
    schema: { params, body: webhookSchemas.WebhookChange, response: { 200: webhookSchemas.Webhook } },
    async handler(request) {
      const { headers: given } = request.body;
      const key = keyOf(request);
      const changes = plainChanges(context, request.body);
      const webhook = await changeWebhook(context, key, request.params.id, (before) => {
        checkEventChange(key, before, request.body.event_id);
        if (given === undefined) return changes;
        const parts = partsOf(context, before);
        return {
          ...changes,
          ...sealedFields(context, { ...parts, headers: headersOf(given, parts.headers) }),
        };
      });
      return context.render.webhook(webhook);
    },
  });
}

function deleteRoute(api: Api, context: ApiContext): void {
  const { engine, registry } = context;
  api.route({
    method: "DELETE",
    url: "/webhooks/:id",
    config: {
      operationId: "deleteWebhook",
      summary: "Delete a webhook; its open deliveries end as dead/disabled",
      tag,
      scope: "manage",
      problems: ["not_found"],
    },
    schema: { params, response: { 204: Type.Null({ description: "Deleted." }) } },
    async handler(request, reply) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      await engine.deleteWebhook(webhook.id);
      registry.invalidateUser(webhook.userId);
      return reply.code(204).send();
    },
  });
}

async function webhookOf(context: ApiContext, userId: string, eventId: string): Promise<Webhook | undefined> {
  const { items } = await context.engine.listWebhooks({ userId, eventId }, { limit: 1, before: null });
  return items[0];
}

async function showLive(context: ApiContext, webhooks: readonly Webhook[]) {
  const { engine, render, config } = context;
  const lives = webhooks.length === 0 ? [] : await engine.live(webhooks.map(({ id }) => id));
  return webhooks.map((webhook, index) => {
    const live = lives[index];
    const concurrency = live?.concurrency ?? startConcurrency(webhook, config.delivery.concurrencyMax);
    return render.webhook(webhook, { live: live && { ...live, concurrency } });
  });
}
