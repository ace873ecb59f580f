import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import { expect, test } from "vitest";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";
import { type Received, startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";

const OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

async function setup(fields: Record<string, unknown> = {}) {
  const [daemon, receiver] = await Promise.all([startDaemon(), startReceiver()]);
  const created = await daemon.call("POST", "/v1/webhooks", {
    event_id: "order.paid",
    callback_url: `${receiver.url}/hooks`,
    secret: OLD,
    ...fields,
  });
  expect(created.status).toBe(201);
  return { daemon, receiver, webhook: created.json };
}

function verifyWithLibraries(received: Received, secret: string): void {
  const headers = received.headers as Record<string, string>;
  const text = received.body.toString("utf8");
  expect(new StandardWebhook(secret).verify(text, headers)).toEqual(JSON.parse(text));
  // svix gives nothing back; it throws where the signature is wrong.
  expect(() => new SvixWebhook(secret).verify(text, headers)).not.toThrow();
  const event = Stripe.webhooks.constructEvent(text, headers["x-signature"] ?? "", secret);
  expect(event).toEqual(JSON.parse(text));
}

async function settled(daemon: TestDaemon, id: string) {
  return until("the delivery has ended", async () => {
    const { json } = await daemon.call("GET", `/v1/deliveries/${id}`);
    return ["success", "dead"].includes(json.status) && json;
  });
}

test("the receivers' own libraries verify what hookd sent, before, during and after a rotation", async () => {
  const { daemon, receiver, webhook } = await setup();
  const send = () =>
    daemon.call("POST", "/v1/events", { event_id: "order.paid", payload: { object: "event", n: 1.5 } });
  await send();
  await receiver.waitFor(1);
  verifyWithLibraries(receiver.received[0]!, OLD);

  const rotated = await daemon.call("POST", `/v1/webhooks/${webhook.id}/rotate-secret`, {
    secret: NEW,
    overlap: "24h",
  });
  expect(rotated.status).toBe(200);
  await send();
  await receiver.waitFor(2);
  verifyWithLibraries(receiver.received[1]!, OLD);
  verifyWithLibraries(receiver.received[1]!, NEW);

  await daemon.call("POST", `/v1/webhooks/${webhook.id}/rotate-secret`, { secret: NEW, overlap: "0s" });
  await send();
  await receiver.waitFor(3);
  verifyWithLibraries(receiver.received[2]!, NEW);
  expect(() => verifyWithLibraries(receiver.received[2]!, OLD)).toThrow();
});

test("payload bytes arrive as they were published: numbers, key order, white space, any body", async () => {
  const { daemon, receiver } = await setup();
  const payload = '{ "z": 1.0,\n "a":12345678901234567890, "e" : 1E+2, "u":"\\u00e9é" , "a":2}';
  await daemon.call("POST", "/v1/events", `{"event_id":"order.paid","payload":${payload}}`);
  await receiver.waitFor(1);
  expect(receiver.received[0]?.body.toString("utf8")).toBe(payload);

  const bytes = Uint8Array.from([0, 255, 254, 1, 10, 13]);
  await daemon.call("POST", "/v1/publish/order.paid", bytes, { "content-type": "application/x-thing" });
  await receiver.waitFor(2);
  expect([...(receiver.received[1]?.body ?? [])]).toEqual([...bytes]);
  expect(receiver.received[1]?.headers["content-type"]).toBe("application/x-thing");
});

test("every header of the contract is on the wire, and the user's own ones", async () => {
  const { daemon, receiver, webhook } = await setup({ headers: { "x-team": "blue" } });
  await daemon.call("POST", "/v1/events", { event_id: "order.paid", event_uid: "order-1", payload: {} });
  await receiver.waitFor(1);
  expect(receiver.received[0]?.headers).toMatchObject({
    "content-type": "application/json",
    "user-agent": expect.stringMatching(/^hookd\/\d/),
    "webhook-id": "order-1",
    "x-webhook-id": "order-1",
    "hookd-event-id": "order.paid",
    "hookd-webhook-id": webhook.id,
    "hookd-attempt": "1",
    "x-team": "blue",
  });
});

test("a failing delivery is retried on schedule, dies as exhausted, and is delivered by a replay", async () => {
  const { daemon, receiver } = await setup({ retry: { schedule: ["100ms", "100ms"] } });
  receiver.answer = () => ({ status: 500, body: "no\u001b[31m" });
  const sent = await daemon.call("POST", "/v1/events", { event_id: "order.paid", payload: { id: 2 } });
  const id = sent.json.deliveries[0].id;
  const dead = await settled(daemon, id);
  expect(dead).toMatchObject({ status: "dead", reason: "exhausted", attempt_count: 3, response_code: 500 });
  expect(dead.attempts.map((attempt: { number: number }) => attempt.number)).toEqual([1, 2, 3]);

  receiver.answer = () => ({ status: 204 });
  const replayed = await daemon.call("POST", "/v1/dlq/replay", { event_id: "order.paid" });
  expect(replayed.status).toBe(202);
  const done = await until("the replay has delivered", async () => {
    const { json } = await daemon.call("GET", `/v1/deliveries/${id}`);
    return json.status === "success" && json;
  });
  expect(done.attempt_count).toBe(4);
  expect(new Set(receiver.received.map((one) => one.headers["webhook-id"])).size).toBe(1);
});

test("a 410 switches the webhook off, and enabling it with replay recovers what died", async () => {
  const { daemon, receiver, webhook } = await setup();
  receiver.answer = () => ({ status: 410 });
  await daemon.call("POST", "/v1/events", { event_id: "order.paid", payload: {} });
  await until("the webhook is off", async () => {
    const { json } = await daemon.call("GET", `/v1/webhooks/${webhook.id}`);
    return json.is_active === false && json.disabled_reason === "gone";
  });
  const whileOff = await daemon.call("POST", "/v1/events", {
    event_id: "order.paid",
    payload: { while: "off" },
  });
  expect(await settled(daemon, whileOff.json.deliveries[0].id)).toMatchObject({
    status: "dead",
    reason: "disabled",
  });

  receiver.answer = () => ({ status: 200 });
  const enabled = await daemon.call("POST", `/v1/webhooks/${webhook.id}/enable`, { replay: true });
  expect(enabled.status).toBe(200);
  await until("what died while it was off is delivered", async () => {
    const { json } = await daemon.call("GET", `/v1/deliveries/${whileOff.json.deliveries[0].id}`);
    return json.status === "success";
  });
});

test("a test sends a signed sample and answers with the attempt", async () => {
  const { daemon, receiver, webhook } = await setup();
  const { status, json } = await daemon.call("POST", `/v1/webhooks/${webhook.id}/test`);
  expect({ status, verdict: json.verdict, code: json.status_code }).toEqual({
    status: 200,
    verdict: "success",
    code: 200,
  });
  verifyWithLibraries(receiver.received[0]!, OLD);
});

test("a restart delivers what was waiting, and knows the uids that were given before it", async () => {
  const { daemon, receiver } = await setup();
  await daemon.call("POST", "/v1/events", { event_id: "order.paid", event_uid: "u-1", payload: { n: 1 } });
  await receiver.waitFor(1);
  const port = Number(new URL(daemon.server).port);
  expect(await daemon.stop()).toBe(0);
  const again = await startDaemon({ dataDir: daemon.dataDir, port });
  const same = await again.call("POST", "/v1/events", {
    event_id: "order.paid",
    event_uid: "u-1",
    payload: { n: 1 },
  });
  expect(same).toMatchObject({ status: 202, json: { duplicate: true, event_uid: "u-1" } });
  const other = await again.call("POST", "/v1/events", {
    event_id: "order.paid",
    event_uid: "u-1",
    payload: { n: 2 },
  });
  expect(other).toMatchObject({ status: 409, json: { code: "uid_conflict" } });
  expect(receiver.received).toHaveLength(1);
});
