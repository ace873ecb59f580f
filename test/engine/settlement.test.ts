import { expect, test } from "vitest";
import type { AttemptError } from "../../src/domain/delivery.ts";
import { type EngineWorld, setup } from "../support/engine-world.ts";
import { type Answer, HANGS } from "../support/scripted-sender.ts";

const NO_JITTER = { "retry.jitter": 0, "retry.schedule": ["10s", "20s"] };
const MINUTE = 60_000;

async function firstOf(
  answer: Answer,
): Promise<{ world: EngineWorld; fate: string; dueInMs: number | null }> {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, answer);
  const id = await world.publishOne(webhook);
  await world.advance((answer.afterMs ?? 1) > 15_000 ? 15_000 : 10);
  const { dueAt } = await world.delivery(id);
  const endedAt = world.settled[0]!.attempt.startedAt + world.settled[0]!.attempt.durationMs;
  return { world, fate: await world.fate(id), dueInMs: dueAt === null ? null : dueAt - endedAt };
}

test.each([200, 201, 204, 299])("a %i is a success", async (status) => {
  expect((await firstOf({ status })).fate).toBe("success");
});

test.each([408, 425, 429, 500, 502, 503, 599, 301, 302, 308, 100])("a %i is tried again", async (status) => {
  expect(await firstOf({ status })).toMatchObject({ fate: "retrying", dueInMs: 10_000 });
});

test.each(["dns", "connect", "tls", "reset", "protocol"])("a %s failure is tried again", async (error) => {
  const first = await firstOf({ error: error as AttemptError });
  expect(first).toMatchObject({ fate: "retrying", dueInMs: 10_000 });
});

test("a timeout is tried again", async () => {
  expect(await firstOf(HANGS)).toMatchObject({ fate: "retrying", dueInMs: 10_000 });
});

test.each([400, 401, 404, 422])("a %i ends it as permanent", async (status) => {
  expect((await firstOf({ status })).fate).toBe("dead/permanent");
});

test("a blocked address ends it as blocked", async () => {
  expect((await firstOf({ error: "blocked" })).fate).toBe("dead/blocked");
});

test("a webhook has a say in what is permanent", async () => {
  const world = await setup();
  const webhook = await world.webhook({ permanent: ["503"] });
  world.receivers.set(webhook.id, (order) => ({ status: order.attemptNumber === 1 ? 404 : 503 }));
  const id = await world.publishOne(webhook);
  await world.advance(10);
  expect(await world.fate(id)).toBe("retrying");
  await world.advance(MINUTE);
  expect(await world.fate(id)).toBe("dead/permanent");
});

test("a delivery is tried by its schedule and then is exhausted", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500, afterMs: 100 });
  const id = await world.publishOne(webhook);
  await world.advance(MINUTE);
  expect(world.pace(webhook.id)).toEqual([0, 10_100, 30_200]);
  expect(await world.fate(id)).toBe("dead/exhausted");
  expect(await world.counter('hookd_deliveries_dead_total{reason="exhausted"}')).toBe(1);
});

test("no retry comes before its delay, nor much after one and a half of it", async () => {
  const world = await setup({ config: { "retry.schedule": ["10s"] } });
  const webhooks = await Promise.all(Array.from({ length: 30 }, () => world.webhook({}, { status: 500 })));
  for (const webhook of webhooks) await world.publish(webhook);
  await world.advance(20_000);
  for (const webhook of webhooks) {
    const [, second] = world.pace(webhook.id);
    expect(second).toBeGreaterThanOrEqual(10_001);
    expect(second).toBeLessThanOrEqual(15_001);
  }
});

test("Retry-After holds its delivery as long as it says, and its lane with it", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook();
  world.receivers.set(webhook.id, (order) =>
    order.attemptNumber === 1 ? { status: 503, retryAfterMs: 60_000 } : {},
  );
  const first = await world.publishOne(webhook);
  await world.advance(10);
  world.receivers.set(webhook.id, {});
  const second = await world.publishOne(webhook);
  await world.advance(59_900);
  expect(world.receivers.attempts).toHaveLength(1);
  expect(await world.live(webhook.id)).toMatchObject({
    parkedUntil: world.receivers.attempts[0]!.at + 60_001,
  });
  await world.advance(200);
  expect(new Set(world.order().slice(1))).toEqual(new Set([first, second]));
});

test("Retry-After holds the lane for five minutes at most, the delivery for all of it", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 429, retryAfterMs: 3_600_000 });
  const first = await world.publishOne(webhook);
  await world.advance(10);
  world.receivers.set(webhook.id, {});
  const second = await world.publishOne(webhook);
  await world.advance(5 * MINUTE - 100);
  expect(world.receivers.attempts).toHaveLength(1);
  await world.advance(200);
  expect(world.order()).toEqual([first, second]);
  await world.advance(55 * MINUTE - 300);
  expect(world.order()).toEqual([first, second]);
  await world.advance(1_000);
  expect(world.order()).toEqual([first, second, first]);
});

test("a shorter Retry-After does not end a longer one", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook();
  const waits = [120_000, 1_000];
  world.receivers.set(webhook.id, () => ({ status: 503, retryAfterMs: waits.shift() ?? 0 }));
  await world.publish(webhook, 2);
  await world.advance(10);
  world.receivers.set(webhook.id, {});
  await world.advance(119_900);
  expect(world.receivers.attempts).toHaveLength(2);
});

test("a cancelled delivery that waits ends at once", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const id = await world.publishOne(webhook);
  await world.advance(10);
  const cancelled = await world.call(world.director.cancelDelivery(id));
  expect(cancelled).toMatchObject({ status: "dead", reason: "cancelled" });
  await world.advance(MINUTE);
  expect(world.receivers.attempts).toHaveLength(1);
  await expect(world.call(world.director.cancelDelivery(id))).rejects.toMatchObject({ code: "not_open" });
});

test("a success in flight wins over a cancel", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 1_000 });
  const id = await world.publishOne(webhook);
  expect(await world.call(world.director.cancelDelivery(id))).toMatchObject({ status: "pending" });
  await world.advance(1_010);
  expect(await world.fate(id)).toBe("success");
});

test.each([{ status: 500 }, { status: 404 }, { error: "blocked" as const }])(
  "a failure of a cancelled delivery ends it as cancelled (%o)",
  async (answer) => {
    const world = await setup();
    const webhook = await world.webhook({}, { ...answer, afterMs: 1_000 });
    const id = await world.publishOne(webhook);
    await world.call(world.director.cancelDelivery(id));
    await world.advance(1_010);
    expect(await world.fate(id)).toBe("dead/cancelled");
  },
);

test("a cancel that comes while the outcome is being committed is not lost", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500, afterMs: 100 });
  const id = await world.publishOne(webhook);
  const release = world.tap.hold();
  await world.advance(150);
  const cancelled = world.director.cancelDelivery(id);
  setImmediate(release);
  await world.call(cancelled);
  expect(await world.fate(id)).toBe("dead/cancelled");
  await world.advance(MINUTE);
  expect(world.receivers.attempts).toHaveLength(1);
});

test("a failure whose webhook was switched off meanwhile ends as disabled, a success still wins", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook();
  const answers: Answer[] = [{ afterMs: 1_000 }, { afterMs: 1_000, status: 500 }];
  world.receivers.set(webhook.id, () => answers.shift()!);
  const ids = await world.publish(webhook, 2);
  await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
  await world.advance(1_010);
  expect(await world.fates(ids)).toEqual(["success", "dead/disabled"]);
});

test("a 410 switches its webhook off and ends what is open", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const changed: string[] = [];
  world.director.onWebhookChanged((userId) => changed.push(userId));
  const retrying = await world.publish(webhook, 3);
  await world.advance(100);
  world.receivers.set(webhook.id, { status: 410 });
  const gone = await world.publishOne(webhook);
  await world.advance(500);
  expect(await world.fate(gone)).toBe("dead/permanent");
  expect(await world.tally(retrying)).toEqual({ "dead/disabled": 3 });
  const [after] = await world.call(world.director.getWebhooks([webhook.id]));
  expect(after).toMatchObject({ isActive: false, disabledReason: "gone", version: 2 });
  expect(changed).toEqual(["user1"]);
  const late = await world.publishOne(webhook);
  expect(await world.fate(late)).toBe("dead/disabled");
  expect(await world.counter('hookd_deliveries_dead_total{reason="disabled"}')).toBe(4);
});

test("many 410s at once switch the webhook off once", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 1 });
  for (let round = 0; round < 4; round += 1) {
    await world.publish(webhook, 8);
    await world.advance(20);
  }
  world.receivers.set(webhook.id, { afterMs: 10, status: 410 });
  await world.publish(webhook, 8);
  await world.advance(500);
  const [after] = await world.call(world.director.getWebhooks([webhook.id]));
  expect(after).toMatchObject({ isActive: false, disabledReason: "gone", version: 2 });
});

test("an outcome with another lease's token, and a second one, are counted and change nothing", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { afterMs: 1_000 });
  const id = await world.publishOne(webhook);
  const { order } = world.receivers.attempts[0]!;
  const attempt = {
    number: 1,
    startedAt: world.time.now(),
    durationMs: 5,
    verdict: "success" as const,
    statusCode: 200,
    error: null,
    excerpt: null,
  };
  const outcome = { deliveryId: id, token: order.token, webhookId: webhook.id, attempt, retryAfterMs: null };
  world.director.takeOutcomes([{ ...outcome, token: order.token + 1 }]);
  await world.time.settle();
  expect(await world.fate(id)).toBe("pending");
  expect(await world.counter("hookd_outcomes_stale_total")).toBe(1);
  world.director.takeOutcomes([outcome, { ...outcome, attempt: { ...attempt, verdict: "retry" } }]);
  await world.time.settle();
  world.director.takeOutcomes([outcome]);
  await world.advance(2_000);
  expect(await world.fate(id)).toBe("success");
  expect(await world.counter("hookd_outcomes_stale_total")).toBe(4);
  expect(await world.counter("hookd_deliveries_succeeded_total")).toBe(1);
});

test("a settlement that the store finds stale frees its slot and counts nothing", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 100 });
  const id = await world.publishOne(webhook);
  await world.call(world.tap.store.release([{ id, token: world.receivers.attempts[0]!.order.token }]));
  await world.advance(200);
  expect(await world.counter("hookd_outcomes_stale_total")).toBe(1);
  expect(await world.counter("hookd_deliveries_succeeded_total")).toBe(0);
  expect(await world.gauge("hookd_in_flight")).toBe(0);
});

test("a retry on demand makes a waiting delivery due, leaves a leased one, and revives a dead one", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const id = await world.publishOne(webhook);
  expect(await world.call(world.director.retryDelivery(id))).toMatchObject({ isLeased: true });
  await world.advance(1_000);
  await world.call(world.director.retryDelivery(id));
  await world.advance(10);
  expect(world.pace(webhook.id)).toEqual([0, 1_000]);
  await world.call(world.director.retryDelivery(id));
  await world.advance(10);
  expect(await world.fate(id)).toBe("dead/exhausted");
  world.receivers.set(webhook.id, {});
  expect(await world.call(world.director.retryDelivery(id))).toMatchObject({
    status: "pending",
    roundStart: 3,
  });
  await world.advance(10);
  expect(await world.delivery(id)).toMatchObject({ status: "success", attemptCount: 4 });
  await expect(world.call(world.director.retryDelivery(id))).rejects.toMatchObject({
    code: "already_delivered",
  });
});

test("a retry on demand of what is due keeps its place", async () => {
  const world = await setup();
  const webhook = await world.webhook({ ordering: "fifo" }, { afterMs: 100 });
  const [first, second, third] = await world.publish(webhook, 3);
  await world.advance(50);
  await world.call(world.director.retryDelivery(second!));
  await world.advance(1_000);
  expect(world.order()).toEqual([first, second, third]);
});

test("a lost sender's deliveries count as an attempt and go on with another sender", async () => {
  const world = await setup({ config: NO_JITTER, senders: 2 });
  const webhooks = [await world.webhook({}, HANGS), await world.webhook({}, HANGS)];
  const ids = [];
  for (const webhook of webhooks) ids.push(...(await world.publish(webhook, 2)));
  const lost = world.receivers.attempts[0]!.sender;
  world.loseSender(lost);
  await world.time.settle();
  for (const webhook of webhooks) world.receivers.set(webhook.id, {});
  const gone = world.settled.filter(({ attempt }) => attempt.verdict === "lost");
  expect(gone.map(({ attempt }) => attempt.error)).toEqual(
    world.receivers.attempts.filter(({ sender }) => sender === lost).map(() => "lost"),
  );
  await world.advance(30_000);
  expect(await world.tally(ids)).toEqual({ success: ids.length });
  const { attempts } = (await world.call(world.director.getDelivery(gone[0]!.deliveryId)))!;
  expect(attempts.map(({ number, verdict }) => `${number} ${verdict}`)).toEqual(["1 lost", "2 success"]);
});

test("a delivery that kills its sender each time ends", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, HANGS);
  const id = await world.publishOne(webhook);
  for (let round = 0; round < 3; round += 1) {
    await world.advance(1_000);
    world.loseSender(0);
    await world.advance(30_000);
  }
  expect(await world.fate(id)).toBe("dead/exhausted");
});

test("a sender that dies does not open the breakers of its innocent lanes", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { afterMs: 1 });
  for (let round = 0; round < 4; round += 1) {
    await world.publish(webhook, 8);
    await world.advance(20);
  }
  world.receivers.set(webhook.id, { afterMs: 1_000 });
  await world.publish(webhook, 8);
  expect(await world.live(webhook.id)).toMatchObject({ inFlight: 8 });
  world.loseSender(0);
  await world.time.settle();
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed", inFlight: 0 });
});

test("much that is too old in one lane ends within a sweep or two", async () => {
  const world = await setup({ config: { "delivery.age_max": "10m" } });
  const webhook = await world.webhook();
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const ids = await world.publish(webhook, 4_000);
  await world.advance(10 * 60_000 + 25_000);
  expect(await world.tally(ids)).toEqual({ "dead/expired": 4_000 });
});
