import { describe, expect, test } from "vitest";
import { type EngineWorld, setup } from "../support/engine-world.ts";
import { HANGS } from "../support/scripted-sender.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const NO_JITTER = { "retry.jitter": 0 };

/** Successes that bring a lane's concurrency to `limit`. */
async function warm(world: EngineWorld, webhook: Awaited<ReturnType<EngineWorld["webhook"]>>, limit: number) {
  world.receivers.set(webhook.id, { afterMs: 1 });
  await world.publish(webhook, limit);
  await world.advance(100);
}

/** Lanes of many users that have fresh deliveries for every slot, for a minute. */
async function keepBusy(world: EngineWorld) {
  for (let n = 0; n < 30; n += 1) {
    const webhook = await world.webhook({ userId: `busy${n}`, concurrencyMax: 2 });
    await warm(world, webhook, 20);
    world.receivers.set(webhook.id, { afterMs: 500 });
    await world.publish(webhook, 120);
  }
}

describe("cap", () => {
  test("a lane has no more in flight than its concurrency_max", async () => {
    const world = await setup();
    const webhook = await world.webhook({ concurrencyMax: 7 }, { afterMs: 5 });
    await world.publish(webhook, 200);
    await world.advance(SECOND);
    expect(world.receivers.attempts).toHaveLength(200);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(7);
  });

  test("all lanes together have no more in flight than in_flight_max", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 10 } });
    const webhooks = await Promise.all(Array.from({ length: 20 }, () => world.webhook({}, { afterMs: 5 })));
    let peak = 0;
    world.receivers.onAttempt = () => {
      peak = Math.max(peak, world.receivers.inFlightInAll);
    };
    for (const webhook of webhooks) await world.publish(webhook, 10);
    await world.advance(2 * SECOND);
    expect(world.receivers.attempts).toHaveLength(200);
    expect(peak).toBeLessThanOrEqual(10);
  });

  test("a cap that is lowered holds for the next attempt", async () => {
    const world = await setup();
    const webhook = await world.webhook();
    await warm(world, webhook, 30);
    world.receivers.set(webhook.id, { afterMs: 100 });
    await world.call(world.director.updateWebhook(webhook.id, { concurrencyMax: 3 }));
    world.receivers.inFlightPeak.clear();
    await world.publish(webhook, 20);
    await world.advance(50);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(3);
  });
});

describe("ramp", () => {
  test("a lane starts with two in flight, and one more with each success", async () => {
    const world = await setup();
    const webhook = await world.webhook({}, { afterMs: 100 });
    await world.publish(webhook, 100);
    const seen: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      seen.push(world.receivers.inFlight.get(webhook.id) ?? 0);
      await world.advance(100);
    }
    expect(seen).toEqual([2, 4, 8, 16]);
  });

  test("timeouts among answers halve what a lane may have in flight", async () => {
    const world = await setup({ config: { "breaker.consecutive": 1000, "breaker.ratio": 1 } });
    const webhook = await world.webhook({ timeoutMs: 1_000 });
    await warm(world, webhook, 30);
    expect(await world.live(webhook.id)).toMatchObject({ concurrency: 32 });
    world.receivers.set(webhook.id, HANGS);
    await world.publish(webhook, 4);
    world.receivers.set(webhook.id, { status: 404, afterMs: 1 });
    await world.advance(200);
    await world.publish(webhook, 1);
    await world.advance(900);
    expect(await world.live(webhook.id)).toMatchObject({ concurrency: 16, breaker: "closed" });
  });

  test("timeouts with no answer beside them take it to where it began", async () => {
    const world = await setup({ config: { "breaker.consecutive": 1000, "breaker.ratio": 1 } });
    const webhook = await world.webhook({ timeoutMs: 1_000 });
    await warm(world, webhook, 30);
    world.receivers.set(webhook.id, HANGS);
    await world.publish(webhook, 4);
    await world.advance(1_100);
    expect(await world.live(webhook.id)).toMatchObject({ concurrency: 2, breaker: "closed" });
  });

  test("a new callback URL is a new receiver: pace, breaker and hold start anew", async () => {
    const world = await setup();
    const webhook = await world.webhook();
    await warm(world, webhook, 30);
    world.receivers.set(webhook.id, { status: 503, retryAfterMs: 200_000 });
    const ids = await world.publish(webhook, 30);
    await world.advance(100);
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "open" });
    world.receivers.set(webhook.id, { afterMs: 50 });
    await world.call(world.director.updateWebhook(webhook.id, { callbackUrl: "https://other.example/" }));
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed", concurrency: 2 });
    await world.advance(10 * MINUTE);
    expect(await world.tally(ids)).toEqual({ success: 30 });
    expect(world.receivers.attempts.at(-1)!.target.callbackUrl).toBe("https://other.example/");
  });
});

describe("unproven lanes", () => {
  test("those that have shown no success share half of the slots, so that others go on", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 40 } });
    const healthy = await world.webhook({ userId: "good" });
    await warm(world, healthy, 30);
    for (let index = 0; index < 60; index += 1) {
      await world.publish(await world.webhook({ userId: `bad${index}` }, HANGS), 4);
    }
    expect(world.receivers.inFlightInAll).toBe(20);
    world.receivers.set(healthy.id, { afterMs: 100 });
    await world.publish(healthy, 20);
    await world.advance(10);
    // All but the tenth that is left to users with less.
    expect(world.receivers.inFlight.get(healthy.id)).toBe(16);
  });

  test("lanes that wait for their share all get it, also when one that was let in has nothing to send", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 4, "breaker.consecutive": 1000 } });
    const webhooks = await Promise.all(Array.from({ length: 10 }, () => world.webhook({}, { afterMs: 100 })));
    const ids = [];
    for (const webhook of webhooks) ids.push(...(await world.publish(webhook, 1)));
    expect(world.receivers.inFlightInAll).toBe(2);
    for (const id of ids.slice(2, 5)) await world.call(world.director.cancelDelivery(id));
    await world.advance(2 * SECOND);
    expect(await world.tally(ids)).toEqual({ success: 7, "dead/cancelled": 3 });
  });

  test("held lanes get their share also while proven ones have work for every slot", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 10 } });
    await keepBusy(world);
    const fresh = await Promise.all(
      Array.from({ length: 12 }, (_, n) => world.webhook({ userId: `u${n}` }, { afterMs: 2_000 })),
    );
    const ids = [];
    for (const webhook of fresh) ids.push(...(await world.publish(webhook, 1)));
    await world.advance(30 * SECOND);
    expect(await world.tally(ids)).toEqual({ success: 12 });
    expect(await world.gauge("hookd_lanes_ready")).toBeGreaterThan(10);
  });

  test("a lane whose breaker opened is unproven again: probes cannot take every slot", async () => {
    const world = await setup({
      config: { "delivery.in_flight_max": 20, "breaker.probe": "1s", "breaker.probe_max": "1s" },
    });
    const broken = await Promise.all(
      Array.from({ length: 15 }, (_, n) => world.webhook({ userId: `u${n}` })),
    );
    for (const webhook of broken) await warm(world, webhook, 4);
    for (const webhook of broken) world.receivers.set(webhook.id, { status: 500 });
    for (const webhook of broken) await world.publish(webhook, 10);
    await world.advance(5 * SECOND);
    for (const webhook of broken) expect(await world.live(webhook.id)).toMatchObject({ breaker: "open" });
    for (const webhook of broken) world.receivers.set(webhook.id, HANGS);
    let peak = 0;
    world.receivers.onAttempt = () => {
      peak = Math.max(peak, world.receivers.inFlightInAll);
    };
    await world.advance(3 * MINUTE);
    expect(peak).toBeGreaterThan(5);
    expect(peak).toBeLessThanOrEqual(10);
  });
});

describe("silent lanes", () => {
  test("a receiver that has answered well and now hangs keeps no more than two, long before its timeout", async () => {
    const world = await setup();
    const webhook = await world.webhook();
    await warm(world, webhook, 30);
    world.receivers.set(webhook.id, HANGS);
    world.receivers.inFlightPeak.clear();
    await world.publish(webhook, 2);
    await world.advance(SECOND);
    await world.publish(webhook, 20);
    await world.advance(10 * SECOND);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(2);
  });

  test("its timeouts are no answers: what waits does not follow in their place", async () => {
    const world = await setup({ config: { "breaker.consecutive": 1_000 } });
    const webhook = await world.webhook();
    await warm(world, webhook, 60);
    world.receivers.set(webhook.id, HANGS);
    await world.publish(webhook, 10);
    await world.advance(SECOND);
    await world.publish(webhook, 200);
    await world.advance(14.5 * SECOND);
    world.receivers.inFlightPeak.clear();
    await world.advance(40 * SECOND);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBeLessThanOrEqual(3);
  });

  test("one answer and it goes on as before", async () => {
    const world = await setup();
    const webhook = await world.webhook();
    await warm(world, webhook, 30);
    world.receivers.set(webhook.id, { afterMs: 3 * SECOND });
    await world.publish(webhook, 2);
    await world.advance(SECOND);
    world.receivers.set(webhook.id, { afterMs: 100 });
    world.receivers.inFlightPeak.clear();
    const ids = await world.publish(webhook, 20);
    await world.advance(5 * SECOND);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(20);
    expect(new Set(await world.fates(ids))).toEqual(new Set(["success"]));
  });

  test("receivers that hung together are tried again one after the other, each of them", async () => {
    const world = await setup({ config: { "delivery.timeout": "15s" } });
    const webhooks = await Promise.all(Array.from({ length: 100 }, () => world.webhook({}, HANGS)));
    for (const webhook of webhooks) await world.publish(webhook, 3);
    expect(world.receivers.attempts).toHaveLength(200);
    await world.advance(15_000);
    const again = () => world.receivers.attempts.slice(200);
    expect(again().length).toBeLessThan(10);
    await world.advance(1_000);
    expect(new Set(again().map(({ order }) => order.webhookId)).size).toBe(100);
    const moments = again().map(({ atMono }) => atMono);
    const inTenMs = moments.map((from) => moments.filter((at) => at >= from && at < from + 10).length);
    expect(Math.max(...inTenMs)).toBeLessThanOrEqual(4);
  });

  test("a receiver that hung takes one turn for all that timed out together", async () => {
    const world = await setup({ config: { "delivery.timeout": "15s", "breaker.consecutive": 1_000 } });
    const many = await Promise.all(Array.from({ length: 40 }, () => world.webhook({ concurrencyMax: 50 })));
    for (const webhook of many) await warm(world, webhook, 60);
    for (const webhook of many) world.receivers.set(webhook.id, HANGS);
    for (const webhook of many) await world.publish(webhook, 50);
    const late = await world.webhook({}, HANGS);
    await world.advance(10);
    await world.publish(late, 3);
    const before = world.receivers.of(late.id).length;
    // Had each of 2,000 attempts taken a turn, this one's would be twelve seconds away.
    await world.advance(15 * SECOND + 500);
    expect(world.receivers.of(late.id).length).toBeGreaterThan(before);
  });

  test("a receiver that hung and answers another attempt meanwhile gives its turn back", async () => {
    const world = await setup({ config: { "delivery.timeout": "15s", "breaker.consecutive": 1_000 } });
    const others = await Promise.all(Array.from({ length: 1_000 }, () => world.webhook({}, HANGS)));
    for (const webhook of others) await world.publish(webhook);
    let attempts = 0;
    const webhook = await world.webhook({}, () => {
      attempts += 1;
      return attempts === 1 ? HANGS : { afterMs: 14_020 };
    });
    await world.advance(10);
    await world.publish(webhook);
    await world.advance(1_100);
    await world.publish(webhook, 3);
    // The first attempt times out behind a thousand others: its turn is seven seconds away. The second one ends well before.
    await world.advance(15_200 - 1_110);
    expect(world.receivers.of(webhook.id).length).toBeGreaterThanOrEqual(3);
  });

  test("a receiver that always takes its time is not silent", async () => {
    const world = await setup();
    const webhook = await world.webhook({}, { afterMs: 2 * SECOND });
    for (let round = 0; round < 6; round += 1) {
      await world.publish(webhook, 10);
      await world.advance(5 * SECOND);
    }
    world.receivers.inFlightPeak.clear();
    await world.publish(webhook, 5);
    await world.advance(SECOND);
    await world.publish(webhook, 5);
    await world.advance(500);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(10);
  });
});

describe("budget of retries", () => {
  /** Many lanes whose retries are due together, and one with fresh deliveries. */
  async function storm(fresh: number) {
    const world = await setup({
      config: { ...NO_JITTER, "delivery.in_flight_max": 50, "retry.schedule": ["10s", "10s", "10s"] },
    });
    const healthy = await world.webhook({ userId: "fresh" });
    const flaky = await Promise.all(Array.from({ length: 20 }, (_, n) => world.webhook({ userId: `u${n}` })));
    for (const webhook of [healthy, ...flaky]) await warm(world, webhook, 60);
    for (const webhook of flaky) world.receivers.set(webhook.id, { status: 500 });
    for (const webhook of flaky) await world.publish(webhook, 4);
    await world.advance(9 * SECOND);
    for (const webhook of [healthy, ...flaky]) world.receivers.set(webhook.id, { afterMs: 500 });
    await world.publish(healthy, fresh);
    let [peak, freshPeak] = [0, 0];
    world.receivers.onAttempt = () => {
      const ofFresh = world.receivers.inFlight.get(healthy.id) ?? 0;
      const retries = world.receivers.inFlightInAll - ofFresh;
      if (ofFresh > 0) peak = Math.max(peak, retries);
      freshPeak = Math.max(freshPeak, retries);
    };
    return { world, healthy, flaky, peaks: () => ({ whileFreshWait: peak, inAll: freshPeak }) };
  }

  test("retries have at most a fifth of the slots while fresh deliveries wait, and never none", async () => {
    const { world, flaky, peaks } = await storm(1_000);
    await world.advance(4 * SECOND);
    expect(peaks().whileFreshWait).toBe(10);
    expect(flaky.some(({ id }) => world.receivers.of(id).length > 64)).toBe(true);
  });

  test("retries that were held back go on while many lanes have fresh deliveries for every slot", async () => {
    const world = await setup({
      config: { ...NO_JITTER, "delivery.in_flight_max": 10, "retry.schedule": ["5s", "5s"] },
    });
    const flaky = await Promise.all(Array.from({ length: 10 }, (_, n) => world.webhook({ userId: `u${n}` })));
    for (const webhook of flaky) await warm(world, webhook, 4);
    for (const webhook of flaky) world.receivers.set(webhook.id, { status: 500 });
    for (const webhook of flaky) await world.publish(webhook, 1);
    await world.advance(100);
    for (const webhook of flaky) world.receivers.set(webhook.id, { afterMs: 500 });
    await keepBusy(world);
    await world.advance(30 * SECOND);
    for (const { id } of flaky) expect(world.receivers.of(id)).toHaveLength(6);
    expect(await world.gauge("hookd_lanes_ready")).toBeGreaterThan(10);
  });

  test("with nothing fresh waiting retries take all slots, and every one is sent", async () => {
    const { world, flaky, peaks } = await storm(0);
    await world.advance(6 * SECOND);
    expect(peaks().inAll).toBe(50);
    for (const { id } of flaky) expect(world.receivers.of(id)).toHaveLength(68);
  });

  test("retries of fifo lanes count too", async () => {
    const world = await setup({
      config: { ...NO_JITTER, "delivery.in_flight_max": 10, "retry.schedule": ["10s", "10s", "10s"] },
    });
    const healthy = await world.webhook({ userId: "fresh" });
    const fifo = await Promise.all(
      Array.from({ length: 20 }, (_, n) => world.webhook({ userId: `u${n}`, ordering: "fifo" })),
    );
    for (const webhook of [healthy, ...fifo]) await warm(world, webhook, 10);
    for (const webhook of fifo) world.receivers.set(webhook.id, { status: 500 });
    for (const webhook of fifo) await world.publish(webhook, 1);
    await world.advance(9 * SECOND);
    for (const webhook of [healthy, ...fifo]) world.receivers.set(webhook.id, { afterMs: 500 });
    await world.publish(healthy, 200);
    let peak = 0;
    world.receivers.onAttempt = () => {
      const ofFresh = world.receivers.inFlight.get(healthy.id) ?? 0;
      if (ofFresh > 0) peak = Math.max(peak, world.receivers.inFlightInAll - ofFresh);
    };
    await world.advance(4 * SECOND);
    expect(peak).toBe(2);
  });
});

describe("rate limit", () => {
  test("a lane sends its burst and then its rate, also handed off and after a failure", async () => {
    const world = await setup({ config: NO_JITTER });
    const webhook = await world.webhook({ rateLimit: { perSecond: 10, burst: 2 } });
    const ids = await world.publish(webhook, 22);
    await world.advance(1_990);
    expect(world.receivers.attempts.length).toBeLessThanOrEqual(22);
    for (let from = 0; from <= 1_000; from += 100) {
      const within = world.pace(webhook.id).filter((at) => at > from && at <= from + SECOND);
      expect(within.length).toBeLessThanOrEqual(11);
    }
    await world.advance(100);
    expect(await world.tally(ids)).toEqual({ success: 22 });
  });

  test("a slow rate is kept by a lane that is idle for long", async () => {
    const world = await setup();
    const webhook = await world.webhook({ rateLimit: { perSecond: 0.001, burst: 1 } });
    await world.publish(webhook, 1);
    await world.advance(8 * MINUTE);
    await world.publish(webhook, 1);
    await world.advance(SECOND);
    expect(world.receivers.attempts).toHaveLength(1);
    await world.advance(9 * MINUTE);
    expect(world.receivers.attempts).toHaveLength(2);
  });

  test("retries and fresh deliveries share the rate", async () => {
    const world = await setup({
      config: { ...NO_JITTER, "retry.schedule": ["1s"], "breaker.consecutive": 1000 },
    });
    const webhook = await world.webhook({ rateLimit: { perSecond: 1, burst: 1 } }, { status: 500 });
    await world.publish(webhook, 5);
    await world.advance(20 * SECOND);
    const gaps = world.pace(webhook.id).map((at, index, all) => at - (all[index - 1] ?? -SECOND));
    expect(gaps).toHaveLength(10);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(SECOND);
  });
});

describe("breaker", () => {
  const CONFIG = { ...NO_JITTER, "retry.schedule": ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"] };

  async function opened(config = {}) {
    const world = await setup({ config: { ...CONFIG, ...config } });
    const webhook = await world.webhook({}, { status: 500 });
    const ids = await world.publish(webhook, 8);
    await world.advance(100);
    return { world, webhook, ids };
  }

  test("opens when five different deliveries in a row failed, and uses no attempts of the others", async () => {
    const { world, webhook, ids } = await opened();
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "open", backlog: 8 });
    expect(await world.gauge("hookd_lanes_open")).toBe(1);
    const before = world.receivers.attempts.length;
    await world.advance(14 * SECOND);
    expect(world.receivers.attempts).toHaveLength(before);
    expect(await world.tally(ids)).toEqual({ retrying: 6, pending: 2 });
  });

  test("one delivery that fails again and again does not open it", async () => {
    const world = await setup({ config: CONFIG });
    const webhook = await world.webhook({}, { status: 500 });
    await world.publish(webhook, 1);
    await world.advance(20 * SECOND);
    expect(world.receivers.attempts).toHaveLength(10);
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed" });
  });

  test("probes one at a time, every 30 s on average and then less often", async () => {
    const { world, webhook } = await opened();
    const before = world.receivers.attempts.length;
    await world.advance(30 * MINUTE);
    const probes = world.receivers.attempts.slice(before).map(({ atMono }) => atMono);
    const gaps = probes.slice(1).map((at, index) => at - probes[index]!);
    expect(gaps.length).toBeGreaterThan(5);
    expect(gaps.length).toBeLessThan(15);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(30 * SECOND);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(450 * SECOND + SECOND);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(2);
  });

  test("a probe is the oldest due delivery, and nothing is probed before it is due", async () => {
    const world = await setup({
      config: { ...NO_JITTER, "retry.schedule": ["10m"], "breaker.probe_max": "30s" },
    });
    const webhook = await world.webhook({}, { status: 500 });
    await world.publish(webhook, 5);
    await world.advance(9 * MINUTE);
    expect(world.receivers.attempts).toHaveLength(5);
    const late = await world.publishOne(webhook);
    await world.advance(10);
    expect(world.order().at(-1)).toBe(late);
    await world.advance(2 * MINUTE);
    expect(world.order()[6]).toBe(world.order()[0]);
  });

  test("a success closes it, and the backlog follows, gently", async () => {
    const { world, webhook, ids } = await opened();
    ids.push(...(await world.publish(webhook, 300)));
    world.receivers.set(webhook.id, { afterMs: 20 });
    await world.advance(46 * SECOND);
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed" });
    await world.advance(20 * SECOND);
    expect(await world.tally(ids)).toEqual({ success: 308 });
    const probe = world.receivers.attempts.findIndex(({ verdict }) => verdict === "success");
    const since = world.receivers.attempts[probe]!.endedAtMono!;
    const begun = world.receivers.attempts.slice(probe + 1).map(({ atMono }) => atMono - since);
    expect(begun.filter((at) => at < 1_500).length).toBeLessThanOrEqual(75);
    expect(begun.filter((at) => at < 3_000).length).toBeLessThanOrEqual(75 + 150);
  });

  test("recovered, a lane takes ten seconds to its full concurrency", async () => {
    const { world, webhook } = await opened();
    await world.publish(webhook, 5_000);
    world.receivers.set(webhook.id, { afterMs: 50 });
    while ((await world.live(webhook.id)).breaker === "open") await world.advance(100);
    const seen: (number | null)[] = [];
    for (let step = 0; step < 8; step += 1) {
      seen.push((await world.live(webhook.id)).concurrency);
      await world.advance(1_500);
    }
    expect(seen).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
  });

  test("any final answer closes it: the receiver answers", async () => {
    const { world, webhook } = await opened();
    world.receivers.set(webhook.id, { status: 404 });
    await world.advance(MINUTE);
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed" });
  });

  test("open it stays over a restart and over a crash, with its probe's time", async () => {
    const { world, webhook } = await opened();
    const parkedUntil = (await world.live(webhook.id)).parkedUntil!;
    world.crash();
    await world.restart();
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "open", parkedUntil });
    const before = world.receivers.attempts.length;
    await world.advance(parkedUntil - world.time.now() - 10);
    expect(world.receivers.attempts).toHaveLength(before);
    await world.advance(100);
    expect(world.receivers.attempts).toHaveLength(before + 1);
    const second = (await world.live(webhook.id)).parkedUntil!;
    expect(second).toBeGreaterThan(parkedUntil);
    world.crash();
    await world.restart();
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "open", parkedUntil: second });
  });

  test("closed it is after a crash too", async () => {
    const { world, webhook } = await opened();
    world.receivers.set(webhook.id, {});
    await world.advance(2 * MINUTE);
    world.crash();
    await world.restart();
    expect(await world.live(webhook.id)).toMatchObject({ breaker: "closed" });
    expect(world.disk.laneStates.size).toBe(0);
  });
});

describe("pause", () => {
  test("a paused lane sends nothing and loses nothing; resumed it goes on at once", async () => {
    const world = await setup({ config: NO_JITTER });
    const webhook = await world.webhook();
    await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
    const ids = await world.publish(webhook, 3);
    await world.advance(10 * MINUTE);
    expect(world.receivers.attempts).toEqual([]);
    world.crash();
    await world.restart();
    await world.advance(MINUTE);
    expect(world.receivers.attempts).toEqual([]);
    await world.call(world.director.updateWebhook(webhook.id, { isPaused: false }));
    await world.advance(10);
    expect(await world.tally(ids)).toEqual({ success: 3 });
  });

  test("a pause holds retries too", async () => {
    const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["1s"] } });
    const webhook = await world.webhook({}, { status: 500 });
    await world.publish(webhook, 1);
    await world.advance(500);
    await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
    await world.advance(MINUTE);
    expect(world.receivers.attempts).toHaveLength(1);
  });
});

describe("fifo", () => {
  test("deliveries go one at a time, in the order accepted", async () => {
    const world = await setup();
    const webhook = await world.webhook({ ordering: "fifo" }, { afterMs: 20 });
    const ids = [...(await world.publish(webhook, 5)), ...(await world.publish(webhook, 5))];
    await world.advance(SECOND);
    expect(world.order()).toEqual(ids);
    expect(world.receivers.inFlightPeak.get(webhook.id)).toBe(1);
  });

  test("a retrying head holds its lane; when it is dead the next goes", async () => {
    const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["10s", "10s"] } });
    const webhook = await world.webhook({ ordering: "fifo" });
    let head: number | null = null;
    world.receivers.set(webhook.id, (order) => {
      head ??= order.deliveryId;
      return order.deliveryId === head ? { status: 500 } : {};
    });
    const [first, second, third] = await world.publish(webhook, 3);
    await world.advance(1);
    world.crash();
    await world.restart();
    await world.advance(MINUTE);
    const order = world.order();
    expect(order.slice(0, -2).every((id) => id === first)).toBe(true);
    expect(order.slice(-2)).toEqual([second, third]);
    expect(await world.fate(first!)).toBe("dead/exhausted");
  });

  test("a retrying head holds its lane for what comes later too", async () => {
    const world = await setup({ config: { ...NO_JITTER, "retry.schedule": ["10s"] } });
    const webhook = await world.webhook({ ordering: "fifo" }, { status: 500 });
    const head = await world.publishOne(webhook);
    await world.advance(SECOND);
    world.receivers.set(webhook.id, {});
    const next = await world.publishOne(webhook);
    await world.advance(20 * SECOND);
    expect(world.order()).toEqual([head, head, next]);
  });

  test("a replay goes to the end", async () => {
    const world = await setup();
    const webhook = await world.webhook({ ordering: "fifo" }, { status: 404 });
    const dead = await world.publishOne(webhook);
    await world.advance(10);
    world.receivers.set(webhook.id, { afterMs: 100 });
    const before = await world.publish(webhook, 3);
    await world.advance(10);
    await world.call(world.director.retryDelivery(dead));
    const after = await world.publish(webhook, 2);
    await world.advance(SECOND);
    expect(world.order().slice(1)).toEqual([...before, dead, ...after]);
  });
});

describe("fairness", () => {
  test("a user that floods does not make others wait", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 40 } });
    const flood = await Promise.all(Array.from({ length: 8 }, () => world.webhook({ userId: "flood" })));
    const other = await world.webhook({ userId: "other" });
    for (const webhook of [...flood, other]) await warm(world, webhook, 50);
    for (const webhook of [...flood, other]) world.receivers.set(webhook.id, { afterMs: 100 });
    for (const webhook of flood) await world.publish(webhook, 1_000);
    await world.advance(SECOND);
    const since = world.time.mono();
    const seen = world.receivers.of(other.id).length;
    await world.publish(other, 20);
    await world.advance(300);
    const late = world.receivers
      .of(other.id)
      .slice(seen)
      .map(({ atMono }) => atMono - since);
    expect(late).toHaveLength(20);
    expect(Math.max(...late)).toBeLessThanOrEqual(200);
  });

  test("with few slots a user with one delivery does not wait for the turns of all who have many", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 4 } });
    for (let n = 0; n < 10; n += 1) {
      const many = await world.webhook({ userId: `many${n}` });
      await warm(world, many, 20);
      world.receivers.set(many.id, { afterMs: 100 });
      await world.publish(many, 60);
    }
    const one = await world.webhook({ userId: "one" }, { afterMs: 10 });
    await world.advance(500);
    const begun = world.receivers.attempts.length;
    await world.publish(one, 1);
    await world.advance(2 * SECOND);
    const waited = world.receivers.attempts.findIndex(({ order }) => order.webhookId === one.id) - begun;
    // A round is one delivery for each of the ten others, and what was planned already.
    expect(waited).toBeGreaterThan(0);
    expect(waited).toBeLessThan(20);
  });

  test("what is accepted now does not get the slot that another user has been waiting for", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 1 } });
    const waiting = await world.webhook({ userId: "patient" }, { afterMs: 100 });
    const other = await world.webhook({ userId: "quick" }, { afterMs: 100 });
    await world.call(world.director.updateWebhook(waiting.id, { isPaused: true }));
    const first = await world.publishOne(waiting);
    const resumed = world.director.updateWebhook(waiting.id, { isPaused: false });
    // In one turn: the lane stands in the queue when the commit is built.
    await world.call(resumed.then(() => world.director.publish(world.requestFor(other))));
    await world.advance(SECOND);
    expect(world.order()[0]).toBe(first);
    expect(world.order()).toHaveLength(2);
  });

  test("users with a backlog get equal shares, however many webhooks they have", async () => {
    const world = await setup({ config: { "delivery.in_flight_max": 32 } });
    const many = await Promise.all(Array.from({ length: 6 }, () => world.webhook({ userId: "many" })));
    const one = await world.webhook({ userId: "one" });
    for (const webhook of [...many, one]) await warm(world, webhook, 50);
    for (const webhook of [...many, one]) world.receivers.set(webhook.id, { afterMs: 100 });
    const before = new Map([...many, one].map(({ id }) => [id, world.receivers.of(id).length]));
    for (const webhook of many) await world.publish(webhook, 500);
    await world.publish(one, 500);
    await world.advance(2 * SECOND);
    const sent = (id: typeof one.id) => world.receivers.of(id).length - before.get(id)!;
    const ofMany = many.reduce((sum, { id }) => sum + sent(id), 0);
    expect(sent(one.id)).toBeGreaterThan(0.75 * ofMany);
    expect(sent(one.id)).toBeLessThan(1.25 * ofMany);
  });
});

describe("backlog limits", () => {
  const codeOf = (world: EngineWorld, webhook: Awaited<ReturnType<EngineWorld["webhook"]>>, count = 1) =>
    world.publish(webhook, count).then(
      () => "accepted",
      (problem) => `${problem.status} ${problem.code}`,
    );

  test("a full lane refuses with 429, that webhook alone, until it has room", async () => {
    const world = await setup({ config: { "limits.lane_backlog": 10 } });
    const full = await world.webhook({}, { afterMs: 100 });
    const other = await world.webhook();
    expect(await codeOf(world, full, 12)).toBe("accepted");
    expect(await codeOf(world, full)).toBe("429 lane_full");
    expect(await codeOf(world, other)).toBe("accepted");
    expect(await world.counter('hookd_events_refused_total{code="lane_full"}')).toBe(1);
    await world.advance(150);
    expect(await codeOf(world, full)).toBe("accepted");
  });

  test("a lane fills within one commit too", async () => {
    const world = await setup({ config: { "limits.lane_backlog": 10 } });
    const webhook = await world.webhook({}, HANGS);
    const requests = Array.from({ length: 20 }, () => world.requestFor(webhook));
    const outcomes = await world.call(world.director.publishMany(requests));
    expect(outcomes.filter((outcome) => outcome instanceof Error)).toHaveLength(8);
  });

  test("a user's backlog is limited, and only that user's", async () => {
    const world = await setup({ config: { "limits.user_backlog": 10 } });
    const flood = [
      await world.webhook({ userId: "flood" }, HANGS),
      await world.webhook({ userId: "flood" }, HANGS),
    ];
    const other = await world.webhook({ userId: "other" }, HANGS);
    expect(await codeOf(world, flood[0]!, 8)).toBe("accepted");
    expect(await codeOf(world, flood[1]!, 6)).toBe("accepted");
    expect(await codeOf(world, flood[1]!)).toBe("429 user_full");
    const mixed = [...Array.from({ length: 9 }, () => world.requestFor(flood[0]!)), world.requestFor(other)];
    const outcomes = await world.call(world.director.publishMany(mixed));
    expect(outcomes.at(-1)).toMatchObject({ deliveryCount: 1 });
  });

  test("the queue as a whole refuses with 503", async () => {
    const world = await setup({ config: { "limits.queue_depth": 10 } });
    const webhook = await world.webhook({}, HANGS);
    expect(await codeOf(world, webhook, 10)).toBe("accepted");
    expect(await codeOf(world, webhook)).toBe("503 queue_full");
  });

  test("an event that is refused for the queue makes no lane for its webhook", async () => {
    const world = await setup({ config: { "limits.queue_depth": 10 } });
    const [known, unknown] = [await world.webhook({}, HANGS), await world.webhook({}, HANGS)];
    expect(await codeOf(world, known, 10)).toBe("accepted");
    expect(await codeOf(world, unknown)).toBe("503 queue_full");
    expect(await world.gauge("hookd_lanes")).toBe(1);
  });
});
