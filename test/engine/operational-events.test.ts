import { expect, test } from "vitest";
import { formatId } from "../../src/domain/ids.ts";
import { Problem } from "../../src/domain/problem.ts";
import { type EngineWorld, setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";
import { eventsOf, operator, sumOfCounts } from "./operator.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const QUICK = {
  "retry.jitter": 0,
  "retry.schedule": ["1s", "1s"],
  "breaker.consecutive": 2,
  "breaker.probe": "10s",
  "breaker.probe_max": "10s",
};

function idOf(world: EngineWorld, id: number): string {
  return formatId("wh", id, world.director.salt);
}

test("without an operator's webhook nothing of its own is published, and nothing waits to be", async () => {
  const world = await setup({ config: QUICK });
  const webhook = await world.webhook({}, { status: 410 });
  await world.publish(webhook, 5);
  await world.advance(10 * MINUTE);
  expect(world.receivers.attempts.every(({ order }) => !order.eventId.startsWith("hookd."))).toBe(true);
  const { counters } = await world.director.stats();
  expect(counters['hookd_operational_events_total{event="hookd.webhook.disabled"}']).toBe(0);
  const { events } = await operator(world);
  await world.advance(MINUTE);
  expect(events()).toEqual([]);
});

test("a 410 is told as a webhook disabled, with who, why, and what ended with it", async () => {
  const world = await setup({ config: QUICK });
  const { events } = await operator(world);
  const webhook = await world.webhook({ userId: "acme" }, () =>
    world.receivers.of(webhook.id).length > 3 ? { status: 410 } : { status: 500 },
  );
  await world.publish(webhook, 3);
  await world.advance(2 * MINUTE);
  const [disabled] = events().filter(({ type }) => type === "hookd.webhook.disabled");
  expect(disabled).toMatchObject({
    uid: expect.stringMatching(/^hookd_disabled_[0-9a-z]{26}_v2$/),
    timestamp: expect.stringMatching(/^2026-11-22T08:3\d:\d\d\.\d{3}Z$/),
    data: {
      webhook: {
        id: idOf(world, webhook.id),
        user_id: "acme",
        event_id: webhook.eventId,
        host: "receiver.example",
      },
      reason: "gone",
      failing_since: expect.stringMatching(/^2026-11-22T08:30/),
      open_deliveries: 2,
    },
  });
  expect(events().filter(({ type }) => type === "hookd.webhook.disabled")).toHaveLength(1);
  expect(await world.counter('hookd_operational_events_total{event="hookd.webhook.disabled"}')).toBe(1);
});

test("nothing but failure, and a user's switch, are told with their reasons; a deletion is not", async () => {
  const world = await setup({ config: { ...QUICK, "breaker.disable_after": "1m" } });
  const { events } = await operator(world, "hookd.webhook.disabled");
  const failing = await world.webhook({ retry: { kind: "list", delaysMs: Array(20).fill(10_000) } }, HANGS);
  await world.publishOne(failing);
  await world.advance(5 * MINUTE);
  const switched = await world.webhook();
  await world.call(world.director.updateWebhook(switched.id, { isActive: false }));
  await world.call(world.director.deleteWebhook((await world.webhook()).id));
  await world.advance(SECOND);
  expect(events().map(({ data }) => [data.webhook.id, data.reason])).toEqual([
    [idOf(world, failing.id), "failing"],
    [idOf(world, switched.id), "user"],
  ]);
});

test("the first success after a breaker was open for long is told, and one after a flap is not", async () => {
  const world = await setup({ config: { ...QUICK, "events.recovered_after": "1m" } });
  const { events } = await operator(world, "hookd.webhook.recovered");
  const retry = { kind: "list", delaysMs: Array(90).fill(5_000) } as const;
  const flapping = await world.webhook({ retry }, { status: 500 });
  const broken = await world.webhook({ retry }, { status: 500 });
  await world.publish(flapping, 3);
  await world.publish(broken, 3);
  await world.advance(20 * SECOND);
  world.receivers.set(flapping.id, {});
  await world.advance(2 * MINUTE);
  expect(events()).toEqual([]);
  // It answers, but takes nothing: that is no recovery yet.
  world.receivers.set(broken.id, { status: 404 });
  await world.publishOne(broken);
  await world.advance(MINUTE);
  expect(await world.live(broken.id)).toMatchObject({ breaker: "closed" });
  expect(events()).toEqual([]);
  world.receivers.set(broken.id, {});
  await world.publish(broken, 2);
  await world.advance(MINUTE);
  expect(events()).toHaveLength(1);
  expect(events()[0]).toMatchObject({
    uid: expect.stringMatching(/^hookd_recovered_[0-9a-z]{26}_\d{13}$/),
    data: { webhook: { id: idOf(world, broken.id) }, reason: "success", disabled_reason: null },
  });
  expect(Date.parse(events()[0]!.data.broken_since)).toBeLessThan(world.time.now() - 3 * MINUTE);
});

test("that a breaker opened is known after a crash, also once a final answer closed it: its recovery is told", async () => {
  const world = await setup({ config: QUICK });
  const { webhook: own } = await operator(world, "hookd.webhook.recovered");
  const retry = { kind: "list", delaysMs: Array(90).fill(5_000) } as const;
  const broken = await world.webhook({ retry }, { status: 500 });
  await world.publish(broken, 3);
  await world.advance(4 * MINUTE);
  world.receivers.set(broken.id, { status: 404 });
  await world.advance(2 * MINUTE);
  expect(await world.live(broken.id)).toMatchObject({ breaker: "closed" });
  world.crash();
  await world.restart();
  world.receivers.set(broken.id, {});
  await world.publishOne(broken);
  await world.advance(MINUTE);
  expect(eventsOf(world, own)).toHaveLength(1);
});

test("a webhook that is switched on again is told as recovered, with why it was off", async () => {
  const world = await setup({ config: QUICK });
  const { events } = await operator(world, "hookd.webhook.recovered");
  const webhook = await world.webhook({}, { status: 410 });
  await world.publishOne(webhook);
  await world.advance(SECOND);
  await world.call(world.director.updateWebhook(webhook.id, { isActive: true }));
  await world.advance(SECOND);
  expect(events()).toMatchObject([
    { uid: expect.stringMatching(/_v3$/), data: { reason: "enabled", disabled_reason: "gone" } },
  ]);
});

test("a death is told with its delivery, reason and error", async () => {
  const world = await setup({ config: QUICK });
  const { events } = await operator(world, "hookd.delivery.dead");
  const webhook = await world.webhook({}, { status: 404 });
  const id = await world.publishOne(webhook);
  await world.advance(2 * SECOND);
  const { salt } = world.director;
  expect(events()).toMatchObject([
    {
      data: {
        webhook: { id: idOf(world, webhook.id), user_id: "user1" },
        reason: "permanent",
        count: 1,
        delivery: {
          id: formatId("dlv", id, salt),
          event_id: webhook.eventId,
          event_uid: formatId("evt", id, salt),
          attempts: 1,
          status_code: 404,
          error: null,
        },
      },
    },
  ]);
});

test("a flood of deaths is told by few events, whose counts add up", async () => {
  const world = await setup({ config: { ...QUICK, "events.dead_per_minute": 10 } });
  const { events } = await operator(world, "hookd.delivery.dead");
  const webhooks = [];
  for (let index = 0; index < 15; index += 1) webhooks.push(await world.webhook({}, { status: 404 }));
  for (let round = 0; round < 10; round += 1) {
    for (const webhook of webhooks) await world.publish(webhook, 20);
    await world.advance(5 * SECOND);
  }
  expect(events()).toHaveLength(10);
  expect(new Set(events().map(({ data }) => data.webhook.id)).size).toBe(10);
  await world.advance(5 * MINUTE);
  expect(sumOfCounts(events())).toBe(15 * 10 * 20);
  expect(await world.counter('hookd_deliveries_dead_total{reason="permanent"}')).toBe(15 * 10 * 20);
  expect(events().length).toBeLessThanOrEqual(10 + 20);
});

test("every way to die is counted: refused as off, by jobs, by a user, by age", async () => {
  const world = await setup({ config: { ...QUICK, "delivery.age_max": "1h" } });
  const { events } = await operator(world, "hookd.delivery.dead");
  const off = await world.webhook({ isActive: false });
  await world.publish(off, 3);
  const paused = await world.webhook();
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  const [first] = await world.publish(paused, 8);
  await world.call(world.director.cancelDelivery(first!));
  await world.advance(2 * MINUTE);
  await world.call(world.director.deleteWebhook(paused.id));
  const aged = await world.webhook();
  await world.call(world.director.updateWebhook(aged.id, { isPaused: true }));
  await world.publish(aged, 4);
  await world.advance(3 * 60 * MINUTE);
  const counts: Record<string, number> = {};
  for (const { data } of events()) counts[data.reason] = (counts[data.reason] ?? 0) + data.count;
  expect(counts).toEqual({ cancelled: 1, disabled: 3 + 7, expired: 4 });
});

test("deaths that were counted and not told when hookd stopped are told by the next one", async () => {
  const world = await setup({ config: { ...QUICK, "events.dead_per_minute": 1 } });
  const { webhook: own } = await operator(world, "hookd.delivery.dead");
  const webhooks = [await world.webhook({}, { status: 404 }), await world.webhook({}, { status: 404 })];
  for (const webhook of webhooks) await world.publish(webhook, 7);
  await world.advance(10 * SECOND);
  for (const webhook of webhooks) await world.publish(webhook, 5);
  await world.advance(10 * SECOND);
  expect(sumOfCounts(eventsOf(world, own))).toBe(7);
  await world.restart();
  await world.restart();
  await world.advance(5 * MINUTE);
  expect(sumOfCounts(eventsOf(world, own))).toBe(24);
  await world.restart();
  await world.advance(5 * MINUTE);
  expect(sumOfCounts(eventsOf(world, own))).toBe(24);
});

test("hookd starts on a full disk with deaths that it could not tell before, and the next start tells them", async () => {
  const world = await setup({ config: { ...QUICK, "events.dead_per_minute": 1 } });
  const { webhook: own } = await operator(world, "hookd.delivery.dead");
  for (const count of [4, 3]) await world.publish(await world.webhook({}, { status: 404 }), count);
  await world.advance(10 * SECOND);
  expect(sumOfCounts(eventsOf(world, own))).toBe(4);
  await world.stop();
  const full = new Problem("disk_full", "planted");
  world.tap.fault = (method) => (method === "commit" || method === "putSetting" ? full : null);
  await world.restart();
  world.tap.fault = () => null;
  await world.advance(5 * MINUTE);
  await world.publish(await world.webhook({}, { status: 404 }), 2);
  await world.advance(10 * SECOND);
  await world.restart();
  await world.advance(5 * MINUTE);
  expect(sumOfCounts(eventsOf(world, own))).toBe(9);
});

test("while the store takes nothing nothing is lost of what is to be told", async () => {
  const world = await setup({ config: QUICK });
  const { events } = await operator(world);
  const webhook = await world.webhook({}, { status: 404 });
  await world.publish(webhook, 3);
  await world.advance(10);
  const full = new Problem("disk_full", "planted");
  world.tap.fault = (method) => (method === "commit" || method === "putSetting" ? full : null);
  const switched = await world.webhook();
  await world.call(world.director.updateWebhook(switched.id, { isActive: false }));
  await world.advance(10 * SECOND);
  expect(events()).toEqual([]);
  world.tap.fault = () => null;
  await world.advance(2 * MINUTE);
  expect(sumOfCounts(events())).toBe(3);
  const disabled = events().filter(({ type }) => type === "hookd.webhook.disabled");
  expect(disabled).toMatchObject([{ data: { reason: "user", webhook: { id: idOf(world, switched.id) } } }]);
});
