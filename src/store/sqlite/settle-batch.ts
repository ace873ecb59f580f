import { ATTEMPT_ERRORS, type Attempt, DEAD_REASONS, STATUSES, VERDICTS } from "../../domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../../domain/ids.ts";
import { ByteReader, ByteWriter } from "../../lib/bytes.ts";
import type { Settlement } from "../port.ts";

/**
 * One commit's settlements as one row's bytes (format 1). Values are absolute, so that reading a batch twice, or one
 * whose effect the fold has already written, changes nothing.
 */
const FORMAT = 1;
const NONE = 255;
const INITIAL_BYTES = 16_384;

export type SettledRow = Omit<Settlement, "token">;

export function encodeSettlements(settlements: readonly SettledRow[]): Uint8Array {
  const writer = new ByteWriter(INITIAL_BYTES);
  writer.u8(FORMAT);
  for (const settlement of settlements) {
    writer.f64(settlement.id);
    writer.f64(settlement.webhookId);
    writer.u8(STATUSES.indexOf(settlement.status));
    writer.u8(indexOrNone(DEAD_REASONS, settlement.reason));
    writer.f64(settlement.dueAt ?? Number.NaN);
    writer.u32(settlement.attemptCount);
    writer.f64(settlement.settledAt);
    writer.u8(settlement.attempt ? 1 : 0);
    if (settlement.attempt) writeAttempt(writer, settlement.attempt);
  }
  return writer.take();
}

export function decodeSettlements(batch: Uint8Array): SettledRow[] {
  const reader = new ByteReader(batch);
  const format = reader.u8();
  if (format !== FORMAT) throw new Error(`settle row of format ${format}: this hookd reads format ${FORMAT}`);
  const settlements: SettledRow[] = [];
  while (reader.hasMore) {
    const id = reader.f64() as DeliveryId;
    const webhookId = reader.f64() as WebhookId;
    const status = STATUSES[reader.u8()] ?? "pending";
    const reason = DEAD_REASONS[reader.u8()] ?? null;
    const dueAt = reader.f64();
    const attemptCount = reader.u32();
    const settledAt = reader.f64();
    const attempt = reader.u8() === 1 ? readAttempt(reader) : null;
    settlements.push({
      id,
      webhookId,
      status,
      reason,
      dueAt: Number.isNaN(dueAt) ? null : dueAt,
      attemptCount,
      settledAt,
      attempt,
    });
  }
  return settlements;
}

function writeAttempt(writer: ByteWriter, attempt: Attempt): void {
  writer.u32(attempt.number);
  writer.f64(attempt.startedAt);
  writer.u32(Math.min(0xffff_ffff, Math.max(0, Math.round(attempt.durationMs))));
  writer.u8(VERDICTS.indexOf(attempt.verdict));
  writer.u16(attempt.statusCode ?? 0);
  writer.u8(indexOrNone(ATTEMPT_ERRORS, attempt.error));
  writer.bytes(attempt.excerpt ?? EMPTY);
}

function readAttempt(reader: ByteReader): Attempt {
  const number = reader.u32();
  const startedAt = reader.f64();
  const durationMs = reader.u32();
  const verdict = VERDICTS[reader.u8()] ?? "lost";
  const code = reader.u16();
  const error = ATTEMPT_ERRORS[reader.u8()] ?? null;
  const excerpt = reader.bytes();
  return {
    number,
    startedAt,
    durationMs,
    verdict,
    statusCode: code === 0 ? null : code,
    error,
    excerpt: excerpt.length === 0 ? null : Uint8Array.from(excerpt),
  };
}

const EMPTY = new Uint8Array(0);

function indexOrNone<T>(table: readonly T[], value: T | null): number {
  return value === null ? NONE : table.indexOf(value);
}
