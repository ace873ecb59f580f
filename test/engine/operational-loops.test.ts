import fc from "fast-check";
import { expect, test } from "vitest";
import type { DeadReason } from "../../src/domain/delivery.ts";
import type { WebhookId } from "../../src/domain/ids.ts";
import { DeathReports } from "../../src/engine/death-reports.ts";
import { setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";
import { operator, sumOfCounts } from "./operator.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const QUICK = {
  "retry.jitter": 0,
  "retry.schedule": ["1s", "1s"],
  "breaker.consecutive": 2,
  "breaker.probe": "1s",
  "breaker.probe_max": "1s",
  "events.recovered_after": "0s",
  "events.behind_after": "1s",
};

for (const [name, behaviour] of [
  ["500", { status: 500 }],
  ["404", { status: 404 }],
  ["410", { status: 410 }],
  ["nothing, ever", HANGS],
] as const) {
  test(`an operator's webhook that answers ${name} causes no event of hookd's own`, async () => {
    const world = await setup({ config: { ...QUICK, "breaker.disable_after": "1h" } });
    const { webhook, events } = await operator(world, "hookd.*", behaviour);
    const broken = await world.webhook({}, { status: 404 });
    for (let round = 0; round < 3; round += 1) {
      await world.publish(broken, 5);
      await world.advance(2 * MINUTE);
    }
    await world.advance(3 * HOUR);
    // All that died of its own is counted; what was told of is the other webhook alone.
    const seen = events().length;
    expect(seen).toBeGreaterThan(0);
    for (const { type, data } of events()) {
      expect(type).toBe("hookd.delivery.dead");
      expect(data.webhook.user_id).toBe("user1");
    }
    expect(sumOfCounts(events())).toBeLessThanOrEqual(15);
    await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
    await world.advance(HOUR);
    world.receivers.set(webhook.id, {});
    await world.call(world.director.updateWebhook(webhook.id, { isActive: true, replayDisabled: true }));
    await world.advance(HOUR);
    await world.call(world.director.deleteWebhook(webhook.id));
    const { events: later } = await operator(world);
    await world.advance(HOUR);
    for (const { data } of [...events(), ...later()]) expect(data.webhook.user_id).toBe("user1");
    expect(events()).toHaveLength(seen);
    expect(later()).toEqual([]);
  });
}

test("an operator's webhook that recovers is not told of", async () => {
  const world = await setup({ config: { ...QUICK, "retry.schedule": Array(50).fill("1s") } });
  const { webhook, events } = await operator(world, "hookd.*", { status: 500 });
  for (let index = 0; index < 5; index += 1) {
    await world.publishOne(await world.webhook({}, { status: 404 }));
    await world.advance(2 * SECOND);
  }
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "open" });
  world.receivers.set(webhook.id, {});
  await world.advance(10 * MINUTE);
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed", backlog: 0 });
  expect(new Set(events().map(({ type }) => type))).toEqual(new Set(["hookd.delivery.dead"]));
});

test("events that an operator's webhook is late with do not count as a queue that is behind", async () => {
  const world = await setup({ config: QUICK });
  const { events } = await operator(world, "hookd.*", { afterMs: 10_000 });
  for (let index = 0; index < 20; index += 1) {
    await world.publishOne(await world.webhook({}, { status: 404 }));
  }
  await world.advance(10 * MINUTE);
  expect(new Set(events().map(({ type }) => type))).toEqual(new Set(["hookd.delivery.dead"]));
});

test("an operator's webhook that is off gets nothing, and the next best is not asked instead", async () => {
  const world = await setup({ config: QUICK });
  const { events: all } = await operator(world);
  const { webhook, events } = await operator(world, "hookd.delivery.dead");
  await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
  await world.publish(await world.webhook({}, { status: 404 }), 5);
  await world.advance(MINUTE);
  expect([all(), events()]).toEqual([[], []]);
  expect(await world.gauge("hookd_dlq_size")).toBe(5);
  await world.call(world.director.deleteWebhook(webhook.id));
  await world.publish(await world.webhook({}, { status: 404 }), 2);
  await world.advance(MINUTE);
  expect(sumOfCounts(all())).toBe(2);
});

test("a user's own webhook for hookd's events, from before they were the operator's, gets none", async () => {
  const world = await setup({ config: QUICK });
  const users = await world.webhook({ userId: "default", eventId: "hookd.*" });
  const star = await world.webhook({ userId: "default", eventId: "*" });
  const { events } = await operator(world);
  await world.publish(await world.webhook({}, { status: 410 }), 3);
  await world.advance(2 * MINUTE);
  expect(events().length).toBeGreaterThan(1);
  expect(world.receivers.of(users.id)).toEqual([]);
  expect(world.receivers.of(star.id)).toEqual([]);
});

test("the sum of all counts is the number of deaths, whatever comes in which order, and back", () => {
  const reasons: DeadReason[] = ["permanent", "exhausted", "disabled"];
  const step = fc.record({
    webhook: fc.integer({ min: 1, max: 40 }),
    reason: fc.constantFrom(...reasons),
    count: fc.integer({ min: 1, max: 1000 }),
    afterMs: fc.integer({ min: 0, max: 40_000 }),
    perMinute: fc.integer({ min: 1, max: 5 }),
    isRefused: fc.boolean(),
    isRestarted: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      let reports = new DeathReports();
      let [died, told, nowMono] = [0, 0, 0];
      for (const { webhook, reason, count, afterMs, perMinute, isRefused, isRestarted } of steps) {
        nowMono += afterMs;
        reports.note({ webhookId: webhook as WebhookId, reason, count, delivery: null }, nowMono);
        died += count;
        const taken = reports.take(perMinute, nowMono);
        expect(taken.length).toBeLessThanOrEqual(perMinute);
        for (const one of taken) {
          if (isRefused) reports.putBack(one);
          else told += one.count;
        }
        if (!isRestarted) continue;
        const next = new DeathReports();
        next.restore(reports.save());
        reports = next;
      }
      for (; !reports.isEmpty; nowMono += MINUTE) {
        for (const { count } of reports.take(1_000, nowMono)) told += count;
      }
      expect(told).toBe(died);
    }),
  );
});

test("a webhook and reason is told once a minute, and more webhooks than there is room for are counted together", () => {
  const reports = new DeathReports();
  const note = (webhook: number, nowMono: number) =>
    reports.note({ webhookId: webhook as WebhookId, reason: "permanent", count: 1, delivery: null }, nowMono);
  note(1, 0);
  expect(reports.take(60, 0)).toHaveLength(1);
  note(1, SECOND);
  expect(reports.take(60, MINUTE - 1)).toHaveLength(0);
  expect(reports.take(60, MINUTE)).toHaveLength(1);
  for (let webhook = 1; webhook <= 10_050; webhook += 1) note(webhook, 2 * MINUTE);
  const taken = reports.take(20_000, 3 * MINUTE);
  expect(taken).toHaveLength(10_001);
  expect(taken.find(({ webhookId }) => webhookId === null)).toMatchObject({ count: 50 });
});
