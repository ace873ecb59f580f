import { expect, test } from "vitest";
import { Schedule } from "../../src/engine/schedule.ts";
import { setup } from "../support/engine-world.ts";

const FAR = 10_000_000;

test("a lane that is woken a thousand times before a far retry has one wake-up set", async () => {
  const world = await setup();
  const schedule = new Schedule({ inFlightMax: 10, concurrencyMax: 4, breaker: world.config.breaker });
  const lane = schedule.laneOf(await world.webhook(), 0);
  schedule.enqueue(lane, { pending: 0, retrying: 1, dueAt: FAR }, 0, 0);
  for (let now = 10; now <= 10_000; now += 10) {
    schedule.enqueue(lane, { pending: 0, retrying: 1, dueAt: now }, now - 5, now - 5);
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
