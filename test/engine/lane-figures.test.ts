import fc from "fast-check";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { WebhookId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import { Counters } from "../../src/engine/counters.ts";
import { engineStats } from "../../src/engine/engine-stats.ts";
import { createLane, type Lane, NEVER } from "../../src/engine/lane.ts";
import { LaneFigures } from "../../src/engine/lane-figures.ts";
import { Schedule } from "../../src/engine/schedule.ts";
import { setup } from "../support/engine-world.ts";

const laneOf = (id: number) =>
  createLane({ id: id as WebhookId, isPaused: false, rateLimit: null } as Webhook, 0);

test("what is kept is what a walk over all lanes would find, after whatever happens to them", () => {
  const time = fc.integer({ min: 1, max: 30 });
  const due = fc.oneof(time, fc.constant(NEVER));
  const step = fc.record({
    lane: fc.integer({ min: 0, max: 9 }),
    isForgotten: fc.boolean(),
    isPaused: fc.boolean(),
    isOpen: fc.boolean(),
    holdUntil: fc.oneof(fc.constant(0), time),
    pendingDueAt: due,
    retryingDueAt: due,
    passesMs: fc.integer({ min: 0, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const figures = new LaneFigures();
      const lanes = new Map<number, Lane>();
      let now = 0;
      for (const { lane: id, isForgotten, isPaused, isOpen, passesMs, ...fields } of steps) {
        now += passesMs;
        const lane = lanes.get(id) ?? laneOf(id);
        if (isForgotten) {
          figures.drop(lane);
          lanes.delete(id);
        } else {
          Object.assign(lane, fields, { webhook: { ...lane.webhook, isPaused } });
          lane.breaker.isOpen = isOpen;
          figures.note(lane, now);
          lanes.set(id, lane);
        }
        const all = [...lanes.values()];
        const isParked = (one: Lane) => one.breaker.isOpen || one.webhook.isPaused || one.holdUntil > now;
        expect(figures.open).toBe(all.filter(({ breaker }) => breaker.isOpen).length);
        expect(figures.parked(now)).toBe(all.filter(isParked).length);
        expect(figures.oldestDueAt).toBe(
          Math.min(NEVER, ...all.flatMap((one) => [one.pendingDueAt, one.retryingDueAt])),
        );
      }
    }),
  );
});

test("the metrics tell which lanes are open and parked and what waits longest, as it changes", async () => {
  const world = await setup({ config: { "retry.schedule": ["1h"], "retry.jitter": 0 } });
  const figures = async () => ({
    open: await world.gauge("hookd_lanes_open"),
    parked: await world.gauge("hookd_lanes_parked"),
    oldest: await world.gauge("hookd_oldest_due_seconds"),
  });
  const broken = await world.webhook({}, { status: 500 });
  const busy = await world.webhook({}, { status: 503, retryAfterMs: 60_000 });
  const paused = await world.webhook({});
  const mended = await world.webhook({});
  await world.publish(broken, 8);
  await world.publish(busy, 1);
  await world.publish(mended, 3);
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  await world.publish(paused, 1);
  await world.advance(1_000);
  expect(await figures()).toEqual({ open: 1, parked: 3, oldest: 1 });
  await world.advance(60_000);
  expect(await figures()).toEqual({ open: 1, parked: 2, oldest: 61 });
  await world.call(world.director.updateWebhook(paused.id, { isPaused: false }));
  await world.advance(1_000);
  expect(await figures()).toMatchObject({ open: 1, parked: 1 });
  await world.restart();
  expect(await figures()).toMatchObject({ open: 1, parked: 1 });
  world.receivers.set(broken.id, {});
  await world.advance(4 * 60 * 60_000);
  expect(await figures()).toEqual({ open: 0, parked: 0, oldest: 0 });
});

test("they are told without a look at any lane, so that a scrape costs the same with a million", () => {
  const { delivery, breaker } = loadConfig({ env: {}, flags: {} });
  const schedule = new Schedule({ ...delivery, breaker });
  for (let id = 1; id <= 3; id += 1) schedule.laneOf(laneOf(id).webhook, 0);
  const looks = () => {
    throw new Error("the lanes are walked");
  };
  Object.assign(schedule.lanes, {
    values: looks,
    entries: looks,
    keys: looks,
    forEach: looks,
    [Symbol.iterator]: looks,
  });
  const { gauges } = engineStats({
    counters: new Counters(),
    schedule,
    store: { bytes: 0, walBytes: 0, unfolded: 0, dead: 0 },
    flights: 0,
    jobs: 0,
    clockGapMs: 0,
    isClockSuspended: false,
    diskFreeBytes: 0,
    isPaused: false,
    isBackupRunning: false,
    now: 0,
  });
  expect(gauges).toMatchObject({ hookd_lanes: 3, hookd_lanes_open: 0, hookd_oldest_due_seconds: 0 });
});
