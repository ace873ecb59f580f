import { MessageChannel, type MessagePort } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { dedupeKey } from "../../src/domain/dedupe.ts";
import type { EventSeq, WebhookId } from "../../src/domain/ids.ts";
import { Problem } from "../../src/domain/problem.ts";
import type { PublishOutcome, PublishRequest } from "../../src/engine/port.ts";
import { ByteReader } from "../../src/lib/bytes.ts";
import { createEngineClient } from "../../src/threads/engine-client.ts";
import type { FromDirector, ToDirector } from "../../src/threads/messages.ts";
import { newWriter, readRequest, writeOutcome } from "../../src/threads/publish-codec.ts";

function setup() {
  const { port1, port2 } = new MessageChannel();
  const { engine, receive } = createEngineClient(port1);
  port1.on("message", (message: FromDirector) => receive(message));
  onTestFinished(() => port1.close());
  return { engine, receive, director: port2 };
}

function request(number: number, payload: Uint8Array = Buffer.from("{}")): PublishRequest {
  return {
    userId: "acme",
    eventId: `event-${number}`,
    uid: number % 2 ? `uid-${number}` : null,
    contentType: "application/json",
    payload,
    targets: [(number + 1) as WebhookId],
    trace: null,
  };
}

function eventOf(outcome: PublishOutcome | undefined): number {
  if (outcome === undefined || outcome instanceof Problem) throw outcome;
  return outcome.event;
}

function nextMessage(port: MessagePort): Promise<ToDirector> {
  return new Promise((resolve) => port.once("message", resolve));
}

/** Answers a message's events in order: accepted, with the number in the event id. */
function answer(port: MessagePort, message: ToDirector): PublishRequest[] {
  if (message.kind !== "publish") throw new Error(`unexpected ${message.kind}`);
  const reader = new ByteReader(message.bytes);
  const requests = Array.from({ length: message.count }, () => readRequest(reader));
  const writer = newWriter();
  for (const { eventId } of requests) {
    const event = Number(eventId.split("-")[1]) as EventSeq;
    writeOutcome(writer, { event, isDuplicate: false, deliveryCount: 1, deliveries: [], fanOut: null });
  }
  const answers = [{ group: message.group, count: message.count }];
  port.postMessage({ kind: "published", answers, bytes: writer.take() } satisfies FromDirector);
  return requests;
}

test("events published in one turn travel as one message, and each gets its own answer", async () => {
  const { engine, director } = setup();
  const arrived = nextMessage(director);
  const published = Promise.all([0, 1, 2].map((number) => engine.publish(request(number))));
  const requests = answer(director, await arrived);
  const dedupe = dedupeKey("acme", "uid-1", "event-1", "application/json", Buffer.from("{}"));
  expect(requests.map(({ eventId, uid, targets, dedupe }) => [eventId, uid, targets, dedupe])).toEqual([
    ["event-0", null, [1], null],
    ["event-1", "uid-1", [2], dedupe],
    ["event-2", null, [3], null],
  ]);
  expect((await published).map(({ event }) => event)).toEqual([0, 1, 2]);
});

test("many handed over at once travel in messages of 64, the last with others of their turn, and are answered in their order", async () => {
  const { engine, director } = setup();
  const arrived = nextMessage(director);
  const many = engine.publishMany(Array.from({ length: 100 }, (_, number) => request(number)));
  const alone = engine.publish(request(500));
  const second = engine.publishMany([request(501), request(502)]);
  const first = await arrived;
  const later = await nextMessage(director);
  // The later one is answered first, as where it is refused while the other one waits for the disk.
  expect(answer(director, later)).toHaveLength(39);
  expect(answer(director, first)).toHaveLength(64);
  expect((await many).map((outcome) => eventOf(outcome))).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect((await alone).event).toBe(500);
  expect((await second).map((outcome) => eventOf(outcome))).toEqual([501, 502]);
});

test("a message says how many events are not answered yet, with its own", async () => {
  const { engine, director } = setup();
  const outstandingIn = (message: ToDirector) => (message.kind === "publish" ? message.outstanding : null);
  const many = engine.publishMany([request(0), request(1), request(2)]);
  const first = await nextMessage(director);
  const outcome = Promise.withResolvers<PublishOutcome>();
  engine.submit(request(3), outcome.resolve);
  const second = await nextMessage(director);
  expect([outstandingIn(first), outstandingIn(second)]).toEqual([3, 4]);
  answer(director, first);
  answer(director, second);
  await many;
  expect(eventOf(await outcome.promise)).toBe(3);
  const last = engine.publish(request(4));
  const third = await nextMessage(director);
  expect(outstandingIn(third)).toBe(1);
  answer(director, third);
  await last;
});

test("of many those that fit are taken and each of the others is refused; a director that ends refuses all", async () => {
  const { engine, receive, director } = setup();
  director.on("message", (message: ToDirector) => answer(director, message));
  const large = new Uint8Array(7 * 1024 * 1024);
  const requests = Array.from({ length: 10 }, (_, number) => request(number, large));
  const outcomes = await engine.publishMany([...requests, request(10)]);
  expect(outcomes[9]).toMatchObject({ code: "overloaded" });
  // A smaller one behind it still fits.
  expect([...outcomes.slice(0, 9), outcomes[10]].map(eventOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 10]);
  expect(engine.isFull).toBe(false);
  const asked = engine.publishMany(Array.from({ length: 20_001 }, () => request(1)));
  expect(engine.isFull).toBe(true);
  const many = await asked;
  expect(engine.isFull).toBe(false);
  expect(many.filter((outcome) => !(outcome instanceof Problem))).toHaveLength(20_000);
  expect(many[20_000]).toMatchObject({ code: "overloaded" });
  expect(await engine.publishMany([])).toEqual([]);
  director.removeAllListeners("message");
  const lost = engine.publishMany([request(1), request(2)]);
  receive({ kind: "stopped" });
  expect(await lost).toMatchObject([{ code: "shutting_down" }, { code: "shutting_down" }]);
  expect(await engine.publishMany([request(3)])).toMatchObject([{ code: "shutting_down" }]);
});

test("an event that cannot be written is refused, and those after it arrive as they were", async () => {
  const { engine, director } = setup();
  const arrived = nextMessage(director);
  const unwritable = { ...request(1), contentType: "x".repeat(70_000) };
  await expect(engine.publish(unwritable)).rejects.toThrow(RangeError);
  const published = engine.publish(request(2));
  expect(answer(director, await arrived).map(({ eventId }) => eventId)).toEqual(["event-2"]);
  expect((await published).event).toBe(2);
});

test("while the director does not answer, events beyond the bound are refused and the others are kept", async () => {
  const { engine, director } = setup();
  const payload = new Uint8Array(8 * 1024 * 1024);
  const kept = Array.from({ length: 8 }, (_, number) => engine.publish(request(number, payload)));
  const refused = await engine.publish(request(8, payload)).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Problem);
  expect(refused).toMatchObject({ code: "overloaded", status: 503, retryAfterSeconds: 1 });
  director.on("message", (message: ToDirector) => answer(director, message));
  expect((await Promise.all(kept)).length).toBe(8);
  expect((await engine.publish(request(9, payload))).event).toBe(9);
});

test("a problem of a call arrives as a problem, with its details", async () => {
  const { engine, director } = setup();
  const arrived = nextMessage(director);
  const failed = engine.cancelDelivery(1 as never).catch((error: unknown) => error);
  const message = await arrived;
  if (message.kind !== "call") throw new Error(`unexpected ${message.kind}`);
  const problem = {
    code: "not_open",
    detail: "it has ended",
    details: { status: "dead" },
    retryAfterSeconds: null,
  } as const;
  director.postMessage({ kind: "threw", call: message.call, problem } satisfies FromDirector);
  expect(await failed).toMatchObject({ code: "not_open", status: 409, details: { status: "dead" } });
});

test("a broadcast's payload travels without the body that it is a part of, and counts against the bounds", async () => {
  const posted: ToDirector[] = [];
  const port = { postMessage: (message: ToDirector) => void posted.push(message) } as unknown as MessagePort;
  const { engine, receive } = createEngineClient(port);
  receive({ kind: "ready", salt: { a: 1, b: 2 } });
  const body = Buffer.alloc(1_048_576, "x");
  const event = { eventId: "a", uid: null, contentType: "text/plain", trace: null };
  const first = engine.broadcast({ ...event, payload: body.subarray(10, 20) });
  const [message] = posted;
  const [given] = (message as Extract<ToDirector, { kind: "call" }>).args as [{ payload: Uint8Array }];
  expect(given.payload.buffer.byteLength).toBe(10);
  expect(Buffer.from(given.payload).toString()).toBe("xxxxxxxxxx");
  const many = Array.from({ length: 64 }, () => engine.broadcast({ ...event, payload: body }));
  const refused = (await Promise.allSettled(many.slice(63)))[0];
  expect(refused).toMatchObject({ status: "rejected", reason: { code: "overloaded" } });
  receive({ kind: "stopped" });
  const settled = await Promise.allSettled([first, ...many]);
  expect(settled.every(({ status }) => status === "rejected")).toBe(true);
});
