import { signatureHeaders } from "../domain/sign.ts";
import type { SendOrder } from "./port.ts";
import type { ReadyTarget } from "./target.ts";

/**
 * The headers of one attempt, flat (name, value, ...), in a fixed order. undici puts
 * `host` and `connection` before them and `content-length` behind. Throws if no secret is left to sign with.
 */
export function requestHeaders(
  order: SendOrder,
  target: ReadyTarget,
  userAgent: string,
  now: number,
): string[] {
  const seconds = Math.floor(now / 1_000);
  const signatures = signatureHeaders(target.signingKeys(now), order.eventUid, seconds, order.payload);
  const headers = [
    "content-type",
    order.contentType,
    "user-agent",
    userAgent,
    "webhook-id",
    order.eventUid,
    "webhook-timestamp",
    String(seconds),
    "webhook-signature",
    signatures.webhookSignature,
    "x-webhook-id",
    order.eventUid,
    "x-signature",
    signatures.xSignature,
    "hookd-event-id",
    order.eventId,
    "hookd-webhook-id",
    target.publicId,
    "hookd-attempt",
    String(order.attemptNumber),
    // An answer must not have to be inflated.
    "accept-encoding",
    "identity",
  ];
  for (const text of target.ownHeaders) headers.push(text);
  return headers;
}
