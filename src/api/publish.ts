import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { WebhookId } from "../domain/ids.ts";
import type { ApiKey } from "../domain/key.ts";
import { isEventId, isEventUid, isReservedEventId, isUserId } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { PublishResult } from "../engine/port.ts";
import { keyOf, userForWrite } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { type Envelope, parseBatch, parseEnvelope } from "./envelope.ts";
import { problemBody, toProblem } from "./problems.ts";
import { acceptedUnmatched } from "./render.ts";
import * as schemas from "./schemas.ts";
import { compileValidator } from "./validate.ts";

/** Bytes of an envelope beside its payload: names, ids, and room for white space. */
const ENVELOPE_BYTES = 4_096;
const CONTENT_TYPE = /^[\x20-\x7e]{1,255}$/;
const ANSWER_TYPE = "application/json; charset=utf-8";
const EVERYONE = "*";
const tag = "events";

const publishProblems = [
  "invalid_json",
  "invalid_uid",
  "uid_conflict",
  "lane_full",
  "user_full",
  "rate_limited",
  "queue_full",
  "overloaded",
  "disk_full",
  "store_unavailable",
  "shutting_down",
] as const;

/** An event on its way in, checked. */
interface Item {
  /** `*`: everyone's. */
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  readonly contentType: string;
  readonly payload: Buffer;
}

/**
 * The hot path: tens of thousands of times a second. Per event: a header looked up, a body scanned once, a map asked,
 * one promise from the engine, and an answer written as text. No schema runs over the body (the scanner checks what
 * the schema says; a test holds the two together), and no handler is async.
 */
export function publishEventRoutes(api: Api, context: ApiContext): void {
  const { payloadBytes, batchBytes } = context.config.limits;
  const validatorCompiler = skipBody;

  api.route({
    method: "POST",
    url: "/events",
    bodyLimit: payloadBytes + ENVELOPE_BYTES,
    validatorCompiler,
    config: {
      operationId: "publishEvent",
      summary: "Publish an event",
      tag,
      scope: "publish",
      isPublish: true,
      readsHeaders: ["idempotency-key"],
      problems: publishProblems,
    },
    schema: { body: schemas.EventPublish, response: { 202: schemas.Accepted } },
    handler(request, reply) {
      const key = keyOf(request);
      checkRate(context, key, 1);
      const envelope = parseEnvelope(bytesOf(request.body));
      publish(context, reply, itemOf(context, key, envelope, uidHeader(request)));
    },
  });

  api.route({
    method: "POST",
    url: "/events/batch",
    bodyLimit: batchBytes,
    validatorCompiler,
    config: {
      operationId: "publishEvents",
      summary: "Publish up to 1,000 events; each is accepted or refused for itself",
      tag,
      scope: "publish",
      isPublish: true,
      bodyTypes: ["application/json", "application/x-ndjson"],
      problems: publishProblems,
    },
    schema: { body: schemas.EventBatch, response: { 202: schemas.BatchAnswer } },
    handler(request, reply) {
      if (request.headers["idempotency-key"] !== undefined) {
        throw new Problem(
          "invalid_uid",
          "Idempotency-Key names one event, not a batch: give each event its event_uid",
          {
            details: { field: "Idempotency-Key" },
          },
        );
      }
      const key = keyOf(request);
      const items = parseBatch(bytesOf(request.body));
      if (items.length === 0) throw new Problem("bad_request", "the batch is empty: send at least one event");
      checkRate(context, key, items.length);
      publishBatch(context, request, key, items).then((text) => answer(reply, text), fail(context, reply));
    },
  });
}

/** The body is the payload: nothing of it is looked at. */
export function publishRawRoutes(api: Api, context: ApiContext): void {
  const { payloadBytes } = context.config.limits;

  api.route({
    method: "POST",
    url: "/publish/:event_id",
    bodyLimit: payloadBytes,
    config: {
      operationId: "publishPayload",
      summary: "Publish the body as an event's payload, with its content type: the fastest way in",
      tag,
      scope: "publish",
      isPublish: true,
      bodyTypes: ["application/json", "application/octet-stream", "*/*"],
      isBodyOptional: true,
      readsHeaders: ["idempotency-key"],
      problems: publishProblems,
    },
    schema: {
      params: Type.Object(
        { event_id: Type.String({ description: "The name of what happened." }) },
        schemas.closed,
      ),
      querystring: Type.Object({ user_id: Type.Optional(schemas.UserIdOrAll) }, schemas.closed),
      response: { 202: schemas.Accepted },
    },
    handler(request, reply) {
      const key = keyOf(request);
      checkRate(context, key, 1);
      const payload = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const envelope = {
        eventId: request.params.event_id,
        eventUid: null,
        userId: request.query.user_id ?? null,
        payload,
      };
      publish(context, reply, itemOf(context, key, envelope, uidHeader(request), contentTypeOf(request)));
    },
  });
}

function publish(context: ApiContext, reply: FastifyReply, item: Item): void {
  hand(context, item, targetsOf(context, item)).then(
    (result) => answer(reply, accepted(context, item, result)),
    fail(context, reply),
  );
}

/** All that were routed are handed over in one turn of the event loop: one commit. */
async function publishBatch(
  context: ApiContext,
  request: FastifyRequest,
  key: ApiKey,
  parsed: readonly (Envelope | Problem)[],
): Promise<string> {
  const items = parsed.map((one) => (one instanceof Problem ? one : checked(context, key, one)));
  const routed = await Promise.all(
    items.map(async (item) => {
      if (item instanceof Problem) return item;
      return { item, targets: await attempted(targetsOf(context, item)) };
    }),
  );
  const texts = routed.map(async (one, index) => {
    if (one instanceof Problem) return refused(one, index);
    if (one.targets instanceof Problem) return refused(one.targets, index);
    const result = await attempted(hand(context, one.item, one.targets));
    if (result instanceof Problem) return refused(result, index);
    return `{"index":${index},"accepted":${accepted(context, one.item, result)}}`;
  });
  return `{"results":[${(await Promise.all(texts)).join(",")}]}`;

  function refused(problem: Problem, index: number): string {
    count(context, problem);
    const body = problemBody(problem, request.id, context.engine.salt);
    return `{"index":${index},"error":${JSON.stringify(body)}}`;
  }
}

async function attempted<T>(work: T | Promise<T>): Promise<Awaited<T> | Problem> {
  try {
    return await work;
  } catch (error) {
    return toProblem(error);
  }
}

function checked(context: ApiContext, key: ApiKey, envelope: Envelope): Item | Problem {
  try {
    return itemOf(context, key, envelope, null);
  } catch (error) {
    return toProblem(error);
  }
}

type Targets = readonly WebhookId[];

/** The webhooks of an event: at once where they are known. A broadcast's are the engine's to find. */
function targetsOf(context: ApiContext, item: Item): Targets | Promise<Targets> {
  if (item.userId === EVERYONE) return [];
  const { registry } = context;
  return registry.peek(item.userId, item.eventId) ?? registry.lookUp(item.userId, item.eventId);
}

/** Resolves with null where there is nothing to deliver, and so nothing to store. */
function hand(
  context: ApiContext,
  item: Item,
  targets: Targets | Promise<Targets>,
): Promise<PublishResult | null> {
  const { engine } = context;
  if (item.userId === EVERYONE) {
    const { eventId, uid, contentType, payload } = item;
    return engine.broadcast({ eventId, uid, contentType, payload });
  }
  if (targets instanceof Promise) return targets.then((found) => hand(context, item, found));
  if (targets.length === 0) return Promise.resolve(null);
  return engine.publish({ ...item, targets });
}

function accepted(context: ApiContext, item: Item, result: PublishResult | null): string {
  const { counters, render } = context;
  if (result === null || (result.deliveryCount === 0 && result.fanOut === null && !result.isDuplicate)) {
    counters.unmatched += 1;
    return acceptedUnmatched(item.uid);
  }
  if (result.isDuplicate) counters.duplicates += 1;
  else counters.accepted += 1;
  return render.accepted(result, item.uid);
}

function answer(reply: FastifyReply, text: string): void {
  reply.code(202).header("content-type", ANSWER_TYPE).send(text);
}

function fail(context: ApiContext, reply: FastifyReply): (error: unknown) => void {
  return (error) => {
    count(context, toProblem(error));
    reply.send(error);
  };
}

function count(context: ApiContext, { code }: Problem): void {
  const { refused } = context.counters;
  refused[code] = (refused[code] ?? 0) + 1;
}

/** Checks all that an event says of itself. Throws Problem. */
function itemOf(
  context: ApiContext,
  key: ApiKey,
  envelope: Envelope,
  header: string | null,
  contentType = "application/json",
): Item {
  const { eventId, payload } = envelope;
  if (!isEventId(eventId)) {
    throw wrong("event_id", "must be 1-128 letters, digits, _ . or -, the first a letter or digit", eventId);
  }
  if (isReservedEventId(eventId))
    throw wrong("event_id", "is reserved: hookd. is for hookd's own events", eventId);
  if (payload.length > context.config.limits.payloadBytes) {
    throw new Problem(
      "payload_too_large",
      `the payload has ${payload.length} bytes; ${context.config.limits.payloadBytes} are the most`,
      { details: { field: "payload" } },
    );
  }
  const uid = uidOf(envelope.eventUid, header);
  return { userId: publisherOf(key, envelope.userId), eventId, uid, contentType, payload };
}

function publisherOf(key: ApiKey, given: string | null): string {
  if (given === EVERYONE) {
    if (key.userId === null) return EVERYONE;
    throw new Problem("forbidden", "only an admin key publishes to every user", {
      details: { field: "user_id" },
    });
  }
  if (given !== null && !isUserId(given))
    throw wrong("user_id", "must be 1-64 letters, digits, _ or -", given);
  return userForWrite(key, given);
}

function uidOf(given: string | null, header: string | null): string | null {
  if (given !== null && header !== null && given !== header) {
    throw new Problem("invalid_uid", "Idempotency-Key and event_uid differ: give one of them, or the same", {
      details: { field: "event_uid" },
    });
  }
  const uid = given ?? header;
  if (uid === null || isEventUid(uid)) return uid;
  const field = given === null ? "Idempotency-Key" : "event_uid";
  throw new Problem("invalid_uid", `${field} must be 1-64 letters, digits, _ or -, not ${quoted(uid)}`, {
    details: { field },
  });
}

/** The header as it is mostly sent, or in quotes (draft-ietf-httpapi-idempotency-key-header). */
function uidHeader(request: FastifyRequest): string | null {
  const header = request.headers["idempotency-key"];
  if (header === undefined) return null;
  const text = String(header);
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

function contentTypeOf(request: FastifyRequest): string {
  const type = request.headers["content-type"];
  if (type === undefined) return "application/octet-stream";
  if (CONTENT_TYPE.test(type)) return type;
  throw new Problem(
    "unsupported_media_type",
    "the content type must be printable ASCII of 255 characters at most",
  );
}

function checkRate(context: ApiContext, key: ApiKey, events: number): void {
  const waitMs = context.publishRate?.take(String(key.id), events) ?? 0;
  if (waitMs === 0) return;
  const problem = new Problem(
    "rate_limited",
    `the API key publishes more than ${context.config.limits.publishPerKey} events a second; slow down`,
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)) },
  );
  count(context, problem);
  throw problem;
}

function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body) && body.length > 0) return body;
  throw new Problem("bad_request", "the call needs a body: a JSON object with event_id and payload");
}

function wrong(field: string, what: string, value: string): Problem {
  return new Problem("invalid_field", `${field} ${what}, not ${quoted(value)}`, { details: { field } });
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

/** The body's schema is for the OpenAPI document: what it says is checked by the scanner. */
function skipBody(part: { schema: unknown; httpPart?: string }) {
  return part.httpPart === "body" ? (value: unknown) => ({ value }) : compileValidator(part);
}
