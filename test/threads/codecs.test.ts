import fc from "fast-check";
import { expect, test } from "vitest";
import { type DedupeKey, dedupeKey } from "../../src/domain/dedupe.ts";
import { ATTEMPT_ERRORS, VERDICTS } from "../../src/domain/delivery.ts";
import type { DeliveryId, EventSeq, JobId, WebhookId } from "../../src/domain/ids.ts";
import { Problem } from "../../src/domain/problem.ts";
import type { PublishRequest } from "../../src/engine/port.ts";
import { ByteReader, ByteWriter } from "../../src/lib/bytes.ts";
import type { SendOrder } from "../../src/sender/port.ts";
import {
  newWriter,
  readOutcome,
  readRequest,
  writeOutcome,
  writeRequest,
} from "../../src/threads/publish-codec.ts";
import {
  decodeOrders,
  decodeOutcomes,
  encodeOrders,
  inMessages,
  writeAttemptOutcome,
} from "../../src/threads/send-codec.ts";
import { traceContext } from "../traces/arbitrary.ts";

const seq = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Uint8Array.from(array));
const text = fc.string({ unit: "binary", maxLength: 60 });

const request = fc.record({
  userId: text,
  eventId: text,
  uid: fc.option(text),
  contentType: text,
  targets: fc.array(seq, { maxLength: 5 }) as fc.Arbitrary<WebhookId[]>,
  payload: bytes,
  trace: fc.option(traceContext),
});

test("publish requests come out of the bytes as they went in, with the hash of what has a uid", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 20 }), (requests) => {
      const writer = newWriter();
      for (const one of requests) writeRequest(writer, one);
      const reader = new ByteReader(writer.take());
      const read = requests.map(() => readRequest(reader));
      const hashed = requests.map((one) => ({ ...one, dedupe: hashOf(one) }));
      expect(read.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) }))).toEqual(hashed);
      expect(reader.hasMore).toBe(false);
    }),
  );
});

function hashOf({ userId, uid, eventId, contentType, payload }: PublishRequest): DedupeKey | null {
  return uid === null ? null : dedupeKey(userId, uid, eventId, contentType, payload);
}

test("publish results and problems come out of the bytes as they went in", () => {
  const delivery = fc.record({
    id: seq as fc.Arbitrary<DeliveryId>,
    webhookId: seq as fc.Arbitrary<WebhookId>,
  });
  const result = fc.record({
    event: seq as fc.Arbitrary<EventSeq>,
    isDuplicate: fc.boolean(),
    deliveryCount: fc.nat({ max: 1_000_000 }),
    deliveries: fc.array(delivery, { maxLength: 100 }),
    fanOut: fc.option(fc.integer({ min: 1 }) as fc.Arbitrary<JobId>),
  });
  const problem = fc
    .tuple(text, fc.integer({ min: 1, max: 60 }))
    .map(([detail, retryAfterSeconds]) => new Problem("lane_full", detail, { retryAfterSeconds }));
  fc.assert(
    fc.property(fc.array(fc.oneof(result, problem), { maxLength: 20 }), (outcomes) => {
      const writer = newWriter();
      for (const one of outcomes) writeOutcome(writer, one);
      const reader = new ByteReader(writer.take());
      expect(outcomes.map(() => readOutcome(reader))).toEqual(outcomes);
    }),
  );
});

test("orders come out of the bytes as they went in", () => {
  const order = fc.record({
    deliveryId: seq as fc.Arbitrary<DeliveryId>,
    token: seq,
    webhookId: fc.integer() as fc.Arbitrary<WebhookId>,
    attemptNumber: fc.nat(),
    eventUid: text,
    eventId: text,
    contentType: text,
    payload: bytes,
    traceparent: fc.option(text),
  });
  fc.assert(
    fc.property(fc.array(order, { maxLength: 20 }), (orders) => {
      const read = decodeOrders(encodeOrders(new ByteWriter(16), orders));
      expect(read.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) }))).toEqual(orders);
    }),
  );
});

test("a large batch of orders goes in messages of 64 at most, or of 256 KiB of payloads, all of it and in order", () => {
  const payloads = [0, 1_000, 5_000, 256 * 1024, 300 * 1024].map((size) => new Uint8Array(size));
  const sizes = fc.array(fc.constantFrom(...payloads), { maxLength: 300 });
  fc.assert(
    fc.property(sizes, (given) => {
      const orders = given.map((payload, deliveryId) => ({ deliveryId, payload }) as SendOrder);
      const messages = [...inMessages(orders)];
      expect(messages.flat()).toEqual(orders);
      for (const message of messages) {
        const bytes = message.reduce((sum, { payload }) => sum + payload.length, 0);
        expect(message.length).toBeGreaterThan(0);
        expect(message.length).toBeLessThanOrEqual(64);
        expect(message.length === 1 || bytes <= 256 * 1024).toBe(true);
      }
      // None is smaller than it has to be.
      for (const [index, message] of messages.slice(0, -1).entries()) {
        const next = messages[index + 1]?.[0]?.payload.length ?? 0;
        const bytes = message.reduce((sum, { payload }) => sum + payload.length, 0);
        expect(message.length === 64 || bytes + next > 256 * 1024).toBe(true);
      }
    }),
  );
});

test("outcomes come out of the bytes as they went in", () => {
  const outcome = fc.record({
    deliveryId: seq as fc.Arbitrary<DeliveryId>,
    token: seq,
    webhookId: seq as fc.Arbitrary<WebhookId>,
    retryAfterMs: fc.option(fc.nat()),
    attempt: fc.record({
      number: fc.nat(),
      startedAt: seq,
      durationMs: fc.nat(),
      verdict: fc.constantFrom(...VERDICTS),
      statusCode: fc.option(fc.integer({ min: 100, max: 999 })),
      error: fc.option(fc.constantFrom(...ATTEMPT_ERRORS)),
      excerpt: fc.option(bytes.filter((array) => array.length > 0)),
    }),
  });
  fc.assert(
    fc.property(fc.array(outcome, { maxLength: 20 }), (outcomes) => {
      const writer = new ByteWriter(16);
      for (const one of outcomes) writeAttemptOutcome(writer, one);
      expect(decodeOutcomes(writer.take())).toEqual(outcomes);
    }),
  );
});
