import { expect, test } from "vitest";
import { setup } from "../support/engine-world.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const DAY = 86_400_000;
const NO_JITTER = { "retry.jitter": 0, "retry.schedule": ["10s"] };

test("a wall clock that jumps forward by days destroys nothing, and says so", async () => {
  const world = await setup({
    config: {
      ...NO_JITTER,
      "delivery.age_max": "10m",
      "breaker.disable_after": "10m",
      "retention.success": "10m",
      "retention.dead": "10m",
    },
  });
  const paused = await world.webhook();
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  const failing = await world.webhook({}, { status: 500 });
  const gone = await world.webhook({}, { status: 404 });
  const done = await world.webhook();
  const ids = [];
  for (const webhook of [paused, failing, gone, done]) ids.push(...(await world.publish(webhook, 1)));
  await world.advance(SECOND);
  world.time.jump(4 * DAY);
  await world.advance(5 * MINUTE);
  expect(await world.fates(ids)).toEqual(["pending", "dead/exhausted", "dead/permanent", "success"]);
  const [webhook] = await world.call(world.director.getWebhooks([failing.id]));
  expect(webhook).toMatchObject({ isActive: true });
  expect(await world.gauge("hookd_clock_suspended")).toBe(1);
  expect(world.warnings).toHaveLength(1);
  await world.advance(20 * MINUTE);
  expect(await world.fate(ids[0]!)).toBe("pending");
  world.time.jump(-4 * DAY);
  await world.advance(SECOND);
});

test("the operator's word ends the suspension", async () => {
  const world = await setup({ config: { "delivery.age_max": "10m" } });
  const webhook = await world.webhook();
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const id = await world.publishOne(webhook);
  await world.stop();
  world.time.jump(DAY);
  await world.start();
  await world.advance(MINUTE);
  expect(await world.fate(id)).toBe("pending");
  expect(await world.gauge("hookd_clock_suspended")).toBe(1);
  await world.stop();
  await world.start(true);
  await world.advance(MINUTE);
  expect(await world.fate(id)).toBe("dead/expired");
  expect(await world.gauge("hookd_clock_suspended")).toBe(0);
});

test("a wall clock that is set back leaves retries where they were, and deliveries go on", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const other = await world.webhook();
  await world.publish(webhook, 1);
  await world.advance(2 * SECOND);
  world.time.jump(-3_600_000);
  const fresh = await world.publishOne(other);
  await world.advance(10);
  expect(await world.fate(fresh)).toBe("success");
  await world.advance(10 * SECOND);
  const [, second] = world.pace(webhook.id);
  expect(second).toBeGreaterThanOrEqual(10_001);
  expect(second).toBeLessThanOrEqual(11_000);
});

test("a wall clock that is set forward is noticed within a second", async () => {
  const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["30m"] } });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(2 * SECOND);
  world.time.jump(30 * MINUTE);
  await world.advance(SECOND + 10);
  expect(world.receivers.attempts).toHaveLength(2);
});

test("a clock stepped every five seconds loses nothing", async () => {
  const world = await setup({ config: { ...NO_JITTER, "breaker.consecutive": 1000, "breaker.ratio": 1 } });
  const webhook = await world.webhook();
  world.receivers.set(webhook.id, (order) => (order.attemptNumber === 1 ? { status: 500 } : {}));
  const ids = [];
  for (let step = 0; step < 40; step += 1) {
    ids.push(...(await world.publish(webhook, 3)));
    await world.advance(5 * SECOND);
    world.time.jump((step % 2 === 0 ? 1 : -1) * (1 + (step % 7)) * 10 * SECOND);
  }
  await world.advance(10 * MINUTE);
  expect(await world.tally(ids)).toEqual({ success: 120 });
});

test("a wall clock that was set back while hookd was down delays nothing that waits, and keeps the order", async () => {
  const world = await setup();
  const webhook = await world.webhook({ ordering: "fifo" });
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const ids = await world.publish(webhook, 2);
  await world.advance(20 * SECOND);
  await world.stop();
  world.time.jump(-60 * MINUTE);
  await world.start();
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: false }));
  await world.advance(5 * SECOND);
  ids.push(...(await world.publish(webhook, 1)));
  await world.advance(5 * SECOND);
  expect(await world.fates(ids)).toEqual(["success", "success", "success"]);
  expect(world.order(webhook.id)).toEqual(ids);
});

test("a uid is known after the wall clock jumped beyond its window", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  const request = world.requestFor(webhook, "order-1");
  await world.publishResult(request);
  await world.advance(SECOND);
  world.time.jump(30 * DAY);
  await world.advance(5 * MINUTE);
  expect(await world.publishResult(request)).toMatchObject({ isDuplicate: true });
});
