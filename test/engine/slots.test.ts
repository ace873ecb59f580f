import { expect, test } from "vitest";
import { setup } from "../support/engine-world.ts";

test("a success gives its slot to the next delivery before it is on disk", async () => {
  const world = await setup();
  const webhook = await world.webhook({ concurrencyMax: 1 }, { afterMs: 10 });
  await world.publish(webhook, 3);
  const release = world.tap.hold();
  await world.advance(15);
  expect(world.receivers.attempts).toHaveLength(2);
  release();
  await world.advance(100);
  expect(world.receivers.attempts).toHaveLength(3);
});

test("a failure keeps its slot until it is on disk", async () => {
  const world = await setup();
  const webhook = await world.webhook({ concurrencyMax: 1 }, { afterMs: 10, status: 500 });
  await world.publish(webhook, 3);
  const release = world.tap.hold();
  await world.advance(15);
  expect(world.receivers.attempts).toHaveLength(1);
  release();
});

test("the next of an ordered lane waits until the one before it is on disk", async () => {
  const world = await setup();
  const webhook = await world.webhook({ ordering: "fifo" }, { afterMs: 10 });
  await world.publish(webhook, 3);
  const release = world.tap.hold();
  await world.advance(15);
  expect(world.receivers.attempts).toHaveLength(1);
  release();
});

test("while the disk stands still, no more successes wait for it than there are slots", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 4 } });
  const webhook = await world.webhook({}, { afterMs: 10 });
  await world.publish(webhook, 40);
  const release = world.tap.hold();
  const before = world.receivers.attempts.length;
  await world.advance(5_000);
  expect(world.receivers.attempts.length - before).toBeLessThanOrEqual(8);
  expect(await world.gauge("hookd_in_flight")).toBeLessThanOrEqual(8);
  release();
  await world.advance(5_000);
  expect(world.receivers.attempts).toHaveLength(40);
});

test("a user with more than its share of the slots leaves a tenth to those who have less", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 40 } });
  const flooding = await world.webhook({ userId: "flooding" }, { afterMs: 100 });
  const other = await world.webhook({ userId: "other" }, { afterMs: 100 });
  for (const webhook of [flooding, other]) {
    for (let round = 0; round < 6; round += 1) {
      await world.publish(webhook, 20);
      await world.advance(1_000);
    }
  }
  await world.publish(other, 1);
  await world.publish(flooding, 200);
  expect(world.receivers.inFlight.get(flooding.id)).toBe(35);
  await world.publish(other, 4);
  expect(world.receivers.inFlight.get(other.id)).toBe(5);
  await world.advance(10_000);
  expect(world.receivers.inFlightInAll).toBe(0);
});

test("a user that is alone takes all slots", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 40 } });
  const webhook = await world.webhook({}, { afterMs: 100 });
  for (let round = 0; round < 7; round += 1) {
    await world.publish(webhook, 20);
    await world.advance(1_000);
  }
  await world.publish(webhook, 200);
  expect(world.receivers.inFlightInAll).toBe(40);
});

test("a broadcast to many does not stand before what others publish", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 10 } });
  const other = await world.webhook({ userId: "other", eventId: "mine" }, { afterMs: 20 });
  await world.publish(other, 20);
  await world.advance(1_000);
  const everyone = 600;
  for (let user = 0; user < everyone; user += 1) {
    await world.webhook({ userId: `u${user}`, eventId: "news" }, { afterMs: 20 });
  }
  await world.call(
    world.director.broadcast({
      eventId: "news",
      uid: null,
      contentType: "text/plain",
      payload: new Uint8Array(1),
      trace: null,
    }),
  );
  await world.advance(200);
  expect(await world.gauge("hookd_queue_depth")).toBeLessThan(300);
  const before = world.receivers.of(other.id).length;
  await world.publish(other, 1);
  await world.advance(1_000);
  expect(world.receivers.of(other.id).length).toBe(before + 1);
  await world.advance(60_000);
  expect(world.receivers.attempts).toHaveLength(21 + everyone);
});
