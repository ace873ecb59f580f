import { expect, onTestFinished, test } from "vitest";
import type { DeliveryId } from "../../src/domain/ids.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";
import { World } from "./world.ts";

async function setup() {
  const adapter = sqliteAdapter({ foldSliceRows: 3 });
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const written = () => adapter.db.pluck("select total_changes()").get() as number;
  const inLog = () => adapter.db.pluck("select count(*) from log").get() as number;
  return { world, hook: await world.webhook(), written, inLog };
}

test("a list and the counts of the dead show what no fold has written, and make nothing be written", async () => {
  const { world, hook, written, inLog } = await setup();
  const pending = await world.delivery(hook, "pending");
  const dead = await world.delivery(hook, "dead");
  const before = written();
  expect(await world.idsOf({})).toEqual([dead, pending]);
  expect(await world.idsOf({ webhookId: hook.id, statuses: ["pending"] })).toEqual([pending]);
  expect(await world.idsOf({ statuses: ["retrying", "dead"] })).toEqual([dead]);
  expect(await world.store.deadGroups({ webhookId: hook.id }, ["reason"])).toMatchObject([{ count: 1 }]);
  expect(world.store.stats().dead).toBe(1);
  expect([written(), inLog()]).toEqual([before, 0]);
});

test("a list is the same at every point of a fold, and while its rows leave memory", async () => {
  const { world, hook, inLog } = await setup();
  const ids: DeliveryId[] = [];
  for (const status of ["success", "retrying", "dead", "pending", "success", "dead", "retrying"] as const) {
    ids.push(await world.delivery(hook, status, { dueAt: world.clock.at + 60_000 }));
  }
  const newestFirst = [...ids].reverse();
  const failed = newestFirst.filter((id) => [1, 2, 5, 6].includes(ids.indexOf(id)));
  world.clock.at += 5_000;
  const seen = new Set<number>();
  for (let hasMore = true; hasMore; ) {
    hasMore = await world.store.maintain();
    seen.add(inLog());
    for (const limit of [1, 3, 200]) {
      expect(await world.idsOf({}, limit)).toEqual(newestFirst);
      expect(await world.idsOf({ webhookId: hook.id }, limit)).toEqual(newestFirst);
      expect(await world.idsOf({ statuses: ["retrying", "dead"] }, limit)).toEqual(failed);
      expect(await world.idsOf({ userId: hook.userId, statuses: ["retrying", "dead"] }, limit)).toEqual(
        failed,
      );
    }
    expect(await world.store.deadGroups({}, [])).toEqual([{ count: 2 }]);
  }
  expect([...seen]).toEqual([3, 6, 7]);
});

test("one failure among thousands that no fold has written is on the first page of failures", async () => {
  const { world, hook } = await setup();
  const failed = await world.delivery(hook, "retrying", { dueAt: world.clock.at + 60_000 });
  for (let n = 0; n < 5; n += 1) {
    const appends = Array.from({ length: 1_000 }, () => world.event({ webhooks: [hook] }));
    await world.commit({ appends });
  }
  for (const filter of [{}, { webhookId: hook.id }, { userId: hook.userId }]) {
    const page = await world.store.listDeliveries(
      { ...filter, statuses: ["retrying", "dead"] },
      { limit: 1, before: null },
    );
    expect(page.items.map(({ id }) => id)).toEqual([failed]);
  }
});

test("while there is traffic, a list of webhooks waits for the list that was asked for before it", async () => {
  const { world, hook } = await setup();
  const appends = Array.from({ length: 3_000 }, () => world.event({ webhooks: [hook] }));
  await world.commit({ appends });
  const answered: string[] = [];
  const page = { limit: 1, before: null };
  await Promise.all([
    world.store.listDeliveries({}, page).then(() => answered.push("deliveries")),
    world.store.listWebhooks({}, page).then(() => answered.push("webhooks")),
  ]);
  expect(answered).toEqual(["deliveries", "webhooks"]);
});
