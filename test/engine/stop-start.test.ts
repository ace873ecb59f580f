import { expect, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import { setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";

const SECOND = 1_000;
const NO_JITTER = { "retry.jitter": 0, "retry.schedule": ["10s"] };

test("an event that comes while hookd starts is told to come again in a moment", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  await world.stop();
  const started = world.restart();
  expect(world.director.refusal).toBe("starting");
  const [refused] = await world.director.publishMany([world.requestFor(webhook)]);
  expect(refused).toMatchObject({ code: "store_unavailable", retryAfterSeconds: 1 });
  await started;
});

test("a stop lets what is in flight end, records it, and sends nothing more", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 3 * SECOND });
  const ids = await world.publish(webhook, 10);
  const stopped = world.director.stop();
  const late = await world.call(world.director.publishMany([world.requestFor(webhook)]));
  expect(late[0]).toMatchObject({ code: "shutting_down", status: 503 });
  await expect(
    world.call(
      world.director.broadcast({
        eventId: "a",
        uid: null,
        contentType: "",
        payload: Buffer.of(),
        trace: null,
      }),
    ),
  ).rejects.toMatchObject({ code: "shutting_down" });
  expect(world.director.refusal).toBe("shutting_down");
  const from = world.time.mono();
  await world.time.until(stopped, 10 * SECOND);
  expect(world.time.mono() - from).toBeLessThan(3_100);
  world.isRunning = false;
  expect(world.receivers.attempts).toHaveLength(2);
  await world.start();
  await world.advance(20 * SECOND);
  expect(await world.tally(ids)).toEqual({ success: 10 });
  expect(world.receivers.attempts).toHaveLength(10);
});

test("what does not end within the drain time is released, and picked up at once by the next start", async () => {
  const world = await setup({ config: { "delivery.drain": "2s" } });
  const webhook = await world.webhook({}, HANGS);
  const ids = await world.publish(webhook, 3);
  const from = world.time.mono();
  await world.stop();
  expect(world.time.mono() - from).toBeGreaterThanOrEqual(2 * SECOND);
  expect(world.time.mono() - from).toBeLessThan(3 * SECOND);
  world.receivers.set(webhook.id, {});
  await world.start();
  await world.advance(10);
  expect(await world.tally(ids)).toEqual({ success: 3 });
  expect(await world.delivery(ids[0]!)).toMatchObject({ attemptCount: 1 });
});

test("a stop with nothing under way takes no time", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  await world.publish(webhook, 1);
  await world.advance(10);
  const from = world.time.mono();
  await world.stop();
  expect(world.time.mono()).toBe(from);
});

test("a stop ends while a slow replay runs, while the disk is full, and while outcomes keep coming", async () => {
  const world = await setup({ config: { "delivery.drain": "1s" } });
  const webhook = await world.webhook({}, { status: 404 });
  await world.publish(webhook, 2);
  await world.advance(10);
  await world.call(
    world.director.createJob({
      kind: "replay",
      userId: null,
      select: { webhookId: webhook.id },
      ratePerSecond: 0.01,
    }),
  );
  world.receivers.set(webhook.id, { afterMs: 100 });
  const ids = await world.publish(webhook, 20);
  await world.advance(SECOND);
  world.tap.fault = (method) =>
    ["commit", "putSetting"].includes(method) ? new Problem("disk_full", "full") : null;
  const { order } = world.receivers.attempts.at(-1)!;
  let isOver = false;
  const pester = () => {
    if (isOver) return;
    world.director.takeOutcomes([
      {
        deliveryId: order.deliveryId,
        token: 0,
        webhookId: order.webhookId,
        retryAfterMs: null,
        attempt: {
          number: 1,
          startedAt: 0,
          durationMs: 0,
          verdict: "retry",
          statusCode: 500,
          error: null,
          excerpt: null,
        },
      },
    ]);
    world.time.after(1, pester);
  };
  pester();
  await world.stop();
  isOver = true;
  world.tap.fault = () => null;
  await world.start();
  await world.advance(5 * SECOND);
  expect(await world.tally(ids)).toEqual({ success: 20 });
});

test("a crash loses nothing that was accepted; what was in flight is sent again at once", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { afterMs: 5 * SECOND });
  const ids = await world.publish(webhook, 4);
  await world.advance(SECOND);
  world.crash();
  await world.restart();
  expect(world.receivers.attempts).toHaveLength(4);
  expect(world.receivers.attempts[2]!.order.attemptNumber).toBe(1);
  await world.advance(20 * SECOND);
  expect(await world.tally(ids)).toEqual({ success: 4 });
});

test("a crash before a commit ends loses only what was not answered", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  const known = await world.publishOne(webhook);
  world.tap.hold();
  let answered = false;
  void world.director.publishMany([world.requestFor(webhook)]).then(() => {
    answered = true;
  });
  await world.advance(SECOND);
  world.crash();
  await world.restart();
  await world.advance(SECOND);
  expect(answered).toBe(false);
  const { items } = await world.call(world.director.listDeliveries({}, { limit: 10, before: null }));
  expect(items.map(({ id, status }) => [id, status])).toEqual([[known, "success"]]);
});

test("retries keep their time over a restart", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(3 * SECOND);
  await world.restart();
  await world.advance(3 * SECOND);
  world.crash();
  await world.restart();
  await world.advance(10 * SECOND);
  expect(world.pace(webhook.id)).toEqual([0, 10_001]);
});

test("lanes with nothing to do are forgotten, and their targets at the senders too", async () => {
  const world = await setup({ senders: 2 });
  const webhooks = await Promise.all(Array.from({ length: 50 }, () => world.webhook()));
  for (const webhook of webhooks) await world.publish(webhook);
  await world.advance(SECOND);
  const targets = () => world.senders.reduce((sum, sender) => sum + sender.targets.size, 0);
  expect([await world.gauge("hookd_lanes"), targets()]).toEqual([50, 50]);
  world.loseSender(0);
  await world.advance(6 * 60 * SECOND);
  expect([await world.gauge("hookd_lanes"), targets()]).toEqual([0, 0]);
  await world.publish(webhooks[0]!);
  await world.advance(10);
  expect(world.receivers.of(webhooks[0]!.id)).toHaveLength(2);
});

test("a backlog costs no memory: no more is read than there are slots for", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 8 } });
  const webhook = await world.webhook({}, { afterMs: 10 });
  await world.publish(webhook, 2_000);
  let peak = 0;
  world.receivers.onAttempt = () => {
    peak = Math.max(peak, world.receivers.inFlightInAll);
  };
  await world.advance(SECOND);
  const asked = world.tap.leases.flat().reduce((sum, { limit }) => sum + limit, 0);
  expect(asked).toBeLessThanOrEqual(world.receivers.attempts.length);
  expect(peak).toBeLessThanOrEqual(8);
});

test("a change of queues that leases overtake is no drift, and nothing is stuck behind it", async () => {
  const world = await setup({ config: { ...NO_JITTER, "cache.entries": 1 } });
  const webhook = await world.webhook({}, { afterMs: 100 });
  const other = await world.webhook();
  const ids = await world.publish(webhook, 10);
  await world.publish(other);
  // The store has ended them; that is counted only when it has read their webhook, which the cache does not hold.
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.tap.delay = (method) => (method === "getWebhooks" ? released : null);
  const cancels = ids.slice(2).map((id) => world.director.cancelDelivery(id));
  await world.advance(SECOND);
  expect(world.receivers.of(webhook.id)).toHaveLength(2);
  expect((await world.live(webhook.id)).backlog).toBe(8);
  release();
  await world.call(Promise.all(cancels));
  expect(await world.tally(ids)).toEqual({ success: 2, "dead/cancelled": 8 });
  expect(await world.gauge("hookd_queue_depth")).toBe(0);
  const revived = ids.slice(2).map((id) => world.director.retryDelivery(id));
  await world.call(Promise.all(revived));
  await world.advance(2 * SECOND);
  expect(await world.tally(ids)).toEqual({ success: 10 });
});

test("a stop does not wait for a store that does not answer, though what expired is to be counted", async () => {
  const world = await setup({ config: { "cache.entries": 1, "delivery.age_max": "1h" } });
  const webhook = await world.webhook();
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  await world.publish(webhook, 3);
  await world.webhook();
  const gone = new Problem("store_unavailable", "the store does not answer");
  let asked = 0;
  world.tap.fault = (method) => {
    if (method !== "getWebhooks") return null;
    asked += 1;
    return gone;
  };
  await world.advance(2 * 60 * 60 * SECOND);
  expect(asked).toBeGreaterThan(0);
  await world.stop();
});
