import { expect, test } from "vitest";
import type { EndedDelivery } from "../../src/domain/delivery.ts";
import type { DeliveryId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Setup } from "./conformance.ts";
import { FAR, START, type World } from "./world.ts";

const DAY_MS = 86_400_000;

/** Deletes the webhook as the engine does: a tombstone stays. */
async function bury(world: World, hook: Webhook): Promise<void> {
  const version = hook.version + 1;
  await world.store.updateWebhook({ ...hook, version, isActive: false, deletedAt: world.clock.at });
}

export function pruneTests(setup: Setup): void {
  test("old successes and old dead go, each by its own bound, with events and attempts", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const successes: DeliveryId[] = [];
    const dead: DeliveryId[] = [];
    for (let index = 0; index < 8; index += 1) {
      successes.push(await world.delivery(hook, "success"));
      dead.push(await world.delivery(hook, "dead"));
      world.clock.at += 1_000;
    }
    const open = [await world.delivery(hook, "pending"), await world.delivery(hook, "retrying")];
    await world.settleDown();
    expect(await world.pruneAll(START + 5_000, START + 2_000)).toBe(7);
    await world.crash();
    const left = [...successes.slice(5), ...dead.slice(2), ...open];
    expect(await world.idsOf()).toEqual(left.sort((a, b) => b - a));
    for (const id of [successes[0]!, dead[0]!]) {
      expect(await world.store.getDelivery(id)).toBe(null);
      expect(await world.store.getEvent(id as never, 10)).toBe(null);
    }
    expect(await world.store.deadGroups({}, [])).toEqual([{ count: 6 }]);
    expect(await world.pruneAll(START + 5_000, START + 2_000)).toBe(0);
    expect(await world.pruneAll(FAR, FAR)).toBe(9);
    expect(await world.idsOf()).toEqual(open.sort((a, b) => b - a));
  });

  test("what is so young that it is not yet folded is deleted too, if the bound says so", async () => {
    const world = await setup();
    const hook = await world.webhook();
    await world.delivery(hook, "success");
    await world.delivery(hook, "dead");
    world.clock.at += 1;
    expect(await world.pruneAll(world.clock.at, world.clock.at)).toBe(2);
    expect(await world.list()).toEqual([]);
    await world.crash();
    expect(await world.list()).toEqual([]);
    expect(await world.store.deadGroups({}, [])).toEqual([]);
  });

  test("a success that came after its neighbours were pruned is deleted in its turn", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const late = await world.delivery(hook, "retrying", { dueAt: START + 1 });
    const early = await world.delivery(hook, "success");
    world.clock.at += DAY_MS;
    const young = await world.delivery(hook, "success");
    expect(await world.pruneAll(START + 5_000, 0)).toBe(1);
    await world.settle(await world.leaseOne(hook.id, "retrying"));
    await world.crash();
    expect(await world.pruneAll(START + DAY_MS, 0)).toBe(0);
    expect(await world.idsOf()).toEqual([young, late]);
    expect(await world.pruneAll(START + DAY_MS + 1, 0)).toBe(2);
    expect(await world.store.getDelivery(late)).toBe(null);
    expect(await world.store.getDelivery(early)).toBe(null);
  });

  test("a success that ends later than its bound stays until its own time", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "success", { settledAt: START + 50_000 });
    expect(await world.pruneAll(START + 10_000, 0)).toBe(0);
    expect(await world.pruneAll(START + 50_000, 0)).toBe(0);
    expect(await world.idsOf()).toEqual([id]);
    expect(await world.pruneAll(START + 50_001, 0)).toBe(1);
  });

  test("a replayed success is not deleted while it is open, whatever it was before", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "retrying", { dueAt: START + 1 });
    world.clock.at += DAY_MS;
    await world.pruneAll(START + DAY_MS, 0);
    await world.settle(await world.leaseOne(hook.id, "retrying"));
    await world.settleDown();
    const select = { ids: [id], statuses: ["success" as const] };
    await world.finish(
      (await world.startJob({ kind: "replay", userId: null, select, ratePerSecond: null })).id,
    );
    world.clock.at += DAY_MS;
    expect(await world.pruneAll(world.clock.at, 0)).toBe(0);
    expect(await world.get(id)).toMatchObject({ status: "pending" });
    await world.settle(await world.leaseOne(hook.id));
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, 0)).toBe(1);
    expect(await world.store.getDelivery(id)).toBe(null);
  });

  test("a broadcast's event goes with its last delivery, and not before", async () => {
    const world = await setup();
    const hooks = [
      await world.webhook(),
      await world.webhook({ userId: "globex" }),
      await world.webhook({ userId: "initech" }),
    ];
    const event = world.event({ webhooks: hooks, userId: "*", token: 4 });
    await world.append(event);
    const [a, b, c] = event.targets.map(({ id, webhookId }) => ({ id, webhookId, token: 4 }));
    await world.settle(a!);
    await world.settle(b!, { status: "dead" });
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, world.clock.at)).toBe(2);
    expect(await world.store.getEvent(event.seq, 10)).toMatchObject({ deliveryCount: 1 });
    await world.settle(c!);
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, world.clock.at)).toBe(1);
    expect(await world.store.getEvent(event.seq, 10)).toBe(null);
  });

  test("a tombstone stays as long as its deliveries, then it goes", async () => {
    const world = await setup();
    const needed = await world.webhook();
    const bare = await world.webhook({ eventId: "order.*" });
    const live = await world.webhook({ eventId: "live" });
    const id = await world.delivery(needed, "dead");
    await world.commit({ laneStates: [{ webhookId: bare.id, state: "failing" }] });
    await bury(world, needed);
    await bury(world, bare);
    world.clock.at += DAY_MS;
    expect(await world.pruneAll(START, START)).toBe(0);
    expect((await world.store.getWebhooks([bare.id]))[0]).not.toBe(null);
    await world.pruneAll(START + 1, START);
    const found = await world.store.getWebhooks([needed.id, bare.id, live.id]);
    expect(found.map((one) => one?.id ?? null)).toEqual([needed.id, null, live.id]);
    expect(await world.get(id)).toMatchObject({ userId: "acme" });
    await world.pruneAll(START + 1, START + 1);
    await world.pruneAll(START + 1, START + 1);
    expect(await world.store.getWebhooks([needed.id])).toEqual([null]);
    expect((await world.crash()).lanes).toEqual([]);
  });

  test("ended jobs go with the dead, running ones stay", async () => {
    const world = await setup();
    const over = await world.startJob({ kind: "purge", userId: "acme", select: { ids: [] } });
    const running = await world.startJob({ kind: "purge", userId: "acme", select: { ids: [] } });
    await world.finish(over.id);
    world.clock.at += DAY_MS;
    await world.pruneAll(START + 1, START);
    expect(await world.store.getJob(over.id)).not.toBe(null);
    await world.pruneAll(START, START + 1);
    expect(await world.store.getJob(over.id)).toBe(null);
    expect(await world.store.getJob(running.id)).toEqual(running);
  });

  test("many rows that stay do not keep prune from those behind them", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const appends = Array.from({ length: 60 }, () => world.event({ webhooks: [hook], token: 3 }));
    await world.commit({ appends });
    const settlements = appends.map(({ targets }, index) => {
      const lease = { id: targets[0]!.id, token: 3, webhookId: hook.id };
      if (index >= 50) return world.settlement(lease, index % 2 ? { status: "dead" } : {});
      const dead = { status: "dead" as const, settledAt: START + DAY_MS };
      return world.settlement(lease, index % 2 ? { status: "retrying" } : dead);
    });
    await world.commit({ settlements });
    world.clock.at += 2_000;
    expect(await world.pruneAll(START + 1, START + 1, 2)).toBe(10);
    expect(await world.list()).toHaveLength(50);
  });

  test("whatever prune deletes is given away first, with all there is to know of it", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const other = await world.webhook({ userId: "globex" });
    const payload = Buffer.from([0, 255, 10]);
    const token = 7;
    const named = world.event({ webhooks: [hook], token, uid: "order-1", payload, contentType: "image/png" });
    await world.append(named);
    await world.settle({ id: named.targets[0]!.id, token, webhookId: hook.id });
    const dead = await world.delivery(hook, "dead", { reason: "permanent" });
    const spread = world.event({ webhooks: [hook, other], userId: "*", token });
    await world.append(spread);
    for (const { id, webhookId } of spread.targets) await world.settle({ id, token, webhookId });
    const late = await world.delivery(hook, "retrying", { dueAt: START + 1 });
    await world.settleDown();
    expect(await world.pruneAll(START + 1, 0)).toBe(3);
    await world.settle(await world.leaseOne(hook.id, "retrying"), { attempt: null, attemptCount: 2 });
    await world.settleDown();
    const kept: EndedDelivery[] = [];
    const again = world.event({ webhooks: [hook], token, uid: "order-2", payload, contentType: "image/png" });
    await world.append(again);
    await world.settle({ id: again.targets[0]!.id, token, webhookId: hook.id });
    await world.settleDown();
    const expected = await Promise.all([dead, late, again.targets[0]!.id].map((id) => world.get(id)));
    await world.pruneAll(FAR, FAR, 3, async (ended) => {
      for (const { id } of ended) expect(await world.get(id)).toMatchObject({ id });
      kept.push(...ended);
    });
    expect(await world.list()).toEqual([]);
    kept.sort((a, b) => a.id - b.id);
    expect(kept.map(({ payload: bytes, contentType, ...one }) => one)).toEqual(
      expected.map(({ roundStart, dueAt, isLeased, queuedAt, createdAt, ...one }) => one),
    );
    const texts = kept.map((one) => [one.contentType, Buffer.from(one.payload).toString("latin1")]);
    const json = (id: DeliveryId) => ["application/json", `{"n": ${id}}`];
    expect(texts).toEqual([json(dead), json(late), ["image/png", payload.toString("latin1")]]);
  });

  test("a broadcast's deliveries are kept each for its own user, with the payload", async () => {
    const world = await setup();
    const hooks = [await world.webhook(), await world.webhook({ userId: "globex" })];
    const event = world.event({ webhooks: hooks, userId: "*", token: 4, payload: Buffer.from("{}") });
    await world.append(event);
    for (const { id, webhookId } of event.targets) await world.settle({ id, webhookId, token: 4 });
    await world.settleDown();
    const kept: EndedDelivery[] = [];
    await world.pruneAll(FAR, FAR, 3, async (ended) => void kept.push(...ended));
    expect(kept.map((one) => [one.id, one.event, one.userId, Buffer.from(one.payload).toString()])).toEqual(
      event.targets.map((target, index) => [target.id, event.seq, ["acme", "globex"][index], "{}"]),
    );
    expect(await world.store.getEvent(event.seq, 10)).toBe(null);
  });

  test("nothing is deleted while it cannot be kept, and everything when it can", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 4; index += 1) ids.push(await world.delivery(hook, "success"));
    ids.push(await world.delivery(hook, "dead"));
    await world.settleDown();
    const full = new Error("no space left");
    const refuse = () => Promise.reject(full);
    for (let tries = 0; tries < 5; tries += 1) {
      await expect(world.store.prune({ successBefore: FAR, deadBefore: FAR }, 2, refuse)).rejects.toBe(full);
    }
    expect(await world.idsOf()).toEqual([...ids].reverse());
    await world.crash();
    expect(await world.idsOf()).toEqual([...ids].reverse());
    const kept = new Set<number>();
    const keep = async (ended: readonly EndedDelivery[]) => {
      for (const { id } of ended) kept.add(id);
    };
    expect(await world.pruneAll(FAR, FAR, 2, keep)).toBe(5);
    expect([...kept].sort((a, b) => a - b)).toEqual(ids);
    expect(await world.list()).toEqual([]);
  });

  test("what changes while it is being kept stays, and is kept again as it ends", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const dead = await world.delivery(hook, "dead");
    const success = await world.delivery(hook, "success");
    const open = await world.delivery(hook, "retrying", { dueAt: START + 1 });
    await world.settleDown();
    const select = { ids: [success], statuses: ["success" as const] };
    let calls = 0;
    const kept: [number, string][] = [];
    await world.pruneAll(FAR, FAR, 5, async (ended) => {
      kept.push(...ended.map((one): [number, string] => [one.id, one.status]));
      calls += 1;
      if (calls > 1) return;
      expect(await world.store.revive(dead, world.clock.at)).not.toBe(null);
      await world.finish(
        (await world.startJob({ kind: "replay", userId: null, select, ratePerSecond: null })).id,
      );
      await world.settle(await world.leaseOne(hook.id, "retrying"));
      await world.settleDown();
    });
    expect(kept.splice(0)).toContainEqual([success, "success"]);
    expect(await world.get(dead)).toMatchObject({ status: "pending" });
    expect(await world.get(success)).toMatchObject({ status: "pending" });
    await world.settle(await world.leaseOne(hook.id));
    await world.settle(await world.leaseOne(hook.id));
    await world.crash();
    world.clock.at += 1_000;
    await world.pruneAll(world.clock.at, FAR, 5, async (ended) => {
      kept.push(...ended.map((one): [number, string] => [one.id, one.status]));
    });
    expect(kept.filter(([id]) => id !== open).sort((a, b) => a[0] - b[0])).toEqual([
      [dead, "success"],
      [success, "success"],
    ]);
    expect(await world.list()).toEqual([]);
    expect(await world.store.deadGroups({}, [])).toEqual([]);
  });
}
