import { expect, test } from "vitest";
import { dedupeKey, uidKey } from "../../src/domain/dedupe.ts";
import type { Setup } from "./conformance.ts";
import { WINDOW_MS, type World } from "./world.ts";

export function uidTests(setup: Setup): void {
  const payload = Buffer.from("[1]");

  async function expectKnown(world: World, event: ReturnType<World["event"]>): Promise<void> {
    const { webhooks, ...options } = optionsOf(event);
    const deliveries = event.targets.map(({ id, webhookId }) => ({ id, webhookId }));
    const twin = { ...world.event({ ...options, payload }), targets: event.targets };
    expect(await world.append(twin)).toEqual({
      kind: "duplicate",
      seq: event.seq,
      deliveryCount: deliveries.length,
      deliveries,
    });
    expect(await world.append(world.event({ ...options, payload: Buffer.from("[2]") }))).toEqual({
      kind: "conflict",
    });
    expect(await world.store.findEvent(uidKey("acme", "u-1"))).toBe(event.seq);
  }

  function optionsOf(event: ReturnType<World["event"]>) {
    return { uid: event.uid ?? "", userId: event.userId, eventId: event.eventId, webhooks: [] };
  }

  test("a uid that is given again is the first event: new, folded, and after a restart", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const event = world.event({ webhooks: [hook], uid: "u-1", payload });
    expect(await world.append(event)).toEqual({ kind: "accepted" });
    await expectKnown(world, event);
    await world.crash();
    await expectKnown(world, event);
    await world.settleDown();
    await expectKnown(world, event);
    await world.crash();
    await expectKnown(world, event);
    await world.reopen();
    await expectKnown(world, event);
    expect(await world.idsOf()).toEqual([event.targets[0]!.id]);
  });

  test("a duplicate of an event with several deliveries names them, the first hundred", async () => {
    const world = await setup();
    const hooks = [];
    for (let index = 0; index < 103; index += 1) hooks.push(await world.webhook({ userId: `user-${index}` }));
    const event = world.event({ webhooks: hooks, userId: "acme", uid: "u-1", payload });
    await world.append(event);
    const answer = await world.append(world.event({ uid: "u-1", payload }));
    expect(answer).toMatchObject({ kind: "duplicate", seq: event.seq, deliveryCount: 103 });
    const first = event.targets.slice(0, 100).map(({ id, webhookId }) => ({ id, webhookId }));
    expect(answer).toMatchObject({ deliveries: first });
  });

  test("uids are told apart within one batch too, and nothing of a duplicate is stored", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const options = { webhooks: [hook], uid: "u-1", payload };
    const events = [
      world.event(options),
      world.event(options),
      world.event({ ...options, payload: Buffer.from("[2]") }),
      world.event({ ...options, contentType: "text/plain" }),
      world.event({ ...options, uid: "u-2" }),
    ];
    const { appended } = await world.commit({ appends: events });
    expect(appended.map(({ kind }) => kind)).toEqual([
      "accepted",
      "duplicate",
      "conflict",
      "conflict",
      "accepted",
    ]);
    const [target] = events[0]!.targets;
    expect(appended[1]).toMatchObject({
      seq: events[0]!.seq,
      deliveryCount: 1,
      deliveries: [{ id: target!.id, webhookId: hook.id }],
    });
    await world.crash();
    expect(await world.idsOf()).toEqual([events[4]!.targets[0]!.id, target!.id]);
  });

  test("another user's uid is another event, and an event without one is never a duplicate", async () => {
    const world = await setup();
    const hook = await world.webhook();
    await world.publish({ webhooks: [hook], uid: "u-1", payload });
    await world.publish({ webhooks: [hook], userId: "globex", uid: "u-1", payload });
    await world.publish({ webhooks: [hook], payload });
    await world.publish({ webhooks: [hook], payload });
    expect(await world.list()).toHaveLength(4);
    expect(await world.store.findEvent(uidKey("acme", "u-9"))).toBe(null);
  });

  test("a uid is known for the window at least, and forgotten after it, whatever is deleted", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const old = await world.publish({ webhooks: [hook], uid: "u-1", payload });
    await world.settleDown();
    world.clock.at += WINDOW_MS / 2;
    while (await world.store.forgetUids(world.clock.at - WINDOW_MS)) {}
    expect(await world.store.findEvent(uidKey("acme", "u-1"))).toBe(old);
    for (let round = 0; round < 3; round += 1) {
      world.clock.at += WINDOW_MS;
      await world.publish({ webhooks: [hook], uid: `later-${round}`, payload });
      await world.settleDown();
    }
    while (await world.store.forgetUids(world.clock.at - WINDOW_MS)) {}
    expect(await world.store.findEvent(uidKey("acme", "u-1"))).toBe(null);
    expect(await world.store.findEvent(uidKey("acme", "later-2"))).not.toBe(null);
    await world.crash();
    expect(await world.store.findEvent(uidKey("acme", "u-1"))).toBe(null);
    expect(await world.append(world.event({ webhooks: [hook], uid: "u-1", payload }))).toEqual({
      kind: "accepted",
    });
  });

  test("a duplicate of an event whose deliveries were deleted has none", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const event = world.event({ webhooks: [hook], uid: "u-1", payload, token: 2 });
    await world.append(event);
    await world.settle({ id: event.targets[0]!.id, token: 2, webhookId: hook.id });
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, 0)).toBe(1);
    const answer = await world.append(world.event({ webhooks: [hook], uid: "u-1", payload }));
    expect(answer).toEqual({ kind: "duplicate", seq: event.seq, deliveryCount: 0, deliveries: [] });
    expect(event.dedupe).toEqual(dedupeKey("acme", "u-1", "user.created", "application/json", payload));
  });
}
