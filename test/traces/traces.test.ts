import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { temporaryDirectory, until } from "../support/world.ts";
import { type Collector, startCollector } from "./collector.ts";
import type { CollectedSpan } from "./otlp.ts";

const CLIENT = 3;
const SERVER = 2;
const FAILED = 2;

/** A publisher's span, which hookd is to go on from. */
function publisher(flags = "01") {
  const traceId = randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}` };
}

function traceEnv(collector: Collector, more: Record<string, string> = {}): Record<string, string> {
  return { HOOKD_TRACE_ENDPOINT: collector.url, HOOKD_TRACE_SAMPLE: "0", ...more };
}

async function setup(env: Record<string, string> = {}, fields: Record<string, unknown> = {}) {
  const collector = await startCollector();
  const [daemon, receiver] = await Promise.all([
    startDaemon({ env: traceEnv(collector, env) }),
    startReceiver(),
  ]);
  const { status, json } = await daemon.call("POST", "/v1/webhooks", {
    event_id: "order.paid",
    callback_url: receiver.url,
    retry: { schedule: ["100ms"] },
    ...fields,
  });
  expect(status).toBe(201);
  return { collector, daemon, receiver, webhook: json };
}

function publish(daemon: TestDaemon, traceparent: string, payload: unknown = { n: 1 }) {
  return daemon.call("POST", "/v1/events", { event_id: "order.paid", payload }, { traceparent });
}

const named = (name: string) => (span: CollectedSpan) => span.name === name;

async function metric(daemon: TestDaemon, series: string): Promise<number> {
  const { text } = await daemon.call("GET", "/metrics");
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.split(" ")[1],
  );
}

test("a publisher's trace goes through its acceptance and both attempts, the failed one and the other", async () => {
  const { collector, daemon, receiver, webhook } = await setup();
  receiver.answer = (_request, count) => ({ status: count === 1 ? 500 : 200 });
  const { traceId, spanId, traceparent } = publisher();
  const { json } = await publish(daemon, traceparent);
  const spans = await collector.waitFor(3);
  expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
  expect(new Set(spans.map((span) => span.spanId)).size).toBe(3);

  const [accept] = spans.filter(named("accept"));
  expect(accept).toMatchObject({ parentSpanId: spanId, kind: SERVER, statusCode: 0 });
  expect(accept?.resource).toMatchObject({ "service.name": "hookd" });
  expect(accept?.attributes).toMatchObject({
    "hookd.event_id": "order.paid",
    "hookd.event_uid": json.event_uid,
    "hookd.user_id": "default",
    "hookd.delivery_count": 1,
    "hookd.duplicate": false,
  });

  const [first, second] = spans.filter(named("attempt"));
  for (const attempt of [first, second]) {
    expect(attempt).toMatchObject({ parentSpanId: accept?.spanId, kind: CLIENT });
    expect(attempt?.endMs).toBeGreaterThanOrEqual(attempt?.startMs ?? 0);
    expect(attempt?.attributes).toMatchObject({
      "hookd.delivery_id": json.deliveries[0].id,
      "hookd.webhook_id": webhook.id,
      "hookd.event_uid": json.event_uid,
      "server.address": "127.0.0.1",
    });
  }
  expect(first).toMatchObject({ statusCode: FAILED, statusMessage: "status 500" });
  expect(first?.attributes).toMatchObject({
    "hookd.attempt": 1,
    "hookd.status": "retrying",
    "hookd.verdict": "retry",
    "http.response.status_code": 500,
    "error.type": "500",
  });
  expect(Date.parse(String(first?.attributes["hookd.next_retry_at"]))).toBeGreaterThan(first?.endMs ?? 0);
  expect(second?.statusCode).toBe(0);
  expect(second?.attributes).toMatchObject({
    "hookd.attempt": 2,
    "hookd.status": "success",
    "http.response.status_code": 200,
  });
  expect(collector.paths[0]).toBe("POST /v1/traces");
  expect(receiver.received[0]?.headers).not.toHaveProperty("traceparent");
});

test("every way to publish is traced: the raw one, a batch as one span, a broadcast, and one that is refused", async () => {
  const { collector, daemon } = await setup();
  const raw = publisher();
  const headers = { "content-type": "text/plain", traceparent: raw.traceparent };
  await daemon.call("POST", "/v1/publish/order.paid", "raw", headers);
  // What has to be decoded goes the full way.
  const decoded = publisher();
  await daemon.call("POST", "/v1/publish/order%2Epaid", "raw", {
    ...headers,
    traceparent: decoded.traceparent,
  });
  const batch = publisher();
  const items = [1, 2, 3].map((n) => ({ event_id: n === 3 ? "not an id" : "order.paid", payload: n }));
  await daemon.call("POST", "/v1/events/batch", items, { traceparent: batch.traceparent });
  const broadcast = publisher();
  const toAll = { event_id: "order.paid", user_id: "*", payload: {} };
  await daemon.call("POST", "/v1/events", toAll, { traceparent: broadcast.traceparent });
  const conflict = publisher();
  const same = (payload: number) => ({ event_id: "order.paid", event_uid: "u-1", payload });
  await daemon.call("POST", "/v1/events", same(1));
  await daemon.call("POST", "/v1/events", same(2), { traceparent: conflict.traceparent });

  const of = async (trace: { traceId: string }, count: number) => {
    const spans = await collector.waitFor(count, (span) => span.traceId === trace.traceId);
    expect(spans).toHaveLength(count);
    const accept = spans.find(named("accept"));
    for (const attempt of spans.filter(named("attempt"))) expect(attempt.parentSpanId).toBe(accept?.spanId);
    return accept;
  };
  await of(raw, 2);
  await of(decoded, 2);
  expect((await of(batch, 3))?.attributes).toMatchObject({ "hookd.batch.size": 3, "hookd.batch.refused": 1 });
  expect((await of(broadcast, 2))?.attributes).toMatchObject({ "hookd.user_id": "*" });
  expect(await of(conflict, 1)).toMatchObject({
    statusCode: 0,
    attributes: { "error.type": "uid_conflict", "http.response.status_code": 409 },
  });
});

test("after a restart a retry still belongs to the publisher's trace, and so does a replay", async () => {
  const { collector, daemon, receiver } = await setup({}, { retry: { schedule: ["2s"] } });
  receiver.answer = () => ({ status: 500 });
  const { traceId, traceparent } = publisher();
  const { json } = await publish(daemon, traceparent);
  await collector.waitFor(2);
  await daemon.kill();

  const again = await startDaemon({ dataDir: daemon.dataDir, env: traceEnv(collector) });
  const delivery = `/v1/deliveries/${json.deliveries[0].id}`;
  await until("it is dead", async () => (await again.call("GET", delivery)).json.status === "dead");
  receiver.answer = () => ({ status: 200 });
  expect((await again.call("POST", `${delivery}/retry`)).status).toBe(200);
  const attempts = await collector.waitFor(3, named("attempt"));
  const [accept] = collector.spans.filter(named("accept"));
  expect(attempts.map((span) => [span.traceId, span.parentSpanId, span.attributes["hookd.attempt"]])).toEqual(
    [1, 2, 3].map((number) => [traceId, accept?.spanId, number]),
  );
  expect(attempts[1]?.statusMessage).toBe("status 500; the delivery is dead (exhausted)");
});

test("with propagate the receiver is sent a traceparent whose span is the attempt's", async () => {
  const { collector, daemon, receiver } = await setup({ HOOKD_TRACE_PROPAGATE: "true" });
  receiver.answer = (_request, count) => ({ status: count === 1 ? 500 : 200 });
  const { traceId, traceparent } = publisher();
  await publish(daemon, traceparent);
  const attempts = await collector.waitFor(2, named("attempt"));
  expect(receiver.received.map(({ headers }) => headers.traceparent)).toEqual(
    attempts.map(({ spanId }) => `00-${traceId}-${spanId}-01`),
  );
  await publish(daemon, publisher("00").traceparent);
  await receiver.waitFor(3);
  expect(receiver.received[2]?.headers).not.toHaveProperty("traceparent");
});

test("a publisher that does not record is not traced; of those that say nothing a share is", async () => {
  const { collector, daemon, receiver } = await setup({ HOOKD_TRACE_SAMPLE: "1" });
  const unrecorded = publisher("00");
  await publish(daemon, unrecorded.traceparent);
  await publish(daemon, "no-traceparent-at-all");
  await daemon.call("POST", "/v1/events", { event_id: "order.paid", payload: {} });
  await receiver.waitFor(3);
  const accepts = await collector.waitFor(2, named("accept"));
  await collector.waitFor(2, named("attempt"));
  expect(accepts.map((span) => span.parentSpanId)).toEqual(["", ""]);
  expect(new Set(accepts.map((span) => span.traceId)).size).toBe(2);
  expect(collector.spans.filter((span) => span.traceId === unrecorded.traceId)).toEqual([]);
});

test("a stop sends what has not been sent, and headers go along that no log and no command shows", async () => {
  const secret = "only-the-collector-knows";
  const { collector, daemon, receiver } = await setup({ HOOKD_TRACE_HEADERS: `x-api-key=${secret}` });
  await publish(daemon, publisher().traceparent);
  await receiver.waitFor(1);
  expect(await daemon.stop()).toBe(0);
  expect(collector.spans.map(({ name }) => name).sort()).toEqual(["accept", "attempt"]);
  expect(collector.headers[0]).toMatchObject({
    "x-api-key": secret,
    "content-type": "application/x-protobuf",
  });
  expect(daemon.log()).not.toContain(secret);
});

test("a collector that is away, and one that refuses, harm nothing; it is told once, counted, and made good", async () => {
  const { collector, daemon, receiver } = await setup();
  collector.status = 503;
  const first = publisher();
  await publish(daemon, first.traceparent);
  await until("it is failing", async () => (await metric(daemon, "hookd_trace_failing")) === 1);
  const second = publisher();
  expect((await publish(daemon, second.traceparent)).status).toBe(202);
  await receiver.waitFor(2);
  await until("it was tried again", () => collector.paths.length >= 2);
  collector.status = 200;
  await collector.waitFor(4);
  expect(await metric(daemon, 'hookd_trace_spans_total{result="sent"}')).toBe(4);
  expect(await metric(daemon, "hookd_trace_failing")).toBe(0);
  collector.status = 401;
  await publish(daemon, publisher().traceparent);
  const refused = 'hookd_trace_spans_total{result="refused"}';
  await until("they are refused", async () => (await metric(daemon, refused)) === 2);
  await collector.stop();
  expect((await publish(daemon, publisher().traceparent)).status).toBe(202);
  await receiver.waitFor(4);
  expect(await daemon.stop()).toBe(0);
  const lines = daemon.log().split("\n");
  expect(lines.filter((line) => line.includes("the collector takes no spans"))).toHaveLength(2);
  expect(lines.filter((line) => line.includes("takes spans again"))).toHaveLength(1);
  expect(lines.filter((line) => line.includes("spans were dropped"))).toHaveLength(1);
});

test("a collector that never answers holds up a stop by some seconds at most", async () => {
  const { collector, daemon, receiver } = await setup();
  collector.status = null;
  await publish(daemon, publisher().traceparent);
  await receiver.waitFor(1);
  expect(await daemon.stop()).toBe(0);
  expect(daemon.log()).toContain("spans were dropped");
});

test("switched off, nothing is sent, stored or loaded, whatever a publisher says", async () => {
  const collector = await startCollector();
  const receiver = await startReceiver();
  const dataDir = temporaryDirectory();
  const loaded = { NODE_OPTIONS: `--import ${new URL("note-loads.mjs", import.meta.url).href}` };
  const daemon = await startDaemon({ dataDir, env: { ...loaded, HOOKD_TRACE_PROPAGATE: "true" } });
  const fields = { event_id: "order.paid", callback_url: receiver.url };
  await daemon.call("POST", "/v1/webhooks", { ...fields, retry: { schedule: ["1h"] } });
  receiver.answer = () => ({ status: 500 });
  const { json } = await publish(daemon, publisher().traceparent);
  await receiver.waitFor(1);
  expect(receiver.received[0]?.headers).not.toHaveProperty("traceparent");
  expect(await daemon.stop()).toBe(0);
  expect(daemon.log()).toContain("loaded fastify");
  expect(daemon.log()).not.toContain("loaded @opentelemetry");

  // Switched on, a retry of what was accepted before has no trace to belong to.
  const traced = await startDaemon({ dataDir, env: { ...loaded, ...traceEnv(collector) } });
  receiver.answer = () => ({ status: 200 });
  await traced.call("POST", `/v1/deliveries/${json.deliveries[0].id}/retry`);
  await receiver.waitFor(2);
  expect(await traced.stop()).toBe(0);
  expect(traced.log()).toContain("loaded @opentelemetry");
  expect(collector.paths).toEqual([]);
});
