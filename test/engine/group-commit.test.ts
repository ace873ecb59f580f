import { expect, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import type { PublishOutcome } from "../../src/engine/port.ts";
import { type EngineWorld, setup } from "../support/engine-world.ts";

function diskFull(): Problem {
  return new Problem("disk_full", "the disk is full", { retryAfterSeconds: 5 });
}

/** Writes are refused until the returned function is called. */
function fill(world: EngineWorld): () => void {
  world.tap.fault = (method) => (["commit", "putSetting"].includes(method) ? diskFull() : null);
  return () => {
    world.tap.fault = () => null;
  };
}

function codeOf(outcome: PublishOutcome | undefined): string {
  return outcome instanceof Problem ? outcome.code : "accepted";
}

test("one group is one commit", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  await world.publish(webhook, 50);
  expect(world.tap.commits.map(({ appends }) => appends.length)).toEqual([50]);
});

test("what arrives during a commit, events and outcomes, shares the next one", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 1 });
  await world.publish(webhook, 1);
  const release = world.tap.hold();
  const answered: string[] = [];
  const publish = (name: string) =>
    world.director.publishMany([world.requestFor(webhook)]).then(() => answered.push(name));
  const first = publish("first");
  await world.time.settle();
  const others = [publish("second"), publish("third")];
  await world.advance(5);
  expect(answered).toEqual([]);
  release();
  await world.call(Promise.all([first, ...others]));
  const shapes = world.tap.commits.map(({ appends, settlements }) => [appends.length, settlements.length]);
  expect(shapes).toEqual([
    [1, 0],
    [1, 0],
    [2, 1],
  ]);
});

test("a large arrival is committed in parts, in order, each of as much as its slots turn over", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 1 } });
  const webhook = await world.webhook();
  const groups = Array.from({ length: 5 }, () =>
    world.director.publishMany(Array.from({ length: 900 }, () => world.requestFor(webhook))),
  );
  const outcomes = await world.call(Promise.all(groups));
  expect(outcomes.flat().map(codeOf)).toEqual(Array.from({ length: 4_500 }, () => "accepted"));
  const sizes = world.tap.commits.map(({ appends }) => appends.length).filter((size) => size > 0);
  expect(sizes).toEqual([900, 900, 900, 900, 900]);
});

test("where many who publish wait for answers, however few events have come here, commits are large", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 1 } });
  const webhook = await world.webhook();
  const groups = Array.from({ length: 5 }, () =>
    world.director.publishArrival({
      count: 900,
      bytes: 900,
      outstanding: 15_000,
      read: () => Array.from({ length: 900 }, () => world.requestFor(webhook)),
    }),
  );
  const outcomes = await world.call(Promise.all(groups));
  expect(outcomes.flat().map(codeOf)).toEqual(Array.from({ length: 4_500 }, () => "accepted"));
  const sizes = world.tap.commits.map(({ appends }) => appends.length).filter((size) => size > 0);
  expect(sizes).toEqual([2_700, 1_800]);
});

test("outcomes that come together are committed in parts, none of them too large for who waits beside them", async () => {
  const world = await setup();
  for (let index = 0; index < 600; index += 1) {
    await world.publish(
      await world.webhook({ eventId: `e.${index}` }, { afterMs: 60_000 - index / 1_000 }),
      1,
    );
  }
  const release = world.tap.hold();
  const publishing = world.director.publishMany([world.requestFor(await world.webhook())]);
  await world.advance(60_000);
  release();
  await world.call(publishing);
  await world.advance(1_000);
  const sizes = world.tap.commits.map(({ settlements }) => settlements.length).filter((size) => size > 0);
  expect(sizes.slice(0, 2)).toEqual([256, 256]);
  // With the event's own outcome.
  expect(sizes.reduce((sum, size) => sum + size)).toBe(601);
});

test("more waiting for a commit than its bound is refused, and a single larger group is not", async () => {
  const world = await setup({ config: { "delivery.in_flight_max": 1 } });
  const webhook = await world.webhook();
  const request = world.requestFor(webhook);
  const release = world.tap.hold();
  const many = (count: number) => world.director.publishMany(Array.from({ length: count }, () => request));
  const running = many(1);
  await world.time.settle();
  const waiting = many(20_001);
  const [refused] = await world.call(many(1));
  expect(codeOf(refused)).toBe("overloaded");
  release();
  const [[first], all] = await world.call(Promise.all([running, waiting]));
  expect(codeOf(first)).toBe("accepted");
  expect(new Set(all.map(codeOf))).toEqual(new Set(["accepted"]));
  expect(codeOf((await world.call(many(1)))[0])).toBe("accepted");
});

test("a refused commit answers 503, keeps the outcomes, and goes on by itself when there is room", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 50 });
  const inFlight = await world.publish(webhook, 2);
  const empty = fill(world);
  const [refused] = await world.call(world.director.publishMany([world.requestFor(webhook)]));
  expect(refused).toMatchObject({ code: "disk_full", status: 503, retryAfterSeconds: 5 });
  expect(world.director.refusal).toBe("disk_full");
  await world.advance(2_000);
  expect(await world.fates(inFlight)).toEqual(["pending", "pending"]);
  expect(codeOf((await world.call(world.director.publishMany([world.requestFor(webhook)])))[0])).toBe(
    "disk_full",
  );
  empty();
  await world.advance(300);
  expect(world.director.refusal).toBeNull();
  expect(await world.tally(inFlight)).toEqual({ success: 2 });
  expect(await world.counter("hookd_outcomes_stale_total")).toBe(0);
  const id = await world.publishOne(webhook);
  await world.advance(100);
  expect(await world.fate(id)).toBe("success");
  expect(world.receivers.attempts).toHaveLength(3);
});

test("a store that refuses is tried four times a second, also with lanes ready and outcomes coming", async () => {
  const world = await setup();
  const webhook = await world.webhook({ concurrencyMax: 4 }, { afterMs: 10 });
  await world.publish(webhook, 50);
  const empty = fill(world);
  const before = world.tap.calls.length;
  await world.advance(2_000);
  expect(world.tap.calls.slice(before).filter((call) => call === "commit").length).toBeLessThanOrEqual(9);
  // One for the slots that came free before the first refusal.
  expect(world.tap.calls.slice(before).filter((call) => call === "lease").length).toBeLessThanOrEqual(1);
  empty();
  await world.advance(1_000);
  expect(world.receivers.attempts).toHaveLength(50);
});

test("a probe write that is refused does not undo a commit", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 50 });
  const ids = await world.publish(webhook, 2);
  world.tap.fault = (method) => (method === "commit" ? diskFull() : null);
  await world.advance(300);
  world.tap.fault = (method) => (method === "putSetting" ? diskFull() : null);
  await world.advance(1_000);
  expect(world.director.refusal).toBe("disk_full");
  world.tap.fault = () => null;
  await world.advance(300);
  expect(await world.tally(ids)).toEqual({ success: 2 });
});

test("a store that cannot lease or read webhooks for a while loses nothing", async () => {
  const world = await setup({ config: { "cache.entries": 1 } });
  const webhook = await world.webhook({}, { afterMs: 10 });
  await world.webhook();
  const ids = await world.publish(webhook, 5);
  const gone = new Problem("store_unavailable", "the store does not answer");
  world.tap.fault = (method) => (["lease", "getWebhooks"].includes(method) ? gone : null);
  await world.advance(1_000);
  const outcomes = world.director.publishMany([world.requestFor(webhook)]);
  expect(codeOf((await world.call(outcomes))[0])).toBe("store_unavailable");
  world.tap.fault = () => null;
  await world.advance(1_000);
  expect(await world.tally(ids)).toEqual({ success: 5 });
  expect(await world.gauge("hookd_in_flight")).toBe(0);
});

test("every event of a commit reaches its webhook, however few the cache holds", async () => {
  const world = await setup({ config: { "cache.entries": 1 } });
  const webhooks = [await world.webhook(), await world.webhook(), await world.webhook()];
  const requests = webhooks.map((webhook) => world.requestFor(webhook));
  const outcomes = await world.call(world.director.publishMany(requests));
  expect(outcomes.map((outcome) => (outcome instanceof Problem ? 0 : outcome.deliveryCount))).toEqual([
    1, 1, 1,
  ]);
  await world.advance(10);
  expect(world.receivers.attempts).toHaveLength(3);
});

test("a duplicate is answered with the first one's deliveries and gives its slot and token back", async () => {
  const world = await setup();
  const webhook = await world.webhook({ rateLimit: { perSecond: 1, burst: 3 } });
  const request = world.requestFor(webhook, "uid-1");
  const first = await world.publishResult(request);
  const second = await world.publishResult(request);
  expect(second).toMatchObject({ isDuplicate: true, event: first.event, deliveries: first.deliveries });
  await expect(world.publishResult({ ...request, payload: Buffer.from("other") })).rejects.toMatchObject({
    code: "uid_conflict",
  });
  const ids = await world.publish(webhook, 1);
  ids.push(...(await world.publish(webhook, 1)));
  await world.advance(10);
  expect(await world.tally(ids)).toEqual({ success: 2 });
  expect(world.receivers.attempts).toHaveLength(3);
});

test("a failure that is no problem of the store's ends the thread, and is not swallowed", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  const bug = new Error("a bug");
  world.tap.fault = (method) => (method === "commit" ? bug : null);
  void world.director.publishMany([world.requestFor(webhook)]);
  await world.time.settle();
  expect(world.fatal.splice(0)).toEqual([bug]);
  world.crash();
});

/**
 * 300 deliveries wait, and are leased in turns of 5 ms; in the first one so many events are published, in the second one more.
 * What the store was asked for.
 */
async function publishDuringLeases(count: number): Promise<readonly string[]> {
  const world = await setup();
  const webhooks = await Promise.all(Array.from({ length: 300 }, () => world.webhook()));
  await world.call(world.director.pause());
  await world.call(world.director.publishMany(webhooks.map((webhook) => world.requestFor(webhook))));
  const before = world.tap.calls.length;
  const counts = [count, 1];
  world.tap.delay = (method) => {
    if (method !== "lease") return null;
    world.time.spend(5);
    const requests = webhooks.slice(0, counts.shift() ?? 0).map((webhook) => world.requestFor(webhook));
    if (requests.length > 0) void world.director.publishMany(requests);
    return null;
  };
  await world.call(world.director.resume());
  await world.advance(1_000);
  expect(world.receivers.attempts).toHaveLength(300 + count + 1);
  return world.tap.calls.slice(before).filter((call) => call === "lease" || call === "commit");
}

test("where many leases wait, what is published meanwhile is committed after the first few of them", async () => {
  const calls = await publishDuringLeases(1);
  expect(calls.slice(0, 4)).toEqual(["lease", "commit", "lease", "commit"]);
});

test("after many events were taken in, more than as many leases follow, however long they take", async () => {
  const calls = await publishDuringLeases(100);
  expect(calls.slice(0, 5)).toEqual(["lease", "commit", "lease", "lease", "lease"]);
});
