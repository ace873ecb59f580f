import { expect, test } from "vitest";
import type { DeadReason } from "../../src/domain/delivery.ts";
import type { DeliveryId } from "../../src/domain/ids.ts";
import type { Leased } from "../../src/store/port.ts";
import type { Setup } from "./conformance.ts";
import { FAR, START } from "./world.ts";

export function logTests(setup: Setup): void {
  test("lists are newest first, and pages join without gap or repetition", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 23; index += 1) {
      ids.push(await world.publish({ webhooks: [hook] }));
      world.clock.at += 7;
    }
    const newestFirst = [...ids].reverse();
    for (const limit of [1, 5, 23, 200]) {
      expect(await world.idsOf({}, limit)).toEqual(newestFirst);
      expect(await world.idsOf({ webhookId: hook.id }, limit)).toEqual(newestFirst);
      expect(await world.idsOf({ userId: "acme" }, limit)).toEqual(newestFirst);
    }
    const page = await world.store.listDeliveries({}, { limit: 4, before: ids[10]! });
    expect(page.items.map(({ id }) => id)).toEqual([ids[9], ids[8], ids[7], ids[6]]);
    expect(page.next).toBe(ids[6]);
  });

  test("every filter, and every two of them, shows what matches and nothing else", async () => {
    const world = await setup();
    const hooks = [
      await world.webhook(),
      await world.webhook({ eventId: "order.*" }),
      await world.webhook({ userId: "globex" }),
    ];
    const reasons: DeadReason[] = ["exhausted", "permanent", "expired"];
    for (let index = 0; index < 36; index += 1) {
      const webhook = hooks[index % 3]!;
      const eventId = index % 2 === 0 ? "order.paid" : "user.created";
      const id = await world.publish({ webhooks: [webhook], eventId, token: 5 });
      const lease = { id, token: 5, webhookId: webhook.id };
      const status = (["pending", "retrying", "success", "dead"] as const)[index % 4]!;
      if (status === "pending") await world.store.release([lease]);
      else if (status === "dead") await world.settle(lease, { status, reason: reasons[index % 3]! });
      else await world.settle(lease, { status });
      world.clock.at += 1_000;
      if (index === 17) await world.settleDown();
    }
    const all = await world.list();
    expect(all).toHaveLength(36);
    const filters = [
      {},
      { userId: "acme" },
      { userId: "nobody" },
      { webhookId: hooks[1]!.id },
      { eventId: "order.paid" },
      { statuses: ["retrying", "dead"] as const },
      { statuses: ["dead"] as const },
      { statuses: ["pending"] as const },
      { reason: "permanent" as const },
      { since: START + 9_000 },
      { until: START + 9_000 },
    ];
    for (const a of filters) {
      for (const b of filters) {
        const filter = { ...a, ...b };
        const { since = 0, until = FAR, statuses } = filter;
        const expected = all.filter(
          (delivery) =>
            (filter.userId === undefined || delivery.userId === filter.userId) &&
            (filter.webhookId === undefined || delivery.webhookId === filter.webhookId) &&
            (filter.eventId === undefined || delivery.eventId === filter.eventId) &&
            (filter.reason === undefined || delivery.reason === filter.reason) &&
            (statuses === undefined || statuses.some((status) => status === delivery.status)) &&
            delivery.createdAt >= since &&
            delivery.createdAt < until,
        );
        expect(await world.list(filter, 4), JSON.stringify(filter)).toEqual(expected);
      }
    }
  });

  test("a delivery tells all its attempts, over every round, with their bytes", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.publish({ webhooks: [hook] });
    const expected = [];
    let number = 0;
    for (const [round, outcomes] of [["retrying", "dead"], ["success"], ["retrying", "success"]].entries()) {
      for (const [index, status] of outcomes.entries()) {
        number += 1;
        const leased = await world.leaseOne(hook.id, index === 0 ? "pending" : "retrying");
        expect(leased).toMatchObject({ id, attemptCount: number - 1 });
        const settlement = world.settlement(leased, {
          status: status as "success",
          attemptCount: number,
          attempt: {
            number,
            startedAt: world.clock.at - 20,
            durationMs: 20,
            verdict: status === "success" ? "success" : "retry",
            statusCode: status === "success" ? 204 : null,
            error: status === "success" ? null : "timeout",
            excerpt: number === 2 ? null : Uint8Array.from([0, 255, number]),
          },
        });
        await world.commit({ settlements: [settlement] });
        expected.push(settlement.attempt);
        world.clock.at += 1_000;
      }
      const { delivery, attempts } = (await world.store.getDelivery(id))!;
      expect(
        attempts.map((one) => ({ ...one, excerpt: one.excerpt && Uint8Array.from(one.excerpt) })),
      ).toEqual(expected);
      expect(delivery).toMatchObject({ attemptCount: number, status: outcomes.at(-1) });
      if (round === 2) continue;
      if (delivery.status === "dead") {
        expect(await world.store.revive(id, world.clock.at)).toMatchObject({ pending: 1 });
      } else {
        const select = { ids: [id], statuses: ["success" as const] };
        await world.finish(
          (await world.startJob({ kind: "replay", userId: null, select, ratePerSecond: null })).id,
        );
      }
      await world.crash();
      expect(await world.get(id)).toMatchObject({
        status: "pending",
        roundStart: number,
        attemptCount: number,
      });
      expect((await world.store.getDelivery(id))!.attempts).toHaveLength(number);
    }
  });

  test("a first success that is replayed keeps its only attempt", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "success");
    const { attempts } = (await world.store.getDelivery(id))!;
    const select = { webhookId: hook.id, statuses: ["success" as const] };
    await world.finish(
      (await world.startJob({ kind: "replay", userId: null, select, ratePerSecond: null })).id,
    );
    expect((await world.store.getDelivery(id))!).toMatchObject({ delivery: { status: "pending" }, attempts });
    await world.crash();
    expect((await world.store.getDelivery(id))!.attempts).toEqual(attempts);
  });

  test("revive starts a new round of a dead delivery, and of no other", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const dead = await world.delivery(hook, "dead");
    const others = [
      await world.delivery(hook, "pending"),
      await world.delivery(hook, "retrying"),
      await world.delivery(hook, "success"),
      1 as DeliveryId,
    ];
    world.clock.at += 500;
    for (const id of others) expect(await world.store.revive(id, world.clock.at)).toBe(null);
    expect(await world.store.revive(dead, world.clock.at)).toEqual({
      webhookId: hook.id,
      pending: 1,
      retrying: 0,
      dueAt: world.clock.at,
      died: 0,
    });
    await world.crash();
    expect(await world.get(dead)).toMatchObject({
      status: "pending",
      reason: null,
      roundStart: 1,
      queuedAt: START + 500,
      dueAt: START + 500,
      completedAt: null,
    });
    expect(await world.store.revive(dead, world.clock.at)).toBe(null);
  });

  test("a delivery that is retried is due now, and is leased at once", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "retrying", { dueAt: START + 9_999_999 });
    const want = { status: "retrying" as const };
    expect((await world.lease(hook.id, want)).nextDueAt).toBe(START + 9_999_999);
    expect(await world.store.makeDue(id, START + 1)).toMatchObject({ dueAt: START + 1, pending: 0, died: 0 });
    await world.crash();
    expect((await world.lease(hook.id, { ...want, dueBy: START + 1 })).leased.map((one) => one.id)).toEqual([
      id,
    ]);
    expect(await world.store.makeDue(id, START + 2)).toBe(null);
    expect(await world.store.makeDue(await world.delivery(hook, "dead"), START)).toBe(null);
    expect(await world.store.makeDue(7 as DeliveryId, START)).toBe(null);
  });

  test("an open delivery is killed with a reason, a leased or ended one is not", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const pending = await world.delivery(hook, "pending");
    const retrying = await world.delivery(hook, "retrying");
    const leased = await world.publish({ webhooks: [hook], token: 5 });
    const success = await world.delivery(hook, "success");
    expect(await world.store.kill(pending, "cancelled", START + 1)).toMatchObject({ pending: -1, died: 1 });
    expect(await world.store.kill(retrying, "cancelled", START + 1)).toMatchObject({ retrying: -1, died: 1 });
    for (const id of [leased, success, pending, 7 as DeliveryId]) {
      expect(await world.store.kill(id, "cancelled", START + 1)).toBe(null);
    }
    await world.crash();
    for (const id of [pending, retrying]) {
      expect(await world.get(id)).toMatchObject({
        status: "dead",
        reason: "cancelled",
        completedAt: START + 1,
      });
    }
    expect((await world.lease(hook.id, { dueBy: FAR })).leased.map(({ id }) => id)).toEqual([leased]);
    expect((await world.lease(hook.id, { status: "retrying", dueBy: FAR })).leased).toEqual([]);
  });

  test("what was queued too long ago expires, oldest first, leased ones aside", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const old: DeliveryId[] = [];
    for (let index = 0; index < 5; index += 1) old.push(await world.delivery(hook, "pending"));
    const retrying = await world.delivery(hook, "retrying", { dueAt: START + 500 });
    const leased = await world.leaseOne(hook.id);
    world.clock.at += 10_000;
    const young = await world.delivery(hook, "pending");
    const expire = (limit: number) => world.store.expire(hook.id, START + 1_000, limit, world.clock.at);
    expect(await expire(2)).toEqual({ webhookId: hook.id, pending: -2, retrying: -1, dueAt: null, died: 3 });
    expect(await expire(2)).toMatchObject({ pending: -2, retrying: 0, died: 2 });
    expect(await expire(2)).toMatchObject({ pending: 0, retrying: 0, died: 0 });
    await world.crash();
    for (const id of [...old.slice(1), retrying]) {
      expect(await world.get(id)).toMatchObject({ status: "dead", reason: "expired" });
    }
    expect((await world.lease(hook.id, { dueBy: FAR })).leased.map(({ id }) => id)).toEqual([
      leased.id,
      young,
    ]);
  });

  test("of the first that are due only the old ones expire, wherever the others are", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const old = await world.delivery(hook, "retrying", { dueAt: START + 9_000 });
    await world.settleDown();
    world.clock.at += 2_000;
    await world.delivery(hook, "retrying", { dueAt: START + 8_000 });
    const expire = (limit: number) => world.store.expire(hook.id, START + 1_000, limit, world.clock.at);
    expect(await expire(1)).toMatchObject({ died: 0 });
    expect(await expire(2)).toMatchObject({ retrying: -1, died: 1 });
    expect(await world.get(old)).toMatchObject({ status: "dead", reason: "expired" });
  });

  test("what a lease gave back is among the old ones that expire, and what it holds is not", async () => {
    const world = await setup();
    const hook = await world.webhook();
    for (let index = 0; index < 4; index += 1) await world.delivery(hook, "pending");
    await world.settleDown();
    const { leased } = await world.lease(hook.id, { limit: 4, dueBy: FAR });
    await world.store.release(leased.slice(1, 3));
    world.clock.at += 10_000;
    const expire = () => world.store.expire(hook.id, START + 1_000, 10, world.clock.at);
    expect(await expire()).toMatchObject({ pending: -2, died: 2 });
    await world.store.release([leased[0] as Leased]);
    expect(await expire()).toMatchObject({ pending: -1, died: 1 });
    expect(await expire()).toMatchObject({ died: 0 });
  });

  test("the dead are counted by webhook, reason, event and user, and the filter holds", async () => {
    const world = await setup();
    const a = await world.webhook();
    const b = await world.webhook({ eventId: "order.*" });
    const c = await world.webhook({ userId: "globex" });
    for (const [hook, reason, times] of [
      [a, "exhausted", 3],
      [a, "permanent", 1],
      [b, "permanent", 2],
      [c, "exhausted", 5],
    ] as const) {
      for (let n = 0; n < times; n += 1) await world.delivery(hook, "dead", { reason });
      await world.delivery(hook, "success");
      await world.delivery(hook, "retrying");
    }
    const groups = async (...args: Parameters<typeof world.store.deadGroups>) =>
      [...(await world.store.deadGroups(...args))].sort((x, y) =>
        JSON.stringify(x).localeCompare(JSON.stringify(y)),
      );
    const sorted = (...list: object[]) =>
      list.sort((x, y) => JSON.stringify(x).localeCompare(JSON.stringify(y)));
    for (const reopen of [false, true]) {
      if (reopen) await world.crash();
      expect(await groups({}, ["reason"])).toEqual(
        sorted({ reason: "exhausted", count: 8 }, { reason: "permanent", count: 3 }),
      );
      expect(await groups({}, ["webhook", "reason"])).toHaveLength(4);
      expect(await groups({}, ["user"])).toEqual(
        sorted({ userId: "acme", count: 6 }, { userId: "globex", count: 5 }),
      );
      expect(await groups({ userId: "acme" }, ["event"])).toEqual(
        sorted({ eventId: "user.created", count: 4 }, { eventId: "order.*", count: 2 }),
      );
      expect(await groups({ webhookId: a.id, reason: "permanent" }, [])).toEqual([{ count: 1 }]);
      expect(await groups({ webhookId: a.id, userId: "globex" }, ["reason"])).toEqual([]);
      expect(await groups({ since: START, until: START + 1 }, ["webhook"])).toEqual(
        sorted({ webhookId: a.id, count: 4 }, { webhookId: b.id, count: 2 }, { webhookId: c.id, count: 5 }),
      );
      expect(await groups({ until: START }, ["webhook"])).toEqual([]);
      expect(await groups({ eventId: "user.created", userId: "acme" }, ["webhook"])).toHaveLength(2);
      expect(world.store.stats().dead).toBe(11);
    }
  });

  test("what does not exist is null", async () => {
    const world = await setup();
    expect(await world.store.getDelivery(5 as DeliveryId)).toBe(null);
    expect(await world.store.getEvent(5 as never, 10)).toBe(null);
    const event = world.event({
      webhooks: [await world.webhook(), await world.webhook({ userId: "globex" })],
    });
    await world.append(event);
    expect(await world.store.getDelivery(event.seq as never)).toBe(null);
  });
}
