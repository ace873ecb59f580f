import type { IncomingHttpHeaders } from "node:http";
import type { WebhookId } from "../domain/ids.ts";
import type { ApiKey } from "../domain/key.ts";
import { isEventId, isEventUid, isReservedEventId, isUserId } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { SpanAttributes } from "../domain/span.ts";
import type { TraceContext } from "../domain/trace-context.ts";
import type { PublishResult } from "../engine/port.ts";
import type { AcceptSpan } from "./accept-tracing.ts";
import { userForWrite } from "./access.ts";
import type { ApiContext } from "./context.ts";
import type { Envelope } from "./envelope.ts";
import { acceptedUnmatched } from "./render.ts";

/** What the publish calls do with an event, whichever way it came: check it, route it, hand it over, answer. */

/** Bytes of an envelope beside its payload: names, ids, and room for white space. */
export const ENVELOPE_BYTES = 4_096;
const CONTENT_TYPE = /^[\x20-\x7e]{1,255}$/;
export const ANSWER_TYPE = "application/json; charset=utf-8";
const EVERYONE = "*";

/** An event on its way in, checked. */
export interface Item {
  /** `*`: everyone's. */
  readonly userId: string;
  readonly eventId: string;
  readonly uid: string | null;
  readonly contentType: string;
  readonly payload: Buffer;
  /** The accept's span, for those of its attempts; null where it is not traced. */
  readonly trace: TraceContext | null;
}

export type Targets = readonly WebhookId[];

/** To everyone's webhooks. */
export function isBroadcast({ userId }: Item): boolean {
  return userId === EVERYONE;
}

/** The webhooks of an event: at once where they are known. A broadcast's are the engine's to find. */
export function targetsOf(context: ApiContext, item: Item): Targets | Promise<Targets> {
  if (isBroadcast(item)) return [];
  const { registry } = context;
  return registry.peek(item.userId, item.eventId) ?? registry.lookUp(item.userId, item.eventId);
}

/** Resolves with null where there is nothing to deliver, and so nothing to store. */
export function hand(
  context: ApiContext,
  item: Item,
  targets: Targets | Promise<Targets>,
): Promise<PublishResult | null> {
  const { engine } = context;
  if (isBroadcast(item)) {
    const { eventId, uid, contentType, payload, trace } = item;
    return engine.broadcast({ eventId, uid, contentType, payload, trace });
  }
  if (targets instanceof Promise) return targets.then((found) => hand(context, item, found));
  if (targets.length === 0) return Promise.resolve(null);
  return engine.publish({ ...item, targets });
}

/** The 202's text. `span`: the request's own, which ends here. */
export function accepted(
  context: ApiContext,
  item: Item,
  result: PublishResult | null,
  span: AcceptSpan | null,
): string {
  if (span !== null) span.accepted(attributesOf(context, item, result));
  return acceptedText(context, item.uid, result);
}

/** `uid`: the publisher's. */
export function acceptedText(
  { counters, render }: ApiContext,
  uid: string | null,
  result: PublishResult | null,
): string {
  if (result === null || (result.deliveryCount === 0 && result.fanOut === null && !result.isDuplicate)) {
    counters.unmatched += 1;
    return acceptedUnmatched(uid);
  }
  if (result.isDuplicate) counters.duplicates += 1;
  else counters.accepted += 1;
  return render.accepted(result, uid);
}

/** The item as part of a trace, where the request is one. */
export function traced(item: Item, span: AcceptSpan | null): Item {
  return span === null ? item : { ...item, trace: span.context };
}

function attributesOf({ render }: ApiContext, item: Item, result: PublishResult | null): SpanAttributes {
  const uid = result === null || result.event === 0 ? item.uid : render.eventUid(result.event, item.uid);
  return {
    "hookd.event_id": item.eventId,
    "hookd.user_id": item.userId,
    "hookd.delivery_count": result?.deliveryCount ?? 0,
    "hookd.duplicate": result?.isDuplicate ?? false,
    ...(uid === null ? {} : { "hookd.event_uid": uid }),
  };
}

export function count(context: ApiContext, { code }: Problem, events = 1): void {
  const { refused } = context.counters;
  refused[code] = (refused[code] ?? 0) + events;
}

/** Checks all that an event says of itself. Throws Problem. */
export function itemOf(
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
  return { userId: publisherOf(key, envelope.userId), eventId, uid, contentType, payload, trace: null };
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
export function uidHeader(headers: IncomingHttpHeaders): string | null {
  const header = headers["idempotency-key"];
  if (header === undefined) return null;
  const text = String(header);
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}

export function contentTypeOf(headers: IncomingHttpHeaders): string {
  const type = headers["content-type"];
  if (type === undefined) return "application/octet-stream";
  if (CONTENT_TYPE.test(type)) return type;
  throw new Problem(
    "unsupported_media_type",
    "the content type must be printable ASCII of 255 characters at most",
  );
}

export function checkRate(context: ApiContext, key: ApiKey, events: number): void {
  const waitMs = context.publishRate.take(String(key.id), events);
  if (waitMs === 0) return;
  const problem = new Problem(
    "rate_limited",
    `the API key publishes more than ${context.config.limits.publishPerKey} events a second; slow down`,
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)) },
  );
  count(context, problem, events);
  throw problem;
}

export function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body) && body.length > 0) return body;
  throw new Problem("bad_request", "the call needs a body: a JSON object with event_id and payload");
}

function wrong(field: string, what: string, value: string): Problem {
  return new Problem("invalid_field", `${field} ${what}, not ${quoted(value)}`, { details: { field } });
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
