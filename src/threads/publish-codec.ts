import { type DedupeKey, dedupeKey } from "../domain/dedupe.ts";
import type { DeliveryId, EventSeq, JobId, WebhookId } from "../domain/ids.ts";
import { PROBLEMS, Problem, type ProblemCode } from "../domain/problem.ts";
import { decodeTraceContext, encodeTraceContext } from "../domain/trace-context.ts";
import type { PublishOutcome, PublishRequest } from "../engine/port.ts";
import { type ByteReader, ByteWriter } from "../lib/bytes.ts";
import { Interned, Repeated } from "../lib/interned.ts";

/** Which of the parts that may be missing are there: bits of one byte. */
const HAS_UID = 1;
const HAS_TRACE = 2;

/** What is the same in many events lives on in the director's rows. */
const common = new Interned();
const lastType = new Repeated((bytes) => common.of(bytes.toString()));

/**
 * Events from the intake to the director, and the answers back: messages of plain bytes, each of what came within a moment
 * (messages.ts). Uids are hashed on this side: the director is the one that all others wait for.
 */
export function writeRequest(writer: ByteWriter, request: PublishRequest): void {
  const { userId, eventId, uid, contentType, payload, trace } = request;
  writer.text(userId);
  writer.text(eventId);
  writer.u8((uid === null ? 0 : HAS_UID) | (trace === null ? 0 : HAS_TRACE));
  if (uid !== null) {
    writer.text(uid);
    writeDedupe(writer, dedupeKey(userId, uid, eventId, contentType, payload));
  }
  if (trace !== null) writer.bytes(encodeTraceContext(trace));
  writer.text(contentType);
  writer.u16(request.targets.length);
  for (const target of request.targets) writer.f64(target);
  writer.bytes(payload);
}

/** The payload is a view of the message. */
export function readRequest(reader: ByteReader): PublishRequest {
  const userId = common.of(reader.text());
  const eventId = common.of(reader.text());
  const parts = reader.u8();
  const hasUid = (parts & HAS_UID) !== 0;
  const uid = hasUid ? reader.text() : null;
  const dedupe = hasUid ? readDedupe(reader) : null;
  const trace = (parts & HAS_TRACE) === 0 ? null : decodeTraceContext(reader.bytes());
  const contentType = reader.repeatedText(lastType);
  const targets: WebhookId[] = [];
  for (let count = reader.u16(); count > 0; count -= 1) targets.push(reader.f64() as WebhookId);
  return { userId, eventId, uid, contentType, targets, payload: reader.bytes(), trace, dedupe };
}

function writeDedupe(writer: ByteWriter, { uidHigh, uidLow, content }: DedupeKey): void {
  writer.f64(uidHigh);
  writer.f64(uidLow);
  writer.f64(content);
}

function readDedupe(reader: ByteReader): DedupeKey {
  return { uidHigh: reader.f64(), uidLow: reader.f64(), content: reader.f64() };
}

const ACCEPTED = 0;
const DUPLICATE = 1;
const REFUSED = 2;

export function writeOutcome(writer: ByteWriter, outcome: PublishOutcome): void {
  if (outcome instanceof Problem) {
    writer.u8(REFUSED);
    writer.text(outcome.code);
    writer.text(outcome.message.slice(0, 1_000));
    writer.u32(outcome.retryAfterSeconds ?? 0);
    return;
  }
  writer.u8(outcome.isDuplicate ? DUPLICATE : ACCEPTED);
  writer.f64(outcome.event);
  writer.u32(outcome.deliveryCount);
  writer.f64(outcome.fanOut ?? 0);
  writer.u8(outcome.deliveries.length);
  for (const delivery of outcome.deliveries) {
    writer.f64(delivery.id);
    writer.f64(delivery.webhookId);
  }
}

export function readOutcome(reader: ByteReader): PublishOutcome {
  const kind = reader.u8();
  if (kind === REFUSED) {
    const code = reader.text();
    const detail = reader.text();
    const retryAfterSeconds = reader.u32();
    const known: ProblemCode = code in PROBLEMS ? (code as ProblemCode) : "internal";
    return new Problem(known, detail, retryAfterSeconds > 0 ? { retryAfterSeconds } : {});
  }
  const event = reader.f64() as EventSeq;
  const deliveryCount = reader.u32();
  const fanOut = reader.f64();
  const deliveries = Array.from({ length: reader.u8() }, () => ({
    id: reader.f64() as DeliveryId,
    webhookId: reader.f64() as WebhookId,
  }));
  return {
    event,
    isDuplicate: kind === DUPLICATE,
    deliveryCount,
    deliveries,
    fanOut: fanOut === 0 ? null : (fanOut as JobId),
  };
}

export function newWriter(): ByteWriter {
  return new ByteWriter(32_768);
}
