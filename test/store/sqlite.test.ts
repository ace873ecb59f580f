import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { EndedDelivery } from "../../src/domain/delivery.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import { peekDatabase } from "../../src/store/sqlite/peek.ts";
import { conformance } from "./conformance.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";
import { FAR, World } from "./world.ts";

conformance("SQLite", () => sqliteAdapter());
conformance("SQLite, folded in slices of one after every call", () => sqliteAdapter({ foldSliceRows: 1 }), {
  isFoldedEachTime: true,
});

test("a user's replay looks at what the user has, however much others have", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const others = await world.webhook({ userId: "others" });
  for (let index = 0; index < 400; index += 1) await world.delivery(others, "dead");
  const hooks = [];
  for (let index = 0; index < 40; index += 1) {
    hooks.push(await world.webhook({ userId: "me", eventId: `event.n${index}` }));
  }
  const mine = [await world.delivery(hooks[39]!, "dead"), await world.delivery(hooks[0]!, "dead")];
  for (const statuses of [["dead"], ["dead", "success"]] as const) {
    const spec = { kind: "replay", userId: "me", select: { statuses }, ratePerSecond: null } as const;
    const made = await world.startJob(spec);
    expect(await world.store.countSelection(made, 100)).toBe(2);
    // 40 webhooks are two slices; the 400 of others would be many.
    await world.step(made.id, 10);
    const { job } = await world.step(made.id, 10);
    expect(job).toMatchObject({ status: "done", done: 2 });
    for (const id of mine) await world.store.kill(id, "exhausted", world.clock.at);
  }
});

async function deliver(world: World, webhook: Webhook, status: "success" | "dead", payload: Buffer) {
  const id = await world.publish({ webhooks: [webhook], token: 7, payload });
  await world.settle({ id, token: 7, webhookId: webhook.id }, { status });
}

test("a slice for cold storage has no more payloads in memory than some, of the late and the dead too", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const payload = Buffer.alloc(1_048_576, "x");
  for (let index = 0; index < 40; index += 1) {
    const status = index < 20 ? "success" : "dead";
    await deliver(world, hook, status, payload);
  }
  await world.settleDown();
  const slices: number[] = [];
  const keep = async (ended: readonly EndedDelivery[]) => {
    slices.push(ended.reduce((sum, one) => sum + one.payload.length, 0));
  };
  expect(await world.pruneAll(FAR, FAR, 1_000, keep)).toBe(40);
  expect(Math.max(...slices)).toBeLessThanOrEqual(2 * 17 * 1_048_576);
  expect(slices.reduce((sum, bytes) => sum + bytes, 0)).toBe(40 * 1_048_576);
});

test("what is too old ends without the log being brought up to date for others, or for what is young", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const lane = await world.webhook();
  const other = await world.webhook({ userId: "other" });
  const old = await world.delivery(lane, "pending");
  await world.settleDown();
  const expire = (limit: number) =>
    world.store.expire(lane.id, world.clock.at - 5_000, limit, world.clock.at);
  world.clock.at += 10_000;
  const ofOther = await world.delivery(other, "retrying");
  const young = await world.delivery(lane, "retrying");
  expect(await expire(10)).toMatchObject({ died: 1, pending: -1 });
  expect(await world.get(old)).toMatchObject({ status: "dead", reason: "expired" });
  expect(world.store.stats().unfolded).toBe(2);
  world.clock.at += 10_000;
  expect(await expire(10)).toMatchObject({ died: 1, retrying: -1 });
  expect(await world.get(young)).toMatchObject({ status: "dead", reason: "expired" });
  expect(await world.get(ofOther)).toMatchObject({ status: "retrying" });
  expect(world.store.stats().unfolded).toBe(0);
});

test("what deleting leaves in the file is told, by the store and to who reads its file", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  for (let index = 0; index < 50; index += 1) {
    await deliver(world, hook, "success", Buffer.alloc(20_000, "x"));
  }
  await world.settleDown();
  const before = world.store.reusableBytes();
  await world.pruneAll(FAR, FAR, 100);
  const left = world.store.reusableBytes();
  expect(left - before).toBeGreaterThan(900_000);
  expect(peekDatabase(join(adapter.dataDir, "hookd.db"))?.reusableBytes).toBe(left);
});

test("a slice of a user's bulk work looks at so many rows, of however many webhooks they are", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  for (let index = 0; index < 10; index += 1) {
    const hook = await world.webhook({ userId: "me", eventId: `event.n${index}` });
    for (let row = 0; row < 5; row += 1) await world.delivery(hook, "dead", { reason: "exhausted" });
  }
  const select = { reason: "permanent" } as const;
  const made = await world.startJob({ kind: "replay", userId: "me", select, ratePerSecond: null });
  let steps = 0;
  for (let status = "running"; status === "running"; steps += 1) {
    const { job } = await world.step(made.id, 2);
    status = job.status;
  }
  // Eight rows for each that is wanted.
  expect(steps).toBeGreaterThanOrEqual(50 / 16);
});

test("a count that would take too many looks says that it is not exact", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  for (let index = 0; index < 300; index += 1) await world.delivery(hook, "dead");
  const made = await world.startJob({ kind: "replay", userId: null, select: {}, ratePerSecond: null });
  expect(await world.store.countSelection(made, 1_000, 1)).toBe(1_000);
  expect(await world.store.countSelection(made, 1_000, 2)).toBe(300);
});
