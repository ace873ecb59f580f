import { checkHeaders } from "../domain/headers.ts";
import { signatureHeaders } from "../domain/sign.ts";
import { Interned } from "../lib/interned.ts";
import type { SendOrder } from "./port.ts";
import type { ReadyTarget } from "./target.ts";

/** What is the same in the heads of most targets. */
const common = new Interned();

/** What no attempt changes of a target's request head, in the pieces between what it does. */
export interface HeadText {
  readonly toContentType: string;
  readonly toWebhookId: string;
  readonly toAttemptNumber: string;
  readonly toContentLength: string;
}

/** Printable ASCII without the space: what a request target, a host or an id is made of. */
const WORD = /^[\x21-\x7e]+$/;
/** RFC 9110 5.5. Neither CR nor LF nor NUL, nor what takes more than a byte of latin-1. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Throws if a part would not stay where it is put: it was all checked when the webhook was made, and an older
 * hookd or a restored file may have had other rules.
 */
export function prepareHead(
  url: URL,
  publicId: string,
  userAgent: string,
  own: readonly (readonly [name: string, value: string])[],
): HeadText {
  const path = url.pathname + url.search;
  for (const part of [path, url.host, publicId, userAgent]) {
    if (!WORD.test(part))
      throw new Error("a part of the request's head has characters that it must not have");
  }
  const verdict = checkHeaders(Object.fromEntries(own));
  if (!verdict.ok) throw new Error(`header ${verdict.header ?? "count"}: ${verdict.why}`);
  const ownLines = verdict.headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return {
    toContentType: flat(
      `POST ${path} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\ncontent-type: `,
    ),
    toWebhookId: common.of(flat(`\r\nuser-agent: ${userAgent}\r\nwebhook-id: `)),
    toAttemptNumber: flat(`\r\nhookd-webhook-id: ${publicId}\r\nhookd-attempt: `),
    // An answer must not have to be inflated.
    toContentLength: toContentLength(ownLines),
  };
}

/** A webhook's own headers are nobody else's, and may be credentials: they go when it does. */
function toContentLength(ownLines: string): string {
  const text = flat(`\r\naccept-encoding: identity\r\n${ownLines}content-length: `);
  return ownLines === "" ? common.of(text) : text;
}

/** One string of its bytes: what is put together stays a tree of its parts, and keeps all that they were cut from. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

/**
 * The head of one attempt's request, in latin-1, with its headers in a fixed order. Throws if no secret is
 * left to sign with, or if a value of the order would break out of its line.
 */
export function requestHead(order: SendOrder, target: ReadyTarget, now: number): string {
  const { eventUid, eventId, contentType, payload, traceparent } = order;
  if (!VALUE.test(contentType) || !WORD.test(eventUid) || !WORD.test(eventId)) {
    throw new Error("the event's content type or an id of it is not fit for a header");
  }
  const seconds = Math.floor(now / 1_000);
  const { webhookSignature, xSignature } = signatureHeaders(
    target.signingKeys(now),
    eventUid,
    seconds,
    payload,
  );
  const { head } = target;
  const traceLine = traceparent === null ? "" : `\r\ntraceparent: ${traceparent}`;
  return (
    `${head.toContentType}${contentType}${head.toWebhookId}${eventUid}\r\nwebhook-timestamp: ${seconds}` +
    `\r\nwebhook-signature: ${webhookSignature}\r\nx-webhook-id: ${eventUid}\r\nx-signature: ${xSignature}` +
    `\r\nhookd-event-id: ${eventId}${head.toAttemptNumber}${order.attemptNumber}${traceLine}` +
    `${head.toContentLength}${payload.length}\r\n\r\n`
  );
}
