import { expect, onTestFinished, test } from "vitest";
import { uidKey } from "../../src/domain/dedupe.ts";
import { type SqliteAdapter, sqliteAdapter } from "./sqlite-adapter.ts";
import { WINDOW_MS, World } from "./world.ts";

/** Between two folds. */
const STEP_MS = 10_000;

async function setup(options: { foldSliceRows?: number } = {}) {
  const adapter = sqliteAdapter(options);
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const known = new Map<string, number>();
  return {
    adapter,
    world,
    known,
    async publish(count: number) {
      for (let n = 0; n < count; n += 1) {
        const uid = `u-${known.size}`;
        known.set(uid, await world.publish({ webhooks: [hook], uid }));
      }
    },
    async expectAllKnown() {
      for (const [uid, event] of known) expect(await world.store.findEvent(uidKey("acme", uid))).toBe(event);
    },
    /** What a process would know that started after a kill in this moment. */
    async expectAllKnownAfterKill() {
      const copy = adapter.at(adapter.snapshot(), world.clock);
      await copy.open();
      for (const [uid, event] of known) expect(await copy.findEvent(uidKey("acme", uid))).toBe(event);
    },
  };
}

function counts({ db }: SqliteAdapter): Record<"seconds" | "minutes" | "hour" | "window", number> {
  const count = (table: string) => db.pluck(`select count(*) from ${table}`).get() as number;
  return {
    seconds: count("uid_seconds"),
    minutes: count("uid_minutes"),
    hour: count("uid_hour"),
    window: count("uid"),
  };
}

test("uids move on to larger trees as time goes by, and each is known in every tree", async () => {
  const { adapter, world, known, publish, expectAllKnown } = await setup();
  for (let step = 0; step < 60; step += 1) {
    await publish(20);
    await world.settleDown();
    world.clock.at += STEP_MS;
  }
  await expectAllKnown();
  const { seconds, minutes, hour, window } = counts(adapter);
  expect(seconds + minutes + hour + window).toBe(known.size);
  // Fifteen minutes went by: a pass takes 25 seconds over the smallest tree, and four minutes over the next.
  expect(seconds).toBeLessThan(known.size / 10);
  expect(minutes).toBeLessThan(known.size / 2);
  expect(hour).toBeGreaterThan(known.size / 3);
  expect(window).toBeGreaterThan(0);
});

test("a uid is known at every slice that carries some on, and after a kill in each", async () => {
  const { adapter, world, publish, expectAllKnown, expectAllKnownAfterKill } = await setup({
    foldSliceRows: 4,
  });
  for (let step = 0; step < 5; step += 1) {
    await publish(6);
    world.clock.at += 25_000;
    for (let hasMore = true; hasMore; ) {
      hasMore = await world.store.maintain();
      await expectAllKnown();
      await expectAllKnownAfterKill();
    }
    await world.crash();
    await expectAllKnown();
  }
  const { minutes, hour } = counts(adapter);
  expect(minutes).toBeGreaterThan(0);
  expect(hour).toBeGreaterThan(0);
});

test("a pass keeps its time however many slices a fold has, and whenever in it the uids are written", async () => {
  const { adapter, world, publish, expectAllKnown } = await setup({ foldSliceRows: 8 });
  const each = 32;
  for (let step = 0; step < 20; step += 1) {
    await publish(each);
    await world.settleDown();
  }
  // A fold every 5 seconds: a tree of 25 seconds' pass has what five folds wrote, or less.
  expect(counts(adapter).seconds).toBeLessThanOrEqual(6 * each);
  await expectAllKnown();
});

test("after a pause a tree is carried on bit by bit, a few for each uid that comes", async () => {
  const { adapter, world, publish, expectAllKnown } = await setup();
  await publish(200);
  await world.settleDown();
  const before = counts(adapter);
  world.clock.at += WINDOW_MS / 2;
  await publish(10);
  await world.settleDown();
  const after = counts(adapter);
  expect(after.seconds).toBe(before.seconds + 10 - 20);
  await expectAllKnown();
});

test("what a small tree still has of a forgotten generation is unknown, and deleted as the pass comes by", async () => {
  const { adapter, world, known, publish } = await setup();
  await publish(5);
  await world.settleDown();
  expect(counts(adapter)).toMatchObject({ hour: 0, window: 0 });
  for (let window = 0; window < 2; window += 1) {
    world.clock.at += WINDOW_MS;
    await world.commit({});
  }
  while (await world.store.forgetUids(world.clock.at - WINDOW_MS)) {}
  const isUnknown = async () => {
    for (const uid of known.keys()) expect(await world.store.findEvent(uidKey("acme", uid))).toBe(null);
  };
  await isUnknown();
  await world.crash();
  await isUnknown();
  known.clear();
  await publish(5);
  for (let round = 0; round < 3; round += 1) {
    world.clock.at += WINDOW_MS / 8;
    await publish(5);
    await world.settleDown();
  }
  // The same uids again, and their old selves are gone.
  expect(Object.values(counts(adapter)).reduce((a, b) => a + b)).toBe(known.size);
});

test("a uid that is given again after it was forgotten is the new event in whichever tree it lies", async () => {
  const { world, known, publish, expectAllKnown } = await setup();
  for (let life = 0; life < 3; life += 1) {
    known.clear();
    await publish(50);
    for (let step = 0; step < 12; step += 1) {
      world.clock.at += STEP_MS;
      await world.publish({ webhooks: [], uid: `other-${life}-${step}` });
      await world.settleDown();
      await expectAllKnown();
    }
    for (let window = 0; window < 2; window += 1) {
      world.clock.at += WINDOW_MS;
      await world.commit({});
    }
    while (await world.store.forgetUids(world.clock.at - WINDOW_MS)) {}
  }
});
