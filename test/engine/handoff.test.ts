import { expect, test } from "vitest";
import { setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";

test("a fresh delivery goes from the commit to its sender, without a read", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  const id = await world.publishOne(webhook);
  expect(world.order()).toEqual([id]);
  await world.advance(10);
  expect(world.tap.leases).toEqual([]);
  expect(await world.fate(id)).toBe("success");
  expect(await world.counter("hookd_deliveries_handed_off_total")).toBe(1);
});

test("what its lane has no room for waits, and goes when an attempt ends", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 100 });
  const ids = await world.publish(webhook, 3);
  expect(world.order()).toEqual(ids.slice(0, 2));
  await world.advance(99);
  expect(world.receivers.attempts).toHaveLength(2);
  await world.advance(1);
  expect(world.order()).toEqual(ids);
  expect(world.tap.leases.flat().map(({ status }) => status)).toEqual(["pending"]);
  await world.advance(200);
  expect(await world.tally(ids)).toEqual({ success: 3 });
});

test("a fresh delivery does not overtake older ones of its lane", async () => {
  const world = await setup();
  const webhook = await world.webhook({ concurrencyMax: 1 }, { afterMs: 100 });
  const ids = await world.publish(webhook, 3);
  await world.advance(100);
  ids.push(await world.publishOne(webhook));
  await world.advance(1_000);
  expect(world.order()).toEqual(ids);
});

test("a retry that is due goes before what came later", async () => {
  const world = await setup({ config: { "retry.jitter": 0, "retry.schedule": ["1s"] } });
  const webhook = await world.webhook({ concurrencyMax: 1 });
  let failures = 1;
  world.receivers.set(webhook.id, () => {
    failures -= 1;
    return failures < 0 ? { afterMs: 10 } : { afterMs: 10, status: 500 };
  });
  const first = await world.publishOne(webhook);
  await world.advance(500);
  world.receivers.set(webhook.id, { afterMs: 600 });
  const second = await world.publishOne(webhook);
  await world.advance(550);
  const third = await world.publishOne(webhook);
  await world.advance(3_000);
  expect(world.order()).toEqual([first, second, first, third]);
});

test("a delivery that is accepted in the moment in which a retry comes due goes after it", async () => {
  const world = await setup({ config: { "retry.jitter": 0, "retry.schedule": ["10s"] } });
  const webhook = await world.webhook({ concurrencyMax: 1 }, { status: 500 });
  const first = await world.publishOne(webhook);
  world.time.after(10_001, () => void world.director.publishMany([world.requestFor(webhook)]));
  await world.advance(1_000);
  world.receivers.set(webhook.id, { afterMs: 100 });
  await world.advance(9_010);
  expect(world.order()).toEqual([first, first]);
  await world.advance(1_000);
  expect(world.receivers.attempts).toHaveLength(3);
});

test("oldest due goes first, whichever of the two queues it is in", async () => {
  const world = await setup({ config: { "retry.jitter": 0, "retry.schedule": ["10s"] } });
  const webhook = await world.webhook({}, { status: 500 });
  const old = await world.publish(webhook, 2);
  await world.advance(5_000);
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const before = await world.publish(webhook, 2);
  await world.advance(10_000);
  const after = await world.publish(webhook, 2);
  world.receivers.set(webhook.id, { afterMs: 5 });
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: false, concurrencyMax: 1 }));
  await world.advance(1_000);
  expect(world.order().slice(2)).toEqual([...before, ...old, ...after]);
});

test("a lane that hangs does not hold up another's handoff", async () => {
  const world = await setup();
  const broken = await world.webhook({}, HANGS);
  const healthy = await world.webhook();
  await world.publish(broken, 10);
  await world.publish(healthy, 2);
  await world.advance(5);
  expect(world.receivers.of(healthy.id)).toHaveLength(2);
});

/** Deliveries wait, one for each of `count` webhooks; while they are leased, some of them 5 ms after the others, one more is published. */
async function publishDuringLeases(count: number, inFlightMax: number) {
  const world = await setup({ config: { "delivery.in_flight_max": inFlightMax } });
  const webhooks = await Promise.all(
    Array.from({ length: count + 1 }, () => world.webhook({}, { afterMs: 1_000 })),
  );
  const last = webhooks.pop()!;
  await world.call(world.director.pause());
  await world.call(world.director.publishMany(webhooks.map((webhook) => world.requestFor(webhook))));
  let isPublished = false;
  world.tap.delay = (method) => {
    if (method !== "lease") return null;
    world.time.spend(5);
    if (!isPublished) void world.director.publishMany([world.requestFor(last)]);
    isPublished = true;
    return null;
  };
  await world.call(world.director.resume());
  await world.advance(20_000);
  expect(world.receivers.attempts).toHaveLength(count + 1);
  return world.receivers.attempts.findIndex(({ order }) => order.webhookId === last.id);
}

test("a fresh delivery does not wait for those that stand in the queue while half of the slots are free", async () => {
  expect(await publishDuringLeases(300, 1_000)).toBeLessThan(130);
});

test("a fresh delivery stands in the queue behind the others once half of the slots are taken", async () => {
  expect(await publishDuringLeases(300, 100)).toBe(300);
});

test("in a fifo lane no delivery overtakes one whose commit is still on its way", async () => {
  const world = await setup();
  const fifo = await world.webhook({ ordering: "fifo", rateLimit: { perSecond: 10, burst: 1 } });
  const other = await world.webhook();
  const first = await world.publishOne(fifo);
  await world.advance(50);
  const release = world.tap.hold();
  const publish = (webhooks: readonly (typeof fifo)[]) =>
    world.director.publishMany(webhooks.map((webhook) => world.requestFor(webhook)));
  // It waits, as the rate has no token for it...
  const waiting = publish([fifo]);
  await world.time.settle();
  // ...and has one again when the next commit is made beside its own.
  await world.advance(200);
  const beside = publish([fifo, ...Array.from({ length: 80 }, () => other)]);
  await world.advance(20);
  expect(world.tap.commits.filter(({ appends }) => appends.length > 0)).toHaveLength(3);
  release();
  const [second, third] = (await world.call(Promise.all([waiting, beside]))).map(([outcome]) => {
    if (!outcome || outcome instanceof Error) throw outcome ?? new Error("no outcome");
    return outcome.deliveries[0]!.id;
  });
  await world.advance(2_000);
  const order = world.receivers.attempts
    .filter(({ order: { webhookId } }) => webhookId === fifo.id)
    .map(({ order: { deliveryId } }) => deliveryId);
  expect(order).toEqual([first, second, third]);
});
