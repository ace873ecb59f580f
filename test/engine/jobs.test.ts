import { expect, test } from "vitest";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Job, JobSpec } from "../../src/domain/job.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import { LaneChanges, type LaneChangesDeps } from "../../src/engine/lane-changes.ts";
import { type EngineWorld, setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const NO_JITTER = { "retry.jitter": 0, "retry.schedule": ["10s"] };

async function withDead(world: EngineWorld, count: number): Promise<{ webhook: Webhook; ids: DeliveryId[] }> {
  const webhook = await world.webhook({}, { status: 404, afterMs: 0 });
  const ids = await world.publish(webhook, count);
  await world.call(world.director.updateWebhook(webhook.id, { concurrencyMax: 128 }));
  await world.advance(10 * SECOND);
  expect(await world.tally(ids)).toEqual({ "dead/permanent": count });
  world.receivers.set(webhook.id, { afterMs: 0 });
  return { webhook, ids };
}

function replayOf(webhook: Webhook, ratePerSecond: number | null = null): JobSpec {
  return { kind: "replay", userId: webhook.userId, select: { webhookId: webhook.id }, ratePerSecond };
}

async function jobNow(world: EngineWorld, job: Job): Promise<Job> {
  return (await world.call(world.director.getJob(job.id)))!;
}

test("a replay goes in slices and delivers everything once", async () => {
  const world = await setup();
  const { webhook, ids } = await withDead(world, 1_200);
  const job = await world.call(world.director.createJob(replayOf(webhook)));
  expect(job).toMatchObject({ status: "running", total: 1_200, done: 0 });
  await world.advance(20 * SECOND);
  expect(await jobNow(world, job)).toMatchObject({ status: "done", done: 1_200 });
  expect(world.tap.calls.filter((call) => call === "stepJob").length).toBeGreaterThanOrEqual(3);
  expect(await world.tally(ids)).toEqual({ success: 1_200 });
  expect(world.receivers.attempts).toHaveLength(2_400);
  expect(await world.gauge("hookd_jobs_running")).toBe(0);
});

test("a replay goes on after a crash where it was, with duplicates of what was in flight only", async () => {
  const world = await setup();
  const { webhook, ids } = await withDead(world, 1_200);
  world.receivers.set(webhook.id, { afterMs: 50 });
  const before = world.receivers.attempts.length;
  const job = await world.call(world.director.createJob(replayOf(webhook, 1_000)));
  await world.advance(600);
  const { done } = await jobNow(world, job);
  expect(done).toBeGreaterThan(100);
  expect(done).toBeLessThan(1_200);
  const inFlight = world.receivers.inFlightInAll;
  world.crash();
  await world.restart();
  await world.advance(30 * SECOND);
  expect(await jobNow(world, job)).toMatchObject({ status: "done", done: 1_200 });
  expect(await world.tally(ids)).toEqual({ success: 1_200 });
  expect(world.receivers.attempts.length - before).toBeLessThanOrEqual(1_200 + inFlight);
});

test("a replay with a rate keeps it, and does not hold up other jobs", async () => {
  const world = await setup();
  const slow = await withDead(world, 20);
  const quick = await withDead(world, 20);
  const slowJob = await world.call(world.director.createJob(replayOf(slow.webhook, 1)));
  const quickJob = await world.call(world.director.createJob(replayOf(quick.webhook)));
  await world.advance(500);
  expect(await jobNow(world, quickJob)).toMatchObject({ status: "done" });
  await world.advance(9 * SECOND);
  const { done } = await jobNow(world, slowJob);
  expect(done).toBeGreaterThanOrEqual(9);
  expect(done).toBeLessThanOrEqual(11);
});

test("a replay waits for a lane that has much of it still to send", async () => {
  const world = await setup();
  const { webhook } = await withDead(world, 4_000);
  world.receivers.set(webhook.id, { afterMs: SECOND });
  const job = await world.call(world.director.createJob(replayOf(webhook)));
  await world.advance(SECOND);
  const { done } = await jobNow(world, job);
  expect(done).toBeGreaterThanOrEqual(2_000);
  expect(done).toBeLessThanOrEqual(3_000);
});

test("live traffic goes on during a replay", async () => {
  const world = await setup();
  const { webhook } = await withDead(world, 2_000);
  const other = await world.webhook({ userId: "other" });
  await world.call(world.director.createJob(replayOf(webhook)));
  for (let round = 0; round < 20; round += 1) {
    await world.publish(other, 1);
    await world.advance(5);
    expect(world.receivers.of(other.id)).toHaveLength(round + 1);
  }
});

test("a replay makes less at once while somebody publishes", async () => {
  const doneBeside = async (eventsEach5Ms: number) => {
    const world = await setup();
    const { webhook } = await withDead(world, 2_000);
    const other = await world.webhook({ userId: "other" });
    const job = await world.call(world.director.createJob(replayOf(webhook)));
    for (let round = 0; round < 40; round += 1) {
      if (eventsEach5Ms > 0) await world.publish(other, eventsEach5Ms);
      await world.advance(5);
    }
    return (await jobNow(world, job)).done;
  };
  const alone = await doneBeside(0);
  const beside = await doneBeside(1);
  expect(beside).toBeGreaterThanOrEqual(100);
  expect(alone).toBeGreaterThanOrEqual(2 * beside);
});

test("a purge deletes the dead, and a cancelled job goes no further", async () => {
  const world = await setup();
  const { webhook, ids } = await withDead(world, 600);
  const job = await world.call(world.director.createJob(replayOf(webhook, 10)));
  await world.advance(SECOND);
  await world.call(world.director.cancelJob(job.id));
  await world.advance(10 * SECOND);
  const { done, status } = await jobNow(world, job);
  expect(status).toBe("cancelled");
  expect(done).toBeLessThan(20);
  await expect(world.call(world.director.cancelJob(job.id))).rejects.toMatchObject({ code: "not_retryable" });
  const select = { webhookId: webhook.id };
  expect(await world.call(world.director.countJob({ kind: "purge", userId: null, select }))).toEqual({
    count: 600 - done,
    isExact: true,
  });
  await world.call(world.director.createJob({ kind: "purge", userId: null, select }));
  await world.advance(SECOND);
  const left = await Promise.all(ids.map((id) => world.call(world.director.getDelivery(id))));
  expect(left.filter((found) => found !== null)).toHaveLength(done);
});

test("the end of a large backlog goes in slices, while some of it is in flight", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { afterMs: 300, status: 500 });
  const ids = await world.publish(webhook, 1_300);
  await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
  await world.advance(2 * SECOND);
  expect(await world.tally(ids)).toEqual({ "dead/disabled": 1_300 });
  expect(world.receivers.attempts).toHaveLength(2);
  expect(await world.counter('hookd_deliveries_dead_total{reason="disabled"}')).toBe(1_300);
  expect(await world.gauge("hookd_queue_depth")).toBe(0);
});

test("the end of a large backlog does not wait for a lane that its rate holds back", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({ rateLimit: { perSecond: 1, burst: 1 } });
  const ids = await world.publish(webhook, 3_500);
  await world.call(world.director.deleteWebhook(webhook.id));
  await world.advance(10 * SECOND);
  expect(await world.gauge("hookd_queue_depth")).toBe(0);
  const { success = 0, "dead/disabled": ended = 0 } = await world.tally(ids);
  expect(success + ended).toBe(3_500);
  expect(success).toBeLessThan(12);
});

test("a job whose slice the store refuses goes on when it takes it", async () => {
  const world = await setup();
  const { webhook, ids } = await withDead(world, 50);
  const { Problem } = await import("../../src/domain/problem.ts");
  world.tap.fault = (method) => (method === "stepJob" ? new Problem("disk_full", "full") : null);
  await world.call(world.director.createJob(replayOf(webhook)));
  await world.advance(SECOND);
  world.tap.fault = () => null;
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ success: 50 });
});

test("a broadcast to few webhooks is delivered in its commit, one per user, off and full ones dead", async () => {
  const world = await setup({ config: { "limits.lane_backlog": 1 } });
  const event = {
    eventId: "sale.on",
    uid: null,
    contentType: "text/plain",
    payload: Buffer.from("x"),
    trace: null,
  };
  const [one, off, full] = [
    await world.webhook({ userId: "a", eventId: "sale.*" }),
    await world.webhook({ userId: "b", eventId: "sale.on", isActive: false }),
    await world.webhook({ userId: "c", eventId: "*" }, HANGS),
  ];
  await world.webhook({ userId: "a", eventId: "*" });
  await world.publish(full, 3);
  const result = await world.call(world.director.broadcast(event));
  expect(result).toMatchObject({ deliveryCount: 3, fanOut: null });
  await world.advance(10);
  const fates = new Map(
    await Promise.all(
      result.deliveries.map(async ({ id, webhookId }) => [webhookId, await world.fate(id)] as const),
    ),
  );
  expect(fates).toEqual(
    new Map([
      [one.id, "success"],
      [off.id, "dead/disabled"],
      [full.id, "dead/overflow"],
    ]),
  );
  expect(await world.counter('hookd_deliveries_dead_total{reason="overflow"}')).toBe(1);
  expect(await world.call(world.director.broadcast({ ...event, eventId: "hookd.none" }))).toMatchObject({
    deliveryCount: 0,
  });
});

test("a broadcast beyond fanout_max is accepted first and expanded by a job, also over a crash", async () => {
  const world = await setup({ config: { "limits.fanout_max": 10 } });
  const webhooks: Webhook[] = [];
  for (let n = 0; n < 1_100; n += 1) {
    webhooks.push(
      await world.webhook({
        userId: `u${String(n).padStart(4, "0")}`,
        eventId: "sale.on",
        isActive: n !== 7,
      }),
    );
  }
  const event = {
    eventId: "sale.on",
    uid: "b-1",
    contentType: "text/plain",
    payload: Buffer.from("x"),
    trace: null,
  };
  const result = await world.call(world.director.broadcast(event));
  expect(result).toMatchObject({ deliveryCount: 0, isDuplicate: false });
  expect(result.fanOut).not.toBeNull();
  const inFlight = world.receivers.inFlightInAll;
  world.crash();
  await world.restart();
  await world.advance(5 * SECOND);
  const job = (await world.call(world.director.getJob(result.fanOut!)))!;
  expect(job).toMatchObject({ status: "done", done: 1_100 });
  const reached = new Map<number, number>();
  for (const { order } of world.receivers.attempts) {
    reached.set(order.webhookId, (reached.get(order.webhookId) ?? 0) + 1);
    expect(order.eventUid).toBe("b-1");
  }
  expect(reached.size).toBe(1_099);
  expect(world.receivers.attempts.length).toBe(1_099 + inFlight);
  expect(reached.has(webhooks[7]!.id)).toBe(false);
  const again = await world.call(world.director.broadcast(event));
  expect(again).toMatchObject({ isDuplicate: true });
  await world.advance(MINUTE);
  expect(world.receivers.attempts).toHaveLength(1_099 + inFlight);
});

test("a broadcast, and a replay for many, go on beside a lane that has much of its own to send", async () => {
  const world = await setup({ config: { ...NO_JITTER, "limits.fanout_max": 10 } });
  const webhooks: Webhook[] = [];
  for (let n = 0; n < 40; n += 1) {
    const rateLimit = n === 5 ? { perSecond: 1, burst: 1 } : null;
    webhooks.push(await world.webhook({ userId: `u${n + 10}`, eventId: "sale.on", rateLimit }));
  }
  const [, , , , , slow, other] = webhooks;
  for (const webhook of [slow!, other!]) world.receivers.set(webhook.id, { status: 404 });
  const dead = [...(await world.publish(slow!, 1)), ...(await world.publish(other!, 1))];
  await world.advance(SECOND);
  await world.publish(slow!, 3_000);
  for (const webhook of [slow!, other!]) world.receivers.set(webhook.id, {});
  const replayed = await world.call(
    world.director.createJob({ kind: "replay", userId: null, select: {}, ratePerSecond: null }),
  );
  const result = await world.call(
    world.director.broadcast({
      eventId: "sale.on",
      uid: null,
      contentType: "text/plain",
      payload: Buffer.from("x"),
      trace: null,
    }),
  );
  await world.advance(10 * SECOND);
  const job = await world.call(world.director.getJob(result.fanOut!));
  expect(job).toMatchObject({ status: "done", done: 40 });
  expect(await jobNow(world, replayed)).toMatchObject({ status: "done", done: 2 });
  expect(await world.fate(dead[1]!)).toBe("success");
});

test("a lane with very much to send holds up a replay for many too, but a broken or paused one none", () => {
  const behind = (lane: object, isWide: boolean) => {
    const lanes = new Map([
      [1, { pending: 0, breaker: { isOpen: false }, webhook: { isPaused: false }, ...lane }],
    ]);
    const changes = new LaneChanges({ schedule: { lanes } } as unknown as LaneChangesDeps);
    return changes.areBehind([1 as WebhookId, 2 as WebhookId], isWide);
  };
  expect(behind({ pending: 2_001 }, false)).toBe(true);
  expect(behind({ pending: 2_001 }, true)).toBe(false);
  expect(behind({ pending: 100_001 }, true)).toBe(true);
  expect(behind({ pending: 100_001, breaker: { isOpen: true } }, true)).toBe(false);
  expect(behind({ pending: 100_001, webhook: { isPaused: true } }, true)).toBe(false);
});
