import { Type } from "typebox";
import { Problem } from "../domain/problem.ts";
import type { SealedParts, Webhook } from "../domain/webhook.ts";
import { keyOf, seenWebhook } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { durationField } from "./fields.ts";
import { attempt, time, timeOrNull } from "./render.ts";
import * as schemas from "./schemas.ts";
import { changeWebhook, partsOf, sealedFields } from "./webhook-changes.ts";
import { secretOf } from "./webhook-fields.ts";
import * as webhookSchemas from "./webhook-schemas.ts";

/** How long the old secret signs too, where the caller does not say. */
const OVERLAP_MS = 24 * 3_600_000;
const OVERLAP_MAX_MS = 30 * 24 * 3_600_000;
/** Secrets that sign at the same time: each costs a signature per attempt, and a place in a header. */
const SECRETS_MAX = 5;

const params = Type.Object({ id: schemas.WebhookIdText }, schemas.closed);
const tag = "webhooks";

/** What is done to a webhook beyond changing its fields. */
export function webhookCommandRoutes(api: Api, context: ApiContext): void {
  secretRoute(api, context);
  rotateRoute(api, context);
  testRoute(api, context);
  enableRoute(api, context);
  switchRoutes(api, context);
}

function secretRoute(api: Api, context: ApiContext): void {
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
    schema: { params, response: { 200: webhookSchemas.Secrets } },
    async handler(request, reply) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      reply.header("cache-control", "no-store");
      return showSecrets(context, webhook);
    },
  });
}

function rotateRoute(api: Api, context: ApiContext): void {
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
    schema: { params, body: webhookSchemas.RotateSecret, response: { 200: webhookSchemas.Secrets } },
    async handler(request, reply) {
      const overlap = request.body.overlap;
      const overlapMs =
        overlap === undefined ? OVERLAP_MS : durationField(overlap, "overlap", 0, OVERLAP_MAX_MS);
      const secret = secretOf(context, request.body.secret);
      const webhook = await changeWebhook(context, keyOf(request), request.params.id, (before) =>
        sealedFields(context, rotated(partsOf(context, before), secret, context.clock.now(), overlapMs)),
      );
      reply.header("cache-control", "no-store");
      return showSecrets(context, webhook);
    },
  });
}

function testRoute(api: Api, context: ApiContext): void {
  api.route({
    method: "POST",
    url: "/webhooks/:id/test",
    config: {
      operationId: "testWebhook",
      summary: "Send a sample at once, and answer with the attempt; refused while hookd as a whole is paused",
      tag,
      scope: "manage",
      problems: ["not_found", "paused"],
    },
    schema: { params, response: { 200: schemas.Attempt } },
    async handler(request) {
      const webhook = await seenWebhook(context, keyOf(request), request.params.id);
      return attempt(await context.engine.testWebhook(webhook.id));
    },
  });
}

function enableRoute(api: Api, context: ApiContext): void {
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
    schema: { params, body: webhookSchemas.EnableWebhook, response: { 200: webhookSchemas.Webhook } },
    async handler(request) {
      const replay = request.body.replay === true ? { replayDisabled: true } : {};
      const changes = { isActive: true, isMended: true, ...replay };
      return context.render.webhook(
        await changeWebhook(context, keyOf(request), request.params.id, () => changes),
      );
    },
  });
}

function switchRoutes(api: Api, context: ApiContext): void {
  for (const [name, summary, changes] of [
    ["disable", "Switch off; open deliveries end as dead/disabled", { isActive: false }],
    ["pause", "Hold deliveries back; they wait", { isPaused: true }],
    ["resume", "Let paused deliveries go", { isPaused: false }],
  ] as const) {
    api.route({
      method: "POST",
      url: `/webhooks/:id/${name}`,
      config: { operationId: `${name}Webhook`, summary, tag, scope: "manage", problems: ["not_found"] },
      schema: { params, response: { 200: webhookSchemas.Webhook } },
      async handler(request) {
        return context.render.webhook(
          await changeWebhook(context, keyOf(request), request.params.id, () => changes),
        );
      },
    });
  }
}

/** All that sign now. */
function showSecrets(context: ApiContext, webhook: Webhook) {
  const nowMs = context.clock.now();
  const live = partsOf(context, webhook).secrets.filter(
    ({ expiresAt }) => expiresAt === null || expiresAt > nowMs,
  );
  return {
    webhook_id: context.render.webhookId(webhook.id),
    secret: live[0]?.secret ?? "",
    secrets: live.map(({ secret, expiresAt }) => ({ secret, expires_at: timeOrNull(expiresAt) })),
  };
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
