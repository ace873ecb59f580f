import { expect, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import { setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";
import { eventsOf, operator } from "./operator.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MiB = 2 ** 20;
const NO_JITTER = { "retry.jitter": 0, "delivery.timeout": "30s" };

test("a disk that gets low is told once, before events are refused, and once when there is room again", async () => {
  const world = await setup();
  const { events } = await operator(world, "hookd.disk.low");
  world.freeBytes = 1025 * MiB;
  await world.advance(MINUTE);
  expect(events()).toEqual([]);
  world.freeBytes = 1023 * MiB;
  await world.advance(5 * SECOND);
  expect(world.director.refusal).toBeNull();
  for (const mebibytes of [1030, 1000, 1100, 900]) {
    world.freeBytes = mebibytes * MiB;
    await world.advance(10 * SECOND);
  }
  expect(events()).toMatchObject([
    {
      uid: expect.stringMatching(/^hookd_disk_low_\d{13}$/),
      data: {
        is_low: true,
        free_bytes: 1023 * MiB,
        low_bytes: 1024 * MiB,
        refuse_bytes: 512 * MiB,
      },
    },
  ]);
  world.freeBytes = 1130 * MiB;
  await world.advance(MINUTE);
  expect(events()).toHaveLength(2);
  expect(events()[1]).toMatchObject({
    uid: expect.stringMatching(/^hookd_disk_enough_\d{13}$/),
    data: { is_low: false },
  });
});

test("a disk that is below both marks at once is told all the same, while publishers are refused", async () => {
  const world = await setup();
  const { events } = await operator(world, "hookd.disk.low");
  world.freeBytes = 100 * MiB;
  await world.advance(5 * SECOND);
  expect(world.director.refusal).toBe("disk_full");
  expect(events()).toMatchObject([{ data: { is_low: true, free_bytes: 100 * MiB } }]);
});

test("what was told of a state is known after a restart, and after a crash it is told as the same event", async () => {
  const world = await setup();
  const { webhook } = await operator(world, "hookd.disk.low");
  world.freeBytes = 700 * MiB;
  await world.advance(5 * SECOND);
  await world.restart();
  await world.advance(MINUTE);
  expect(eventsOf(world, webhook)).toHaveLength(1);
  // The event is stored, and that it was told is not.
  let settings = 0;
  world.tap.fault = (method, [name]) => {
    if (method !== "putSetting" || name !== "told_states") return null;
    settings += 1;
    return settings > 1 ? new Problem("store_unavailable", "planted") : null;
  };
  world.freeBytes = 5000 * MiB;
  await world.advance(5 * SECOND);
  expect(eventsOf(world, webhook)).toHaveLength(2);
  world.crash();
  await world.start();
  world.freeBytes = 6000 * MiB;
  await world.advance(MINUTE);
  expect(eventsOf(world, webhook)).toHaveLength(2);
  expect(await world.counter("hookd_events_conflict_total")).toBeGreaterThan(0);
  const stored = await world.call(
    world.director.listDeliveries({ webhookId: webhook.id }, { limit: 9, before: null }),
  );
  expect(stored.items).toHaveLength(2);
});

test("a queue that waits for slots is told as behind once, and once when it has caught up", async () => {
  const world = await setup({ config: { ...NO_JITTER, "delivery.in_flight_max": 4 } });
  const { events } = await operator(world, "hookd.queue.behind");
  const slow = [];
  for (let index = 0; index < 6; index += 1) slow.push(await world.webhook({}, { afterMs: 20_000 }));
  for (let round = 0; round < 4; round += 1) for (const webhook of slow) await world.publish(webhook, 10);
  await world.advance(50 * SECOND);
  expect(events()).toEqual([]);
  await world.advance(5 * MINUTE);
  const slots = () => events().filter(({ data }) => data.waiting_for === "slots");
  expect(slots()).toHaveLength(1);
  expect(slots()[0]).toMatchObject({
    uid: expect.stringMatching(/^hookd_slots_behind_\d{13}$/),
    data: { is_behind: true, waiting_seconds: expect.any(Number), webhook: { user_id: "user1" } },
  });
  expect(slots()[0]!.data.waiting_seconds).toBeGreaterThanOrEqual(60);
  for (const webhook of slow) world.receivers.set(webhook.id, {});
  await world.advance(2 * MINUTE);
  expect(slots()).toHaveLength(2);
  expect(slots()[1]).toMatchObject({
    data: { is_behind: false, webhook: null, oldest_due_at: null, webhooks_behind: 0 },
  });
});

test("deliveries that wait for their own slow receiver are told apart", async () => {
  const world = await setup({ config: NO_JITTER });
  const { events } = await operator(world);
  const slow = await world.webhook({ concurrencyMax: 1 }, { afterMs: 25_000 });
  await world.publish(slow, 6);
  await world.advance(10 * MINUTE);
  expect(events()).toMatchObject([
    { data: { waiting_for: "receivers", is_behind: true, webhooks_behind: 1 } },
    { data: { waiting_for: "receivers", is_behind: false } },
  ]);
});

test("a wait that gets shorter, and longer again, is no second time behind", async () => {
  const world = await setup({ config: { ...NO_JITTER, "events.behind_after": "45s" } });
  const { events } = await operator(world, "hookd.queue.behind");
  const slow = await world.webhook({ concurrencyMax: 1 }, { afterMs: 29_000 });
  await world.publish(slow, 3);
  await world.advance(30 * SECOND);
  await world.publish(slow, 1);
  await world.advance(10 * MINUTE);
  expect(events().map(({ data }) => data.is_behind)).toEqual([true, false]);
});

test("what waits behind the probes of an open breaker is not behind, though a probe hangs", async () => {
  const world = await setup({
    config: {
      ...NO_JITTER,
      "events.behind_after": "3s",
      "breaker.consecutive": 2,
      "breaker.probe": "10s",
      "breaker.probe_max": "10s",
    },
  });
  const { events } = await operator(world, "hookd.queue.behind");
  const hanging = await world.webhook({}, HANGS);
  await world.publish(hanging, 30);
  await world.advance(20 * MINUTE);
  // Until it was known to hang, its deliveries waited for it.
  expect(events().map(({ data }) => data.is_behind)).toEqual([true, false]);
});

test("lanes that are held back are not behind, however long, nor at once when they go on", async () => {
  const world = await setup({
    config: { ...NO_JITTER, "breaker.consecutive": 2, "retry.schedule": ["1m", "1m"] },
  });
  const { events } = await operator(world, "hookd.queue.behind");
  const paused = await world.webhook();
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  const broken = await world.webhook({}, { error: "connect" });
  const limited = await world.webhook({ rateLimit: { perSecond: 0.05, burst: 1 } });
  for (const webhook of [paused, broken, limited]) await world.publish(webhook, 30);
  await world.advance(30 * MINUTE);
  expect(events()).toEqual([]);
  world.receivers.set(paused.id, { afterMs: 100 });
  world.receivers.set(broken.id, { afterMs: 100 });
  await world.call(world.director.updateWebhook(paused.id, { isPaused: false }));
  await world.advance(30 * MINUTE);
  expect(events()).toEqual([]);
});

test("a hookd that is paused is not behind, nor at once when it is resumed", async () => {
  const world = await setup({ config: NO_JITTER });
  const { events } = await operator(world, "hookd.queue.behind");
  const webhook = await world.webhook({}, { afterMs: 100 });
  await world.call(world.director.pause());
  await world.publish(webhook, 500);
  await world.advance(HOUR);
  await world.call(world.director.resume());
  await world.advance(10 * MINUTE);
  expect(events()).toEqual([]);
});

test("a receiver that hangs does not keep the operator from being told", async () => {
  const world = await setup({ config: { ...NO_JITTER, "delivery.in_flight_max": 16 } });
  const { events } = await operator(world, "hookd.queue.behind");
  for (let index = 0; index < 40; index += 1) {
    await world.publish(await world.webhook({ userId: `user${index}` }, HANGS), 5);
  }
  await world.advance(10 * MINUTE);
  expect(events().some(({ data }) => data.is_behind)).toBe(true);
});
