import type { FastifyRequest } from "fastify";
import type { Delivery } from "../domain/delivery.ts";
import { type DeliveryId, type JobId, parseId, type WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import { isReservedEventId, OPERATOR_USER } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { ApiContext } from "./context.ts";

/**
 * Who may see what. A user's key sees its user's objects; all others do not exist for it: reading them is 404, the same
 * as for an id that was never given out. Writing in another user's name is 403. An admin key sees everyone.
 */
const DEFAULT_USER = "default";

export function keyOf(request: FastifyRequest): ApiKey {
  if (request.apiKey === null) throw new Error("a route without a scope asked for its key");
  return request.apiKey;
}

/** The user in whose name something is made. */
export function userForWrite(key: ApiKey, given: string | null | undefined): string {
  if (key.userId === null) return given ?? DEFAULT_USER;
  if (given === null || given === undefined || given === key.userId) return key.userId;
  throw new Problem("forbidden", `the API key belongs to the user ${key.userId}, not to ${given}`, {
    details: { field: "user_id" },
  });
}

/**
 * Whose a webhook for this event, or pattern, is to be. hookd's own events are of all users, so they go to the operator
 * alone: an admin key registers for them, and those webhooks belong to a user that no key can have.
 */
export function ownerForWebhook(key: ApiKey, eventId: string, given: string | undefined): string {
  if (!isReservedEventId(eventId)) {
    if (given !== OPERATOR_USER) return userForWrite(key, given);
    throw new Problem("invalid_field", `user_id ${OPERATOR_USER} is for hookd's own events (hookd.*) alone`, {
      details: { field: "user_id" },
    });
  }
  if (key.userId !== null) throw notForUsers();
  if (given === undefined || given === OPERATOR_USER) return OPERATOR_USER;
  throw new Problem(
    "invalid_field",
    `user_id must be left out: webhooks for hookd's own events (hookd.*) belong to the operator, not to ${given}`,
    { details: { field: "user_id" } },
  );
}

/** A webhook does not become the operator's, nor another's, by being changed. */
export function checkEventChange(key: ApiKey, webhook: Webhook, eventId: string | undefined): void {
  if (eventId === undefined || isReservedEventId(eventId) === (webhook.userId === OPERATOR_USER)) return;
  if (key.userId !== null) throw notForUsers();
  throw new Problem(
    "invalid_field",
    "event_id cannot be changed between hookd's own events (hookd.*) and others: register another webhook",
    { details: { field: "event_id" } },
  );
}

function notForUsers(): Problem {
  return new Problem(
    "forbidden",
    "hookd's own events (hookd.*) are for the operator: registering for them takes an admin key",
    { details: { field: "event_id" } },
  );
}

/** The user whose objects are listed; undefined: everyone's. */
export function userForRead(key: ApiKey, given: string | undefined): string | undefined {
  if (key.userId === null || given === key.userId) return given;
  if (given === undefined) return key.userId;
  throw new Problem("not_found", `there is no user ${given}`, { details: { field: "user_id" } });
}

/** The user whose one object is asked for by a name that only a user makes unique. */
export function userForOne(key: ApiKey, given: string | undefined): string {
  return userForRead(key, given) ?? DEFAULT_USER;
}

export function sees(key: ApiKey, userId: string | null): boolean {
  return key.userId === null || key.userId === userId;
}

export function notFound(what: string, id: string): Problem {
  const shown = id.length > 80 ? `${id.slice(0, 80)}...` : id;
  return new Problem("not_found", `there is no ${what} ${shown}`);
}

/** A webhook that the key may see. `withDeleted`: also one of which only the deliveries are left. */
export async function seenWebhook(
  context: ApiContext,
  key: ApiKey,
  id: string,
  options: { withDeleted: boolean } = { withDeleted: false },
): Promise<Webhook> {
  const seq = parseId("wh", id, context.engine.salt);
  const [webhook] = seq === null ? [] : await context.engine.getWebhooks([seq as WebhookId]);
  if (!webhook || !sees(key, webhook.userId)) throw notFound("webhook", id);
  if (webhook.deletedAt !== null && !options.withDeleted) throw notFound("webhook", id);
  return webhook;
}

export async function seenDelivery(context: ApiContext, key: ApiKey, id: string): Promise<Delivery> {
  return (await seenDeliveryWithAttempts(context, key, id)).delivery;
}

export async function seenDeliveryWithAttempts(context: ApiContext, key: ApiKey, id: string) {
  const seq = parseId("dlv", id, context.engine.salt);
  const found = seq === null ? null : await context.engine.getDelivery(seq as DeliveryId);
  if (found === null || !sees(key, found.delivery.userId)) throw notFound("delivery", id);
  return found;
}

export async function seenJob(context: ApiContext, key: ApiKey, id: string): Promise<Job> {
  const seq = parseId("job", id, context.engine.salt);
  const job = seq === null ? null : await context.engine.getJob(seq as JobId);
  if (job === null || !sees(key, job.spec.userId)) throw notFound("job", id);
  return job;
}
