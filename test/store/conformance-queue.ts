import { expect, test } from "vitest";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Setup } from "./conformance.ts";
import { FAR, START } from "./world.ts";

export function queueTests(setup: Setup): void {
  test("an event that is appended due is leased with its bytes and its names", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const payload = Buffer.from('{ "a":1.0, "b" : 12345678901234567890 }\n');
    const id = await world.publish({
      webhooks: [hook],
      payload,
      uid: "u-1",
      contentType: "text/x; charset=b",
    });
    const { leased, nextDueAt } = await world.lease(hook.id, { firstToken: 5 });
    expect(leased).toHaveLength(1);
    expect({ ...leased[0], payload: null }).toEqual({
      id,
      token: 5,
      webhookId: hook.id,
      event: id,
      userId: "acme",
      eventId: "user.created",
      uid: "u-1",
      contentType: "text/x; charset=b",
      payload: null,
      attemptCount: 0,
      roundStart: 0,
      queuedAt: START,
      trace: null,
    });
    expect(Buffer.from(leased[0]!.payload)).toEqual(payload);
    expect(nextDueAt).toBe(null);
  });

  test("an event's place in a trace is leased with its deliveries, retried, replayed and after a crash", async () => {
    const world = await setup();
    const hooks = [await world.webhook(), await world.webhook({ userId: "globex" })];
    const trace = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: 1 };
    const ids = [
      await world.publish({ webhooks: [hooks[0]!], trace, uid: "traced" }),
      await world.publish({ webhooks: [hooks[0]!], trace, contentType: "text/plain" }),
      await world.publish({ webhooks: [hooks[0]!] }),
      await world.publish({ webhooks: hooks, userId: "*", trace }),
    ];
    expect(ids).toHaveLength(4);
    for (const status of ["pending", "retrying", "retrying"] as const) {
      const { leased } = await world.lease(hooks[0]!.id, { status, dueBy: FAR });
      expect(leased.map((one) => one.trace)).toEqual([trace, trace, null, trace]);
      for (const one of leased) await world.settle(one, { status: "retrying", dueAt: START + 1_000 });
      await world.crash();
    }
    const [one] = (await world.lease(hooks[1]!.id, { dueBy: FAR })).leased;
    expect(one!.trace).toEqual(trace);
    await world.settle(one!, { status: "dead", reason: "permanent" });
    await world.store.revive(one!.id, START);
    expect((await world.leaseOne(hooks[1]!.id)).trace).toEqual(trace);
  });

  test("any bytes come back as they were given, also none", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const every = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 31) % 256);
    const ids = [every, new Uint8Array(0), Buffer.from("\u0000ÿ\ufeff")].map(
      async (payload) => [await world.publish({ webhooks: [hook], payload }), payload] as const,
    );
    await world.crash();
    for (const [id, payload] of await Promise.all(ids)) {
      const event = await world.store.getEvent(id as never, 10);
      expect(Buffer.compare(event!.payload, payload)).toBe(0);
    }
  });

  test("an event appended leased is not granted by lease, and is settled with its token", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.publish({ webhooks: [hook], token: 9 });
    expect((await world.lease(hook.id, { dueBy: FAR })).leased).toEqual([]);
    expect((await world.get(id)).isLeased).toBe(true);
    const { stale } = await world.settle({ id, token: 9, webhookId: hook.id });
    expect(stale).toEqual([]);
    expect((await world.get(id)).status).toBe("success");
  });

  test("an event for several webhooks makes a delivery for each, with one payload", async () => {
    const world = await setup();
    const hooks = [
      await world.webhook(),
      await world.webhook({ userId: "globex" }),
      await world.webhook({ userId: "initech" }),
    ];
    const event = world.event({ webhooks: hooks, userId: "*" });
    await world.append(event);
    for (const [index, hook] of hooks.entries()) {
      const { leased } = await world.lease(hook.id);
      expect(leased.map(({ id, event: of, userId }) => [id, of, userId])).toEqual([
        [event.targets[index]!.id, event.seq, hook.userId],
      ]);
      expect(Buffer.from(leased[0]!.payload)).toEqual(event.payload);
    }
    const stored = await world.store.getEvent(event.seq, 2);
    expect(stored).toMatchObject({ deliveryCount: 3, userId: "*" });
    expect(stored!.deliveries.map(({ id }) => id)).toEqual(event.targets.slice(0, 2).map(({ id }) => id));
    expect(await world.store.getEvent(event.targets[1]!.id as never, 2)).toBe(null);
  });

  test("a delivery appended dead is dead at once, and nothing is due", async () => {
    const world = await setup();
    const hook = await world.webhook({ isActive: false });
    const id = await world.publish({ webhooks: [hook], reason: "disabled", token: 4 });
    await world.crash();
    expect(await world.get(id)).toMatchObject({
      status: "dead",
      reason: "disabled",
      dueAt: null,
      completedAt: START,
      isLeased: false,
    });
    expect((await world.lease(hook.id, { dueBy: FAR })).leased).toEqual([]);
  });

  test("an outcome of each status is what the delivery shows", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const retrying = await world.delivery(hook, "retrying", { dueAt: START + 7_000 });
    const success = await world.delivery(hook, "success");
    const dead = await world.delivery(hook, "dead", { reason: "permanent" });
    const pending = await world.publish({ webhooks: [hook], token: 3 });
    await world.settle(
      { id: pending, token: 3, webhookId: hook.id },
      { status: "pending", attempt: null, attemptCount: 0, dueAt: START + 1 },
    );
    for (const phase of ["fresh", "folded", "reopened"]) {
      if (phase === "folded") await world.settleDown();
      if (phase === "reopened") await world.crash();
      const open = { completedAt: null, reason: null, isLeased: false };
      expect(await world.get(retrying), phase).toMatchObject({
        ...open,
        status: "retrying",
        dueAt: START + 7_000,
        attemptCount: 1,
        statusCode: 503,
        durationMs: 12,
      });
      expect(await world.get(success), phase).toMatchObject({
        status: "success",
        dueAt: null,
        completedAt: START,
        statusCode: 200,
      });
      expect(await world.get(dead), phase).toMatchObject({
        status: "dead",
        reason: "permanent",
        dueAt: null,
      });
      expect(await world.get(pending), phase).toMatchObject({
        ...open,
        status: "pending",
        dueAt: START + 1,
        attemptCount: 0,
        statusCode: null,
      });
    }
  });

  test("a settlement with another lease's token is reported stale and changes nothing", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const [a, b] = [await world.publish({ webhooks: [hook] }), await world.publish({ webhooks: [hook] })];
    const { leased } = await world.lease(hook.id);
    const first = leased.find(({ id }) => id === a)!;
    const second = leased.find(({ id }) => id === b)!;
    const { stale } = await world.commit({
      settlements: [
        world.settlement({ ...first, token: first.token + 1000 }),
        world.settlement(second),
        world.settlement({ ...second, id: 12345 as DeliveryId }),
        world.settlement(second, { status: "dead" }),
      ],
    });
    expect(stale).toEqual([0, 2, 3]);
    expect(await world.get(a)).toMatchObject({ status: "pending", isLeased: true, attemptCount: 0 });
    expect(await world.get(b)).toMatchObject({ status: "success" });
    expect((await world.settle(second, { status: "dead" })).stale).toEqual([0]);
    expect((await world.store.getDelivery(b))!.attempts).toHaveLength(1);
    expect(await world.commit({ settlements: [{ ...world.settlement(first), token: 0 }] })).toMatchObject({
      stale: [0],
    });
  });

  test("a lane's oldest due delivery is leased first, also over what is new and what is stored", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 10; index += 1) {
      ids.push(await world.publish({ webhooks: [hook] }));
      if (index === 4) await world.settleDown();
      world.clock.at += 10;
    }
    const first = await world.lease(hook.id, { limit: 3 });
    expect(first.leased.map(({ id }) => id)).toEqual(ids.slice(0, 3));
    expect(first.nextDueAt).toBe((await world.get(ids[3]!)).dueAt);
    const rest = await world.lease(hook.id);
    expect(rest.leased.map(({ id }) => id)).toEqual(ids.slice(3));
    expect(rest.nextDueAt).toBe(null);
    expect(new Set([...first.leased, ...rest.leased].map(({ token }) => token)).size).toBe(10);
  });

  test("pending and retrying deliveries are two queues, each by its own due time", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const late = await world.delivery(hook, "retrying", { dueAt: START + 900 });
    const early = await world.delivery(hook, "retrying", { dueAt: START + 300 });
    const pending = await world.delivery(hook, "pending");
    await world.settleDown();
    const middle = await world.delivery(hook, "retrying", { dueAt: START + 600 });
    const want = { status: "retrying" as const };
    expect(await world.lease(hook.id, { ...want, dueBy: START + 299 })).toMatchObject({
      leased: [],
      nextDueAt: START + 300,
    });
    const due = await world.lease(hook.id, { ...want, dueBy: START + 600 });
    expect(due.leased.map(({ id, attemptCount }) => [id, attemptCount])).toEqual([
      [early, 1],
      [middle, 1],
    ]);
    expect(due.nextDueAt).toBe(START + 900);
    expect((await world.lease(hook.id)).leased.map(({ id }) => id)).toEqual([pending]);
    expect((await world.lease(hook.id, { ...want, dueBy: FAR })).leased.map(({ id }) => id)).toEqual([late]);
  });

  test("of deliveries due at the same time the one accepted first goes first, wherever it waits", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let n = 0; n < 3; n += 1) ids.push(await world.publish({ webhooks: [hook] }));
    await world.settleDown();
    const first = await world.leaseOne(hook.id);
    await world.settle(first, { status: "pending", attempt: null, attemptCount: 0, dueAt: START });
    expect((await world.lease(hook.id, { limit: 2 })).leased.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  });

  test("one call leases for many lanes, and answers for each", async () => {
    const world = await setup();
    const a = await world.webhook();
    const b = await world.webhook({ eventId: "other" });
    const [first, second] = [await world.delivery(a, "pending"), await world.delivery(b, "pending")];
    const base = { status: "pending" as const, limit: 5, dueBy: FAR };
    const grants = await world.store.lease([
      { ...base, webhookId: a.id, firstToken: 10 },
      { ...base, webhookId: b.id, firstToken: 20 },
      { ...base, webhookId: 1 as WebhookId, firstToken: 30 },
    ]);
    expect(grants.map(({ leased }) => leased.map(({ id, token }) => [id, token]))).toEqual([
      [[first, 10]],
      [[second, 20]],
      [],
    ]);
  });

  test("a delivery is leased to one at a time, however often it is tried", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.publish({ webhooks: [hook] });
    for (let number = 1; number <= 5; number += 1) {
      const status = number === 1 ? "pending" : "retrying";
      const leased = await world.leaseOne(hook.id, status);
      expect(leased).toMatchObject({ id, attemptCount: number - 1 });
      expect((await world.lease(hook.id, { status, dueBy: FAR })).leased).toEqual([]);
      if (number % 2 === 0) await world.settleDown();
      expect((await world.lease(hook.id, { status, dueBy: FAR })).leased).toEqual([]);
      await world.settle(leased, { status: "retrying", dueAt: world.clock.at + 1_000 });
      expect((await world.lease(hook.id, { status: "pending", dueBy: FAR })).leased).toEqual([]);
    }
    const { attempts } = (await world.store.getDelivery(id))!;
    expect(attempts.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5]);
  });

  test("released deliveries are due as they were, in their old order", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 6; index += 1) ids.push(await world.publish({ webhooks: [hook] }));
    for (const phase of ["fresh", "folded", "folded again"]) {
      const { leased } = await world.lease(hook.id, { limit: 4, dueBy: FAR });
      expect(
        leased.map(({ id }) => id),
        phase,
      ).toEqual(ids.slice(0, 4));
      await world.store.release([
        ...leased.slice(0, 3).reverse(),
        { id: leased[3]!.id, token: leased[3]!.token + 1 },
        { id: 1 as DeliveryId, token: 1 },
        { id: ids[5]!, token: 0 },
      ]);
      expect(await world.get(leased[3]!.id)).toMatchObject({ isLeased: true });
      const again = await world.lease(hook.id, { dueBy: FAR });
      expect(again.leased.map(({ id }) => id)).toEqual([...ids.slice(0, 3), ...ids.slice(4)]);
      expect(again.nextDueAt).toBe(null);
      await world.store.release([leased[3]!, ...again.leased]);
      expect(await world.get(ids[0]!)).toMatchObject({ isLeased: false, attemptCount: 0, status: "pending" });
      await world.settleDown();
    }
  });

  test("a backlog is drained in order, once each, while more comes and some fail", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const seen: DeliveryId[] = [];
    const published: DeliveryId[] = [];
    for (let round = 0; round < 40; round += 1) {
      const appends = [0, 1, 2, 3, 4].map(() => world.event({ webhooks: [hook] }));
      published.push(...appends.map((event) => event.targets[0]!.id));
      await world.commit({ appends });
      const { leased } = await world.lease(hook.id, { limit: 4 });
      seen.push(...leased.map(({ id }) => id));
      await world.commit({
        settlements: leased.map((one, index) =>
          world.settlement(one, index === 0 ? { status: "retrying", dueAt: FAR - 1 } : {}),
        ),
      });
      world.clock.at += 137;
      if (round % 3 === 0) await world.store.maintain();
    }
    const { leased } = await world.lease(hook.id, { limit: 1_000 });
    expect([...seen, ...leased.map(({ id }) => id)]).toEqual(published);
    expect(
      (await world.lease(hook.id, { limit: 1_000, status: "retrying", dueBy: FAR })).leased,
    ).toHaveLength(40);
  });

  test("after a reopen every lease is free, and everything else is as it was", async () => {
    const world = await setup();
    const a = await world.webhook();
    const b = await world.webhook({ eventId: "order.*" });
    const pending = await world.publish({ webhooks: [a], token: 3 });
    const retrying = await world.delivery(a, "retrying", { dueAt: START + 60_000 });
    const success = await world.delivery(b, "success");
    const dead = await world.delivery(b, "dead");
    await world.commit({
      laneStates: [
        { webhookId: a.id, state: "open until noon" },
        { webhookId: b.id, state: "soon gone" },
      ],
    });
    await world.commit({ laneStates: [{ webhookId: b.id, state: null }] });
    const job = await world.startJob({ kind: "end", userId: null, webhookId: a.id });
    const before = await Promise.all(
      [pending, retrying, success, dead].map((id) => world.store.getDelivery(id)),
    );
    for (const reopen of [() => world.crash(), () => world.reopen(), () => world.crash()]) {
      const recovery = await reopen();
      expect(recovery.lanes).toEqual([
        {
          webhookId: a.id,
          pending: 1,
          retrying: 1,
          pendingDueAt: START,
          retryingDueAt: START + 60_000,
          state: "open until noon",
        },
      ]);
      expect(recovery.runningJobs).toEqual([job]);
      expect(recovery.lastSeq).toBeGreaterThanOrEqual(job.id);
      const after = await Promise.all(
        [pending, retrying, success, dead].map((id) => world.store.getDelivery(id)),
      );
      expect(after).toEqual([
        { ...before[0]!, delivery: { ...before[0]!.delivery, isLeased: false } },
        ...before.slice(1),
      ]);
      expect((await world.settle({ id: pending, token: 3, webhookId: a.id })).stale).toEqual([0]);
      const leased = await world.leaseOne(a.id);
      expect(leased.id).toBe(pending);
    }
  });

  test("ids are never given twice, also when the newest deliveries were deleted", async () => {
    const world = await setup();
    const hook = await world.webhook();
    await world.delivery(hook, "success");
    const last = await world.delivery(hook, "dead");
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, world.clock.at)).toBe(2);
    const { lastSeq } = await world.crash();
    expect(lastSeq).toBeGreaterThanOrEqual(last);
  });

  test("a clock that was ahead delays nothing after a restart", async () => {
    const world = await setup();
    const hook = await world.webhook();
    world.clock.at += 3_600_000;
    await world.publish({ webhooks: [hook] });
    world.clock.at -= 3_600_000;
    const second = await world.publish({ webhooks: [hook] });
    expect((await world.get(second)).dueAt).toBe(START);
    await world.crash();
    expect((await world.lease(hook.id)).leased.map(({ id }) => id)).toContain(second);
  });

  test("a fraction in a due time is rounded up, so that no attempt is early", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "retrying", { dueAt: START + 1000.25 });
    await world.settleDown();
    expect((await world.get(id)).dueAt).toBe(START + 1001);
  });
}
