import { expect, onTestFinished, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import type { Db } from "../../src/store/sqlite/connection.ts";
import { type SqliteAdapter, sqliteAdapter } from "./sqlite-adapter.ts";
import { expectSound } from "./tally-check.ts";
import { FAR, World } from "./world.ts";

async function setup(): Promise<{ world: World; adapter: SqliteAdapter }> {
  const adapter = sqliteAdapter({ foldSliceRows: 20 });
  onTestFinished(() => adapter.cleanup());
  return { world: await World.open(adapter), adapter };
}

/** SQLite answers SQLITE_FULL from here on, as it does when the disk has no more room. */
function fill(db: Db): void {
  db.pragma(`max_page_count = ${db.pragma("page_count")}`);
}

function free(db: Db): void {
  db.pragma("max_page_count = 4294967294");
}

const isDiskFull = (error: unknown) => error instanceof Problem && error.code === "disk_full";

test("on a full disk a commit is refused whole, reads go on, and it works again with room", async () => {
  const { world, adapter } = await setup();
  const hook = await world.webhook();
  const big = Buffer.alloc(40_000, 1);
  const first = await world.publish({ webhooks: [hook], payload: big, token: 5, uid: "u-0" });
  fill(adapter.db);
  let refused = 0;
  const accepted = [first];
  for (let n = 1; n < 12; n += 1) {
    const event = world.event({ webhooks: [hook], payload: big, uid: `u-${n}` });
    const settlement = world.settlement({ id: first, token: 5, webhookId: hook.id }, { status: "dead" });
    const laneStates = [{ webhookId: hook.id, state: "bad" }];
    try {
      await world.commit({ appends: [event, event], settlements: [settlement], laneStates });
      throw new Error("the disk is not full");
    } catch (error) {
      expect(error).toSatisfy(isDiskFull);
      refused += 1;
    }
    expect(await world.store.findEvent(event.dedupe!)).toBe(null);
  }
  expect(refused).toBe(11);
  expect(await world.get(first)).toMatchObject({ status: "pending", isLeased: true, attemptCount: 0 });
  await world.list();
  free(adapter.db);
  expect((await world.settle({ id: first, token: 5, webhookId: hook.id })).stale).toEqual([]);
  accepted.push(await world.publish({ webhooks: [hook], payload: big, uid: "u-1" }));
  const { lanes } = await world.crash();
  expect(lanes).toMatchObject([{ pending: 1, state: null }]);
  expect((await world.idsOf()).sort((a, b) => a - b)).toEqual(accepted);
  expectSound(adapter.db);
});

test("a fold that runs out of room goes on where it was, and everything stays listed and leasable", async () => {
  const { world, adapter } = await setup();
  const hook = await world.webhook();
  const appends = Array.from({ length: 600 }, (_, n) => world.event({ webhooks: [hook], uid: `u-${n}` }));
  await world.commit({ appends });
  fill(adapter.db);
  world.clock.at += 5_000;
  let failures = 0;
  for (let n = 0; n < 60; n += 1) {
    await world.store.maintain().catch((error) => {
      expect(error).toSatisfy(isDiskFull);
      failures += 1;
    });
  }
  expect(failures).toBeGreaterThan(0);
  const { leased } = await world.lease(hook.id, { limit: 50, dueBy: FAR });
  expect(leased).toHaveLength(50);
  await world.store.listDeliveries({}, { limit: 5, before: null });
  await expect(world.store.kill(appends[599]!.targets[0]!.id, "cancelled", 1)).rejects.toSatisfy(isDiskFull);
  free(adapter.db);
  // What waits for the whole fold does not go on failing for what failed then.
  expect(await world.store.kill(appends[598]!.targets[0]!.id, "cancelled", 1)).toMatchObject({ died: 1 });
  await world.settleDown();
  expect(await world.list({}, 200)).toHaveLength(600);
  expect((await world.lease(hook.id, { limit: 1_000, dueBy: FAR })).leased).toHaveLength(549);
  await world.crash();
  expectSound(adapter.db);
});

test("hookd starts on a full disk, leases what waits, and goes on when there is room", async () => {
  const { world, adapter } = await setup();
  const hook = await world.webhook();
  const other = await world.webhook({ eventId: "other" });
  const appends = Array.from({ length: 600 }, (_, n) => world.event({ webhooks: [hook], uid: `u-${n}` }));
  await world.commit({ appends });
  const retrying = await world.delivery(other, "retrying", { dueAt: world.clock.at + 9_000 });
  adapter.onOpen = fill;
  const { lanes } = await world.crash();
  expect([...lanes].sort((a, b) => a.webhookId - b.webhookId)).toMatchObject([
    { webhookId: hook.id, pending: 600, retrying: 0, pendingDueAt: world.clock.at, retryingDueAt: null },
    { webhookId: other.id, pending: 0, retrying: 1, retryingDueAt: world.clock.at + 9_000 },
  ]);
  expect((await world.leaseOne(other.id, "retrying")).id).toBe(retrying);
  const { leased } = await world.lease(hook.id, { limit: 1_000 });
  expect(leased.map(({ id }) => id)).toEqual(appends.map(({ targets }) => targets[0]!.id));
  free(adapter.db);
  await world.commit({ settlements: leased.map((one) => world.settlement(one)) });
  adapter.onOpen = null;
  await world.settleDown();
  expectSound(adapter.db);
  expect(await world.list({ statuses: ["success"] }, 200)).toHaveLength(600);
});

test("a store on a full disk can be closed, and has everything when it is opened again", async () => {
  const { world, adapter } = await setup();
  const hook = await world.webhook();
  await world.commit({ appends: Array.from({ length: 600 }, () => world.event({ webhooks: [hook] })) });
  fill(adapter.db);
  await world.reopen();
  expect(await world.list({}, 200)).toHaveLength(600);
});
