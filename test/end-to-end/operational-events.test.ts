import { Webhook as StandardWebhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { startDaemon } from "../support/daemon.ts";
import { type Received, startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";

/** Breakers that open and close within a moment. */
const env = {
  HOOKD_BREAKER_CONSECUTIVE: "1",
  HOOKD_BREAKER_PROBE: "50ms",
  HOOKD_BREAKER_PROBE_MAX: "50ms",
  HOOKD_EVENTS_RECOVERED_AFTER: "0s",
  HOOKD_EVENTS_BEHIND_AFTER: "1s",
};

/** A daemon, an operator's receiver of hookd's own events, and a user's receiver. */
async function setup() {
  const [daemon, operator, receiver] = await Promise.all([
    startDaemon({ env }),
    startReceiver(),
    startReceiver(),
  ]);
  const post = async (path: string, body?: object) => {
    const answer = await daemon.call("POST", path, body);
    if (answer.status >= 300) throw new Error(answer.text);
    return answer.json;
  };
  const own = await post("/v1/webhooks", { event_id: "hookd.*", callback_url: operator.url });
  const webhook = (fields: object = {}) =>
    post("/v1/webhooks", { event_id: "order.paid", callback_url: receiver.url, user_id: "acme", ...fields });
  const publish = () => post("/v1/events", { event_id: "order.paid", payload: { id: 1 }, user_id: "acme" });
  const bodyOf = ({ body, headers }: Received) => {
    const text = body.toString("utf8");
    return new StandardWebhook(own.secret).verify(text, headers as Record<string, string>) as {
      type: string;
      // biome-ignore lint/suspicious/noExplicitAny: data of any kind of event
      data: any;
    };
  };
  const told = (type: string) => operator.received.map(bodyOf).filter((body) => body.type === type);
  const once = (type: string) => until(`${type} is told`, () => told(type)[0], 20_000);
  return { daemon, operator, receiver, own, webhook, publish, post, told, once };
}

test("a 410 and what died of it are told to the operator, signed, and the webhook's enabling too", async () => {
  const { daemon, operator, receiver, own, webhook, publish, post, told, once } = await setup();
  const { id } = await webhook();
  receiver.answer = () => ({ status: 410 });
  const { deliveries } = await publish();
  expect(await once("hookd.webhook.disabled")).toMatchObject({
    data: { reason: "gone", webhook: { id, user_id: "acme", event_id: "order.paid" }, open_deliveries: 0 },
  });
  const [first] = operator.received;
  expect(first?.headers).toMatchObject({
    "content-type": "application/json",
    "hookd-event-id": "hookd.webhook.disabled",
    "hookd-webhook-id": own.id,
    "webhook-id": expect.stringMatching(/^hookd_disabled_[0-9a-z]{26}_v2$/),
  });
  expect(await once("hookd.delivery.dead")).toMatchObject({
    data: {
      reason: "permanent",
      count: 1,
      webhook: { id },
      delivery: { id: deliveries[0].id, attempts: 1, status_code: 410 },
    },
  });
  await post(`/v1/webhooks/${id}/enable`);
  expect(await once("hookd.webhook.recovered")).toMatchObject({
    data: { reason: "enabled", disabled_reason: "gone", webhook: { id } },
  });
  expect(told("hookd.webhook.disabled")).toHaveLength(1);
  const { json } = await daemon.call("GET", "/v1/deliveries?user_id=hookd.operator&status=success");
  expect(json.data).toHaveLength(3);
  const { text } = await daemon.call("GET", "/metrics");
  expect(text).toContain('hookd_operational_events_total{event="hookd.webhook.disabled"} 1\n');
});

test("a receiver that answers again is told as recovered", async () => {
  const { receiver, webhook, publish, once } = await setup();
  const { id } = await webhook({ retry: { schedule: Array(50).fill("100ms") } });
  receiver.answer = () => ({ status: 500 });
  await publish();
  await receiver.waitFor(2);
  receiver.answer = () => ({ status: 200 });
  expect(await once("hookd.webhook.recovered")).toMatchObject({
    data: { reason: "success", disabled_reason: null, webhook: { id, host: new URL(receiver.url).host } },
  });
});

test("deaths that were not told when hookd was stopped are told after its next start", async () => {
  const { daemon, operator, receiver, webhook, publish, told } = await setup();
  await webhook();
  receiver.answer = () => ({ status: 404 });
  await publish();
  await until("the first one is told", () => told("hookd.delivery.dead").length === 1);
  // Within the minute in which no second event of the same webhook and reason is made.
  for (let count = 0; count < 4; count += 1) await publish();
  await receiver.waitFor(5);
  await until("all are dead", async () => {
    const { json } = await daemon.call("GET", "/v1/dlq?user_id=acme");
    return json.data.length === 5;
  });
  expect(await daemon.stop()).toBe(0);
  await startDaemon({ dataDir: daemon.dataDir, env });
  await until("the rest is told", () => told("hookd.delivery.dead").length === 2);
  expect(told("hookd.delivery.dead").map(({ data }) => data.count)).toEqual([1, 4]);
  expect(operator.received).toHaveLength(2);
});
