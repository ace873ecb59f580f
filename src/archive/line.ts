import { isUtf8 } from "node:buffer";
import type { EndedDelivery } from "../domain/delivery.ts";
import { formatId, type IdSalt, timeOfSeq } from "../domain/ids.ts";

const JSON_TYPE = /^application\/(?:json|[\w.+-]+\+json)[ \t]*(?:;|$)/i;

/**
 * One line of cold storage: a JSON object with the API's names, and a line feed. A payload that is JSON stands in it as
 * it was published, but that line breaks between its tokens are spaces; any other is base64.
 */
export function lineOf(ended: EndedDelivery, salt: IdSalt): Uint8Array {
  const json = jsonOf(ended);
  const head = JSON.stringify({
    id: formatId("dlv", ended.id, salt),
    event_uid: ended.eventUid ?? formatId("evt", ended.event, salt),
    event_id: ended.eventId,
    user_id: ended.userId,
    webhook_id: formatId("wh", ended.webhookId, salt),
    status: ended.status,
    reason: ended.reason,
    attempt_count: ended.attemptCount,
    response_code: ended.statusCode,
    error: ended.error,
    duration_ms: ended.durationMs,
    created_at: new Date(timeOfSeq(ended.id)).toISOString(),
    completed_at: new Date(ended.completedAt).toISOString(),
    content_type: ended.contentType,
    payload_encoding: json === null ? "base64" : "json",
  });
  const payload = json ?? Buffer.from(`"${Buffer.from(ended.payload).toString("base64")}"`);
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"payload":`), payload, LINE_END]);
}

const LINE_END = Buffer.from("}\n");
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const SPACE = 0x20;

/** The payload, if it says that it is JSON and is. */
function jsonOf({ contentType, payload }: EndedDelivery): Buffer | null {
  if (!JSON_TYPE.test(contentType) || !isUtf8(payload)) return null;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  try {
    JSON.parse(bytes.toString());
  } catch {
    return null;
  }
  if (!bytes.includes(LINE_FEED) && !bytes.includes(CARRIAGE_RETURN)) return bytes;
  // A string of JSON holds no bare line break: each one stands between tokens.
  return Buffer.from(bytes.map((byte) => (byte === LINE_FEED || byte === CARRIAGE_RETURN ? SPACE : byte)));
}
