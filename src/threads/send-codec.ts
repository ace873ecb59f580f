import { ATTEMPT_ERRORS, VERDICTS } from "../domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../domain/ids.ts";
import { ByteReader, type ByteWriter } from "../lib/bytes.ts";
import { InternedBytes, Repeated } from "../lib/interned.ts";
import type { Outcome, SendOrder } from "../sender/port.ts";
import { MESSAGE_BYTES_MAX, MESSAGE_ENTRIES_MAX } from "./messages.ts";

/** A batch of orders in parts of one message each: after batches of events it may be thousands. */
export function* inMessages(orders: readonly SendOrder[]): Generator<readonly SendOrder[]> {
  let start = 0;
  let bytes = 0;
  for (const [index, { payload }] of orders.entries()) {
    const isFull = index - start === MESSAGE_ENTRIES_MAX || bytes + payload.length > MESSAGE_BYTES_MAX;
    if (isFull && index > start) {
      yield orders.slice(start, index);
      start = index;
      bytes = 0;
    }
    bytes += payload.length;
  }
  if (start < orders.length) yield start === 0 ? orders : orders.slice(start);
}

/** Orders from the director to a sender, and outcomes back: one message of plain bytes per batch. */
export function encodeOrders(writer: ByteWriter, orders: readonly SendOrder[]): Uint8Array<ArrayBuffer> {
  for (const order of orders) {
    writer.f64(order.deliveryId);
    writer.f64(order.token);
    writer.f64(order.webhookId);
    writer.u32(order.attemptNumber);
    writer.text(order.eventUid);
    writer.text(order.eventId);
    writer.text(order.contentType);
    writer.bytes(order.payload);
    writer.u8(order.traceparent === null ? 0 : 1);
    if (order.traceparent !== null) writer.text(order.traceparent);
  }
  return writer.take();
}

const lastType = new Repeated((bytes) => bytes.toString());

/** Payloads are views of the message. */
export function decodeOrders(bytes: Uint8Array): SendOrder[] {
  const reader = new ByteReader(bytes);
  const orders: SendOrder[] = [];
  while (reader.hasMore) {
    orders.push({
      deliveryId: reader.f64() as DeliveryId,
      token: reader.f64(),
      webhookId: reader.f64() as WebhookId,
      attemptNumber: reader.u32(),
      eventUid: reader.text(),
      eventId: reader.text(),
      contentType: reader.repeatedText(lastType),
      payload: reader.bytes(),
      traceparent: reader.u8() === 0 ? null : reader.text(),
    });
  }
  return orders;
}

const NONE = 255;
/** Most receivers say the same few bytes each time, and the row of each delivery holds them until the fold has written it. */
const excerpts = new InternedBytes();
const lastExcerpt = new Repeated((bytes) => (bytes.length === 0 ? null : excerpts.of(bytes)));

export function writeAttemptOutcome(writer: ByteWriter, outcome: Outcome): void {
  const { attempt } = outcome;
  writer.f64(outcome.deliveryId);
  writer.f64(outcome.token);
  writer.f64(outcome.webhookId);
  writer.f64(outcome.retryAfterMs ?? -1);
  writer.u32(attempt.number);
  writer.f64(attempt.startedAt);
  writer.f64(attempt.durationMs);
  writer.u8(VERDICTS.indexOf(attempt.verdict));
  writer.u16(attempt.statusCode ?? 0);
  writer.u8(attempt.error === null ? NONE : ATTEMPT_ERRORS.indexOf(attempt.error));
  writer.bytes(attempt.excerpt ?? EMPTY);
}

export function decodeOutcomes(bytes: Uint8Array): Outcome[] {
  const reader = new ByteReader(bytes);
  const outcomes: Outcome[] = [];
  while (reader.hasMore) {
    const deliveryId = reader.f64() as DeliveryId;
    const token = reader.f64();
    const webhookId = reader.f64() as WebhookId;
    const retryAfterMs = reader.f64();
    const number = reader.u32();
    const startedAt = reader.f64();
    const durationMs = reader.f64();
    const verdict = VERDICTS[reader.u8()] ?? "lost";
    const statusCode = reader.u16();
    const error = ATTEMPT_ERRORS[reader.u8()] ?? null;
    // No view: it would keep the whole message alive until the fold has written the row.
    const excerpt = reader.repeatedBytes(lastExcerpt);
    outcomes.push({
      deliveryId,
      token,
      webhookId,
      retryAfterMs: retryAfterMs < 0 ? null : retryAfterMs,
      attempt: {
        number,
        startedAt,
        durationMs,
        verdict,
        statusCode: statusCode === 0 ? null : statusCode,
        error,
        excerpt,
      },
    });
  }
  return outcomes;
}

const EMPTY = new Uint8Array(0);
