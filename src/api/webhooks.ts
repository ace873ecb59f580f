import { Type } from "typebox";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { SealedParts, Webhook } from "../domain/webhook.ts";
import type { WebhookChanges, WebhookFields } from "../engine/port.ts";
import { keyOf, seenWebhook, userForRead, userForWrite } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { durationField } from "./fields.ts";
import { answerPage } from "./lists.ts";
import { attempt, time, timeOrNull } from "./render.ts";
import * as schemas from "./schemas.ts";
import { headersOf, partsOf, plainChanges, plainFields, secretOf } from "./webhook-fields.ts";

const OVERLAP_MS = 24 * 3_600_000;
const OVERLAP_MAX_MS = 30 * 24 * 3_600_000;
/** Secrets that sign at the same time: each costs a signature per attempt, and a place in a header. */
const SECRETS_MAX = 5;

const params = Type.Object({ id: schemas.WebhookIdText }, schemas.closed);
const tag = "webhooks";

export function webhookRoutes(api: Api, context: ApiContext): void {
  const { engine, render, registry, inTurn } = context;

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
    schema: { body: schemas.WebhookCreate, response: { 201: schemas.Webhook } },
    async handler(request, reply) {
      const { body } = request;
      const userId = userForWrite(keyOf(request), body.user_id);
      const secret = secretOf(context, body.secret);
      const headers = headersOf(body.headers ?? {}, []);
      const fields = fieldsOf(body, userId, { secrets: [{ secret, expiresAt: null }], headers });
      const webhook = await engine.createWebhook(fields);
      registry.invalidateUser(userId);
      reply.code(201).header("location", `/v1/webhooks/${render.webhookId(webhook.id)}`);
      return render.webhook(webhook, { secret });
    },
  });

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
    schema: { body: schemas.WebhookCreate, response: { 200: schemas.Webhook, 201: schemas.Webhook } },
    async handler(request, reply) {
      const { body } = request;
      const userId = userForWrite(keyOf(request), body.user_id);
      // Checked before the look-up, so that bad input costs none.
      plainFields(context, body);
      if (body.secret !== undefined) secretOf(context, body.secret);
      return inTurn(turnOf(userId, body.event_id), async () => {
        const before = await webhookOf(userId, body.event_id);
        const kept = partsOf(context, before);
        // Replacing without a secret keeps the ones there are: a repeated PUT must not break the receiver.
        const isKept = body.secret === undefined && kept.secrets.length > 0;
        const secret = secretOf(context, body.secret);
        const secrets = isKept ? kept.secrets : [{ secret, expiresAt: null }];
        const headers = headersOf(body.headers ?? {}, kept.headers);
        const { webhook, created } = await engine.putWebhook(fieldsOf(body, userId, { secrets, headers }));
        registry.invalidateUser(userId);
        if (created) reply.code(201).header("location", `/v1/webhooks/${render.webhookId(webhook.id)}`);
        const isShown = created || (!isKept && body.secret === undefined);
        return render.webhook(webhook, isShown ? { secret: secrets[0]?.secret } : {});
      });
    },
  });

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
          user_id: Type.Optional(schemas.UserId),
          is_active: Type.Optional(Type.Boolean()),
          ...schemas.paging,
        },
        schemas.closed,
      ),
      response: { 200: schemas.WebhookList },
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
        show: showLive,
      });
    },
  });

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
    schema: { params, response: { 200: schemas.Webhook } },
    async handler(request) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      return (await showLive([webhook]))[0];
    },
  });

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
    schema: { params, body: schemas.WebhookChange, response: { 200: schemas.Webhook } },
    handler: (request) =>
      change(keyOf(request), request.params.id, (webhook) => {
        const { headers: given } = request.body;
        const changes = plainChanges(context, request.body);
        if (given === undefined) return changes;
        const parts = partsOf(context, webhook);
        return { ...changes, ...sealed({ ...parts, headers: headersOf(given, parts.headers) }) };
      }),
  });

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

  api.route({
    method: "GET",
    url: "/webhooks/:id/secret",
    config: {
      operationId: "getWebhookSecret",
      summary: "The signing secrets",
      tag,
      scope: "manage",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: schemas.Secrets } },
    async handler(request, reply) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      reply.header("cache-control", "no-store");
      return showSecrets(webhook, partsOf(context, webhook));
    },
  });

  api.route({
    method: "POST",
    url: "/webhooks/:id/rotate-secret",
    config: {
      operationId: "rotateWebhookSecret",
      summary: "Sign with a new secret, and with the old one too for the overlap",
      tag,
      scope: "manage",
      isBodyOptional: true,
      problems: ["not_found", "invalid_secret"],
    },
    schema: { params, body: schemas.RotateSecret, response: { 200: schemas.Secrets } },
    async handler(request, reply) {
      const overlap = request.body.overlap;
      const overlapMs =
        overlap === undefined ? OVERLAP_MS : durationField(overlap, "overlap", 0, OVERLAP_MAX_MS);
      const secret = secretOf(context, request.body.secret);
      const key = keyOf(request);
      const parts: { after: SealedParts | null } = { after: null };
      const webhook = await changed(key, request.params.id, (before) => {
        parts.after = rotated(partsOf(context, before), secret, context.clock.now(), overlapMs);
        return sealed(parts.after);
      });
      reply.header("cache-control", "no-store");
      return showSecrets(webhook, parts.after ?? partsOf(context, webhook));
    },
  });

  api.route({
    method: "POST",
    url: "/webhooks/:id/test",
    config: {
      operationId: "testWebhook",
      summary: "Send a sample at once, and answer with the attempt",
      tag,
      scope: "manage",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: schemas.Attempt } },
    async handler(request) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      return attempt(await engine.testWebhook(webhook.id));
    },
  });

  api.route({
    method: "POST",
    url: "/webhooks/:id/enable",
    config: {
      operationId: "enableWebhook",
      summary: "Switch on; resets the breaker",
      tag,
      scope: "manage",
      isBodyOptional: true,
      problems: ["not_found"],
    },
    schema: { params, body: schemas.EnableWebhook, response: { 200: schemas.Webhook } },
    handler: (request) =>
      change(keyOf(request), request.params.id, () => ({
        isActive: true,
        ...(request.body.replay === true ? { replayDisabled: true } : {}),
      })),
  });

  for (const [name, summary, changes] of [
    ["disable", "Switch off; open deliveries end as dead/disabled", { isActive: false }],
    ["pause", "Hold deliveries back; they wait", { isPaused: true }],
    ["resume", "Let paused deliveries go", { isPaused: false }],
  ] as const) {
    api.route({
      method: "POST",
      url: `/webhooks/:id/${name}`,
      config: { operationId: `${name}Webhook`, summary, tag, scope: "manage", problems: ["not_found"] },
      schema: { params, response: { 200: schemas.Webhook } },
      handler: (request) => change(keyOf(request), request.params.id, () => changes),
    });
  }

  function fieldsOf(body: schemas.WebhookCreate, userId: string, parts: SealedParts): WebhookFields {
    return { ...plainFields(context, body), userId, eventId: body.event_id, ...sealed(parts) };
  }

  function sealed(parts: SealedParts): Pick<WebhookFields, "sealed" | "headerNames"> {
    return { sealed: context.sealer.seal(parts), headerNames: parts.headers.map(([name]) => name) };
  }

  async function webhookOf(userId: string, eventId: string): Promise<Webhook | undefined> {
    const { items } = await engine.listWebhooks({ userId, eventId }, { limit: 1, before: null });
    return items[0];
  }

  async function change(key: ApiKey, id: string, changesOf: (webhook: Webhook) => WebhookChanges) {
    return render.webhook(await changed(key, id, changesOf));
  }

  /** Reads, changes and forgets what was cached, without another change of the same webhook in between. */
  async function changed(key: ApiKey, id: string, changesOf: (webhook: Webhook) => WebhookChanges) {
    const { userId, eventId } = await seenWebhook(context, key, id);
    return inTurn(turnOf(userId, eventId), async () => {
      const before = await seenWebhook(context, key, id);
      const after = await engine.updateWebhook(before.id, changesOf(before));
      registry.invalidateUser(after.userId);
      return after;
    });
  }

  async function showLive(webhooks: readonly Webhook[]) {
    const lives = webhooks.length === 0 ? [] : await engine.live(webhooks.map(({ id }) => id));
    return webhooks.map((webhook, index) => render.webhook(webhook, { live: lives[index] }));
  }

  function showSecrets(webhook: Webhook, parts: SealedParts) {
    const nowMs = context.clock.now();
    const live = parts.secrets.filter(({ expiresAt }) => expiresAt === null || expiresAt > nowMs);
    return {
      webhook_id: render.webhookId(webhook.id),
      secret: live[0]?.secret ?? "",
      secrets: live.map(({ secret, expiresAt }) => ({ secret, expires_at: timeOrNull(expiresAt) })),
    };
  }
}

/** Neither name can hold a space. */
function turnOf(userId: string, eventId: string): string {
  return `${userId} ${eventId}`;
}

/** The new secret first; those before it end after the overlap, or when they were to end anyway. */
function rotated(parts: SealedParts, secret: string, nowMs: number, overlapMs: number): SealedParts {
  const endsAt = nowMs + overlapMs;
  const older = parts.secrets
    .filter((old) => old.secret !== secret)
    .map((old) => ({ secret: old.secret, expiresAt: Math.min(old.expiresAt ?? endsAt, endsAt) }))
    .filter((old) => old.expiresAt > nowMs);
  if (older.length >= SECRETS_MAX) {
    const firstEnd = Math.min(...older.map((old) => old.expiresAt));
    throw new Problem(
      "invalid_secret",
      `${SECRETS_MAX} secrets sign already; wait until ${time(firstEnd)}, or rotate with overlap 0s to end them now`,
      { details: { secrets_max: SECRETS_MAX } },
    );
  }
  return { ...parts, secrets: [{ secret, expiresAt: null }, ...older] };
}
