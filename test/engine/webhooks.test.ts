import { expect, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import { setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NO_JITTER = { "retry.jitter": 0, "retry.schedule": ["10s", "20s"] };

test("a webhook that is switched off ends what is open and what comes; on again with a replay, all is delivered", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const ids = await world.publish(webhook, 20);
  await world.advance(SECOND);
  await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
  ids.push(...(await world.publish(webhook, 5)));
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ "dead/disabled": 25 });
  expect(await world.counter('hookd_deliveries_dead_total{reason="disabled"}')).toBe(25);
  const attempts = world.receivers.attempts.length;
  world.receivers.set(webhook.id, {});
  await world.call(world.director.updateWebhook(webhook.id, { isActive: true, replayDisabled: true }));
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ success: 25 });
  expect(world.receivers.attempts.length).toBe(attempts + 25);
});

test("switching on resets the breaker and what is held against the receiver", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 503, retryAfterMs: 200_000 });
  await world.publish(webhook, 8);
  await world.advance(15 * MINUTE);
  expect(world.disk.laneStates.size).toBe(1);
  await world.call(world.director.updateWebhook(webhook.id, { isActive: false }));
  await world.advance(SECOND);
  expect(world.disk.laneStates.size).toBe(0);
  world.receivers.set(webhook.id, {});
  await world.call(world.director.updateWebhook(webhook.id, { isActive: true }));
  const id = await world.publishOne(webhook);
  await world.advance(10);
  expect(await world.fate(id)).toBe("success");
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed", parkedUntil: null });
});

test("a lane whose webhook is off sends nothing, whatever a restart finds in it", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const ids = await world.publish(webhook, 8);
  await world.advance(SECOND);
  world.tap.fault = (method) => (method === "insertJob" ? new Promise(() => undefined) : null);
  const attempts = world.receivers.attempts.length;
  // Off on disk, but the job that ends what is open was never made: the process died in between.
  const before = world.disk.webhooks.get(webhook.id)!;
  world.crash();
  world.disk.webhooks.set(webhook.id, { ...before, isActive: false, disabledReason: "user", version: 2 });
  await world.restart();
  await world.advance(MINUTE);
  expect(world.receivers.attempts).toHaveLength(attempts);
  expect(await world.tally(ids)).toEqual({ "dead/disabled": 8 });
});

test("a deleted webhook's deliveries end as disabled and stay listed under its tombstone", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const ids = await world.publish(webhook, 3);
  await world.advance(SECOND);
  await world.call(world.director.deleteWebhook(webhook.id));
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ "dead/disabled": 3 });
  const [tombstone] = await world.call(world.director.getWebhooks([webhook.id]));
  expect(tombstone).toMatchObject({ isActive: false });
  expect(tombstone!.deletedAt).not.toBeNull();
  await expect(world.call(world.director.updateWebhook(webhook.id, {}))).rejects.toMatchObject({
    code: "not_found",
  });
  expect(await world.fate(await world.publishOne(webhook))).toBe("dead/disabled");
});

test("a change of the webhook takes effect with the next attempt, also of what was accepted before", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({ timeoutMs: 2_000 }, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(SECOND);
  await world.call(world.director.updateWebhook(webhook.id, { timeoutMs: 3_000 }));
  await world.advance(MINUTE);
  expect(world.receivers.attempts.map(({ target }) => target.timeoutMs)).toEqual([2_000, 3_000, 3_000]);
});

test("a retry policy that was changed holds for the next failure", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const id = await world.publishOne(webhook);
  await world.advance(SECOND);
  await world.call(world.director.updateWebhook(webhook.id, { retry: { kind: "list", delaysMs: [1_000] } }));
  await world.advance(MINUTE);
  expect(world.receivers.attempts).toHaveLength(2);
  expect(await world.fate(id)).toBe("dead/exhausted");
});

test("nothing but failure for disable_after switches a webhook off", async () => {
  const world = await setup({
    config: {
      "retry.jitter": 0,
      "retry.schedule": ["10m", "10m", "10m", "10m", "10m", "10m", "10m"],
      "breaker.disable_after": "30m",
    },
  });
  const webhook = await world.webhook({}, { status: 500 });
  const id = await world.publishOne(webhook);
  await world.advance(25 * MINUTE);
  expect(await world.fate(id)).toBe("retrying");
  await world.advance(10 * MINUTE);
  await world.advance(10 * MINUTE);
  const [after] = await world.call(world.director.getWebhooks([webhook.id]));
  expect(after).toMatchObject({ isActive: false, disabledReason: "failing" });
  expect(await world.fate(id)).toBe("dead/disabled");
});

test("a success in between starts that clock anew, also over a crash", async () => {
  const world = await setup({
    config: {
      "retry.jitter": 0,
      "retry.schedule": ["20m"],
      "breaker.disable_after": "30m",
      "breaker.consecutive": 2,
    },
  });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 2);
  await world.advance(MINUTE);
  expect(world.disk.laneStates.size).toBe(1);
  world.receivers.set(webhook.id, { status: 404 });
  await world.publish(webhook, 1);
  await world.advance(2 * MINUTE);
  // Closed by an answer that is no success: the clock still runs, and is stored.
  expect(world.disk.laneStates.size).toBe(1);
  world.receivers.set(webhook.id, {});
  await world.publish(webhook, 1);
  await world.advance(MINUTE);
  expect(world.disk.laneStates.size).toBe(0);
  world.crash();
  await world.restart();
  await world.advance(40 * MINUTE);
  world.receivers.set(webhook.id, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(MINUTE);
  const [after] = await world.call(world.director.getWebhooks([webhook.id]));
  expect(after).toMatchObject({ isActive: true });
});

test("a paused lane is not swept for what has ended, and its oldest delivery is one that waits", async () => {
  const world = await setup({ config: { ...NO_JITTER, "delivery.age_max": "10h" } });
  const webhook = await world.webhook();
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const old = await world.publish(webhook, 3);
  await world.advance(9 * HOUR);
  const young = await world.publish(webhook, 3);
  await world.advance(HOUR + MINUTE);
  expect(await world.tally([...old, ...young])).toEqual({ "dead/expired": 3, pending: 3 });
  const sweeps = () => world.tap.calls.filter((call) => call === "expire").length;
  const before = sweeps();
  await world.advance(3 * MINUTE);
  expect(sweeps() - before).toBeLessThanOrEqual(1);
  const { oldestDueAt } = await world.live(webhook.id);
  expect(oldestDueAt).toBeGreaterThan(world.clock.now() - 10 * HOUR - 5 * MINUTE);
  await world.advance(9 * HOUR + 5 * MINUTE);
  expect(await world.tally(young)).toEqual({ "dead/expired": 3 });
});

test("what is open for longer than age_max expires, also in a lane that is paused or broken", async () => {
  const world = await setup({
    config: { ...NO_JITTER, "delivery.age_max": "10m", "retry.schedule": ["5m", "1h"] },
  });
  const paused = await world.webhook();
  const broken = await world.webhook({}, { status: 500 });
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  const ids = [...(await world.publish(paused, 3)), ...(await world.publish(broken, 8))];
  await world.advance(9 * MINUTE);
  const young = await world.publishOne(paused);
  expect(await world.counter('hookd_deliveries_dead_total{reason="expired"}')).toBe(0);
  await world.advance(2 * MINUTE);
  expect(await world.tally(ids)).toMatchObject({ "dead/expired": expect.any(Number) });
  await world.advance(61 * MINUTE);
  expect(await world.tally(ids)).toEqual({ "dead/expired": 11 });
  expect(await world.fate(young)).toBe("dead/expired");
  expect(await world.counter('hookd_deliveries_dead_total{reason="expired"}')).toBe(12);
  expect(await world.gauge("hookd_queue_depth")).toBe(0);
});

test("a retry that comes due too late expires without an attempt", async () => {
  const world = await setup({
    config: { ...NO_JITTER, "delivery.age_max": "10m", "retry.schedule": ["20m"] },
  });
  const webhook = await world.webhook({}, { status: 500 });
  const id = await world.publishOne(webhook);
  await world.advance(21 * MINUTE);
  expect(world.receivers.attempts).toHaveLength(1);
  expect(await world.fate(id)).toBe("dead/expired");
});

test("a parked lane is asked for old retries where it may hold one, and not at every sweep", async () => {
  const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["1s", "1s"] } });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(500);
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  await world.advance(20 * MINUTE);
  const asked = () => world.tap.calls.filter((call) => call === "expire").length;
  expect(asked()).toBe(0);
  world.crash();
  await world.restart();
  // How old what was found is, nobody knows before it was asked for.
  const before = asked();
  await world.advance(20 * MINUTE);
  expect(asked() - before).toBe(1);
});

test("a retry of a parked lane is as old as its event, however late that was tried", async () => {
  const world = await setup({
    config: { ...NO_JITTER, "delivery.age_max": "10m", "retry.schedule": ["30s"] },
  });
  const webhook = await world.webhook({}, { status: 500 });
  const pause = (isPaused: boolean) => world.call(world.director.updateWebhook(webhook.id, { isPaused }));
  await pause(true);
  const id = await world.publishOne(webhook);
  await world.advance(9 * MINUTE);
  await pause(false);
  await world.advance(SECOND);
  expect(await world.fate(id)).toBe("retrying");
  await pause(true);
  await world.advance(90 * SECOND);
  expect(await world.fate(id)).toBe("dead/expired");
});

test("a test sample is answered with its attempt, outside of lane, log and counts", async () => {
  const world = await setup();
  const webhook = await world.webhook({ eventId: "order.*" });
  world.receivers.otherwise = { status: 503, afterMs: 20 };
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  const attempt = await world.call(world.director.testWebhook(webhook.id));
  expect(attempt).toMatchObject({ number: 1, statusCode: 503, verdict: "retry", durationMs: 20 });
  const [{ order, target }] = world.receivers.attempts as [(typeof world.receivers.attempts)[0]];
  expect(order).toMatchObject({ eventId: "hookd.test", contentType: "application/json" });
  expect(order.eventUid).toMatch(/^test_/);
  expect(JSON.parse(Buffer.from(order.payload).toString())).toMatchObject({ test: true });
  expect(target.callbackUrl).toBe(webhook.callbackUrl);
  expect(world.senders[0]!.targets.size).toBe(0);
  expect(await world.counter('hookd_attempts_total{verdict="retry"}')).toBe(0);
  expect((await world.call(world.director.listDeliveries({}, { limit: 10, before: null }))).items).toEqual(
    [],
  );
});

test("samples end when their sender dies, and when hookd stops", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  world.receivers.otherwise = HANGS;
  const sample = world.director.testWebhook(webhook.id);
  await world.time.settle();
  world.loseSender(0);
  expect(await world.call(sample)).toMatchObject({ verdict: "lost" });
  const other = world.director.testWebhook(webhook.id);
  await world.time.settle();
  await world.stop();
  expect(await other).toMatchObject({ verdict: "lost" });
});

test("no more than a hundred samples are under way, and ten of one user", async () => {
  const world = await setup();
  world.receivers.otherwise = HANGS;
  const samples: Promise<unknown>[] = [];
  for (let user = 0; user < 10; user += 1) {
    const webhook = await world.webhook({ userId: `u${user}` });
    for (let n = 0; n < 10; n += 1) samples.push(world.director.testWebhook(webhook.id));
    await world.time.settle();
    const another = world.call(world.director.testWebhook(webhook.id));
    await expect(another).rejects.toMatchObject({ code: "overloaded" });
  }
  const late = await world.webhook({ userId: "late" });
  await expect(world.call(world.director.testWebhook(late.id))).rejects.toMatchObject({
    code: "overloaded",
  });
  expect(new Set(world.receivers.attempts.map(({ order }) => order.eventUid)).size).toBe(100);
  await world.advance(16_000);
  expect(await Promise.all(samples)).toHaveLength(100);
});

test("a lane's live figures are of its last five minutes", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook();
  expect(await world.live(webhook.id)).toMatchObject({
    inFlight: 0,
    backlog: 0,
    successRate: null,
    concurrency: null,
  });
  let n = 0;
  world.receivers.set(webhook.id, () => {
    n += 1;
    return n === 4 ? { status: 500, afterMs: 900 } : { afterMs: 10 };
  });
  for (let round = 0; round < 4; round += 1) {
    await world.publish(webhook, 1);
    await world.advance(SECOND);
  }
  const live = await world.live(webhook.id);
  expect(live).toMatchObject({ successRate: 0.75, breaker: "closed", backlog: 1 });
  expect(live.p50Ms).toBeGreaterThanOrEqual(10);
  expect(live.p50Ms).toBeLessThanOrEqual(15);
  expect(live.p99Ms).toBeGreaterThanOrEqual(900);
  expect(live.lastError).toMatchObject({ error: "status 500" });
  world.receivers.set(webhook.id, {});
  await world.advance(3 * MINUTE);
  expect(await world.live(webhook.id)).toMatchObject({ successRate: 0.8 });
  await world.advance(4 * MINUTE);
  expect(await world.live(webhook.id)).toMatchObject({ successRate: null, p50Ms: null });
});

test("attempts are told to those who watch as they settle", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  const seen: (string | null)[] = [];
  const everything = { userId: null, webhookId: null, eventId: null, statuses: null, rowsPerSecond: null };
  const end = world.director.watch(everything, ({ attempts }) =>
    seen.push(...attempts.map(({ status }) => status)),
  );
  await world.publish(webhook, 1);
  await world.advance(40 * SECOND);
  expect(seen).toEqual(["retrying", "retrying", "dead"]);
  end();
  await world.publish(webhook, 1);
  await world.advance(SECOND);
  expect(seen).toHaveLength(3);
});

test("switching on a webhook that is on, as somebody who has mended its receiver does, closes its breaker", async () => {
  const world = await setup({ config: NO_JITTER });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 8);
  await world.advance(SECOND);
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "open" });
  await world.call(world.director.updateWebhook(webhook.id, { isActive: true }));
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "open" });
  await world.call(world.director.updateWebhook(webhook.id, { isActive: true, isMended: true }));
  expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed" });
});

test("a 410, or failures, of the URL before say nothing against the new one", async () => {
  const world = await setup({ config: NO_JITTER });
  const gone = await world.webhook({}, { status: 410, afterMs: 5 * SECOND });
  const failing = await world.webhook({ concurrencyMax: 16 }, { afterMs: 0 });
  await world.publish(failing, 500);
  await world.advance(SECOND);
  world.receivers.set(failing.id, { status: 500, afterMs: 5 * SECOND });
  await world.publish(gone, 1);
  await world.publish(failing, 10);
  await world.advance(SECOND);
  for (const webhook of [gone, failing]) {
    world.receivers.set(webhook.id, {});
    const callbackUrl = "https://new.example/hook";
    await world.call(world.director.updateWebhook(webhook.id, { callbackUrl }));
  }
  await world.advance(5 * SECOND);
  const [after] = await world.call(world.director.getWebhooks([gone.id]));
  expect(after).toMatchObject({ isActive: true });
  expect(await world.live(failing.id)).toMatchObject({ breaker: "closed" });
});

test("where the job that ends what is open cannot be stored, the webhook stays on, and the next try ends all", async () => {
  const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["10h"] } });
  const webhook = await world.webhook({}, { status: 500 });
  const ids = await world.publish(webhook, 3);
  await world.advance(SECOND);
  world.tap.fault = (method) => (method === "insertJob" ? new Problem("disk_full", "full") : null);
  await expect(world.call(world.director.deleteWebhook(webhook.id))).rejects.toMatchObject({
    code: "disk_full",
  });
  expect(await world.call(world.director.getWebhooks([webhook.id]))).toMatchObject([{ isActive: true }]);
  world.tap.fault = () => null;
  await world.call(world.director.deleteWebhook(webhook.id));
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ "dead/disabled": 3 });
});

test("a crash between that job and the change leaves the webhook on, with all that is open", async () => {
  const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["10h"] } });
  const webhook = await world.webhook({}, { status: 500 });
  const ids = await world.publish(webhook, 3);
  await world.advance(SECOND);
  world.tap.delay = (method) => (method === "updateWebhook" ? new Promise(() => undefined) : null);
  void world.director.deleteWebhook(webhook.id);
  await world.advance(SECOND);
  world.crash();
  world.tap.delay = () => null;
  await world.restart();
  await world.advance(SECOND);
  expect(await world.tally(ids)).toEqual({ retrying: 3 });
  expect(await world.gauge("hookd_jobs_running")).toBe(0);
});

test("a lane that is made while the one before is forgotten keeps its target", async () => {
  const world = await setup({ config: { ...NO_JITTER, "delivery.age_max": "305s" } });
  const quiet = await world.webhook();
  const paused = await world.webhook({}, { status: 500 });
  await world.publish(quiet, 1);
  await world.publish(paused, 1);
  await world.advance(SECOND);
  await world.call(world.director.updateWebhook(paused.id, { isPaused: true }));
  // Its retry is too old when the quiet lane has been idle for long: the sweep that forgets that one waits for the store.
  let held: PromiseWithResolvers<void> | null = null;
  world.tap.delay = (method) => {
    if (method !== "expire") return null;
    held = Promise.withResolvers<void>();
    return held.promise;
  };
  const release = () => {
    held?.resolve();
    held = null;
  };
  for (let seconds = 0; seconds < 600; seconds += 1) {
    await world.advance(SECOND);
    if (held !== null && (await world.gauge("hookd_lanes")) === 1) break;
    release();
  }
  expect(held).not.toBeNull();
  const first = await world.publishOne(quiet);
  await world.advance(10);
  release();
  await world.advance(SECOND);
  const second = await world.publishOne(quiet);
  await world.advance(SECOND);
  expect(await world.fates([first, second])).toEqual(["success", "success"]);
});
