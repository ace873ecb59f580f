import { ATTEMPT_ERRORS, DEAD_REASONS, type EndedDelivery } from "../domain/delivery.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../domain/ids.ts";
import { ByteReader, type ByteWriter } from "../lib/bytes.ts";

const NONE = 255;

/** Ended deliveries from the director to the archive's thread: one message of plain bytes per slice. */
export function encodeEnded(writer: ByteWriter, ended: readonly EndedDelivery[]): Uint8Array<ArrayBuffer> {
  for (const one of ended) {
    writer.f64(one.id);
    writer.f64(one.event);
    writer.f64(one.webhookId);
    writer.text(one.eventId);
    writer.text(one.userId);
    writer.u8(one.eventUid === null ? 0 : 1);
    if (one.eventUid !== null) writer.text(one.eventUid);
    writer.u8(one.status === "success" ? 1 : 0);
    writer.u8(one.reason === null ? NONE : DEAD_REASONS.indexOf(one.reason));
    writer.u32(one.attemptCount);
    writer.f64(one.completedAt);
    writer.u16(one.statusCode ?? 0);
    writer.u8(one.error === null ? NONE : ATTEMPT_ERRORS.indexOf(one.error));
    writer.f64(one.durationMs ?? -1);
    writer.text(one.contentType);
    writer.bytes(one.payload);
  }
  return writer.take();
}

/** Payloads are views of the message. */
export function decodeEnded(bytes: Uint8Array): EndedDelivery[] {
  const reader = new ByteReader(bytes);
  const ended: EndedDelivery[] = [];
  while (reader.hasMore) ended.push(readEnded(reader));
  return ended;
}

function readEnded(reader: ByteReader): EndedDelivery {
  const id = reader.f64() as DeliveryId;
  const event = reader.f64() as EventSeq;
  const webhookId = reader.f64() as WebhookId;
  const eventId = reader.text();
  const userId = reader.text();
  const eventUid = reader.u8() === 1 ? reader.text() : null;
  const status = reader.u8() === 1 ? "success" : "dead";
  const reason = DEAD_REASONS[reader.u8()] ?? null;
  const attemptCount = reader.u32();
  const completedAt = reader.f64();
  const statusCode = reader.u16();
  const error = ATTEMPT_ERRORS[reader.u8()] ?? null;
  const durationMs = reader.f64();
  return {
    id,
    event,
    webhookId,
    eventId,
    userId,
    eventUid,
    status,
    reason,
    attemptCount,
    completedAt,
    statusCode: statusCode === 0 ? null : statusCode,
    error,
    durationMs: durationMs < 0 ? null : durationMs,
    contentType: reader.text(),
    payload: reader.bytes(),
  };
}
