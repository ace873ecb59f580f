import { expect, test } from "vitest";
import { NEVER } from "../../src/engine/lane.ts";
import { Schedule } from "../../src/engine/schedule.ts";
import { setup } from "../support/engine-world.ts";

const FAR = 10_000_000;

test("a lane that is woken a thousand times before a far retry has one wake-up set", async () => {
  const world = await setup();
  const schedule = new Schedule({ inFlightMax: 10, concurrencyMax: 4, breaker: world.config.breaker });
  const lane = schedule.laneOf(await world.webhook(), 0);
  schedule.retry(lane, FAR, 0, 0, 0);
  for (let now = 10; now <= 10_000; now += 10) {
    schedule.retry(lane, now, 0, now - 5, now - 5);
    schedule.wake(now, now);
    const [plan] = schedule.plan(now, now);
    if (!plan) throw new Error("nothing was planned");
    const grant = { leased: [{}] as never, nextDueAt: FAR };
    schedule.granted(plan, grant, now, now);
    schedule.end(lane, true, now, now);
    expect(schedule.wakeCount).toBe(1);
  }
  expect(schedule.nextWakeAt).toBe(FAR);
});

test("a lane whose last retry is leased no longer says how old its retries are", async () => {
  const world = await setup();
  const schedule = new Schedule({ inFlightMax: 10, concurrencyMax: 4, breaker: world.config.breaker });
  const lane = schedule.laneOf(await world.webhook(), 0);
  const lease = (nextDueAt: number | null) => {
    schedule.wake(10, 0);
    const [plan] = schedule.plan(10, 0);
    if (!plan) throw new Error("nothing was planned");
    schedule.granted(plan, { leased: [{}] as never, nextDueAt }, 10, 0);
  };
  schedule.retry(lane, 10, 3, 0, 0);
  schedule.retry(lane, 10, 7, 0, 0);
  lease(10);
  expect(lane.retryingQueuedAt).toBe(3);
  lease(null);
  expect(lane.retryingQueuedAt).toBe(NEVER);
});
