import { expect, onTestFinished, test } from "vitest";
import type { DeliveryId } from "../../src/domain/ids.ts";
import { Remover } from "../../src/store/sqlite/remover.ts";
import { Sweep, type Swept } from "../../src/store/sqlite/sweep.ts";
import { seededRandom } from "../support/fake-clock.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";
import { expectSound } from "./tally-check.ts";
import { attempt, FAR, START, World } from "./world.ts";

/** `SWEEP_SEED=...` repeats a run. */
const SEED = Number(process.env.SWEEP_SEED ?? Math.floor(Math.random() * 2 ** 31));

async function setup() {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hooks = [
    await world.webhook(),
    await world.webhook({ userId: "b" }),
    await world.webhook({ userId: "c" }),
  ];
  return { world, adapter, hooks };
}

test(`a sweep leaves what is dead, open, late or young, in slices of any size (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  const { world, adapter, hooks } = await setup();
  const staying: DeliveryId[] = [];
  const late = adapter.db.prepare("insert into late values (?, ?, ?)");
  for (let index = 0; index < 150; index += 1) {
    const hook = hooks[Math.floor(random() * hooks.length)]!;
    const status = random() < 0.6 ? "success" : random() < 0.5 ? "dead" : "retrying";
    const isYoung = random() < 0.1;
    // The second attempt of a delivery has a row of its own.
    const second = random() < 0.5 ? { attemptCount: 2, attempt: attempt(2, status, world.clock.at) } : {};
    const id = await world.delivery(hook, status, { ...second, ...(isYoung ? { settledAt: FAR } : {}) });
    const isSuccess = status === "success" && !isYoung;
    const isLate = isSuccess && random() < 0.1;
    if (isLate) late.run(id, hook.id, 1);
    if (!isSuccess || isLate) staying.push(id);
    world.clock.at += random() < 0.05 ? 1_000_000 : 100;
  }
  await world.settleDown();
  const mark = () => Number(adapter.db.pluck("select value from setting where name = 'swept_below'").get());
  for (let opening = 0; opening < 8; opening += 1) {
    const sweep = new Sweep(adapter.db, new Remover(adapter.db), mark(), 5 + Math.floor(random() * 60));
    const below = FAR;
    for (let slices = 0, hasMore = true; hasMore; slices += 1) {
      expect(slices).toBeLessThan(5_000);
      // But for the last time a process ends somewhere; the next one begins at the mark that is in the file.
      if (opening < 7 && random() < 0.1) break;
      let swept: Swept | null = null;
      const isRolledBack = random() < 0.2;
      const limit = 1 + Math.floor(random() * 20);
      try {
        adapter.db.transaction(() => {
          swept = sweep.slice(limit, { below, endedBefore: FAR, isShortAllowed: true });
          if (isRolledBack) throw new Error("rolled back");
        });
      } catch {
        continue;
      }
      if (swept === null) throw new Error("nothing was swept");
      const done: Swept = swept;
      done.confirm();
      hasMore = done.hasMore;
    }
  }
  const ids = (sql: string) => adapter.db.pluck(sql).all();
  expect(ids("select id from log order by id")).toEqual(staying);
  expect(ids("select id from journal order by id")).toEqual(staying);
  const young = await world.list({ statuses: ["success"] }, 200);
  const noted = new Set(ids("select id from late"));
  for (const { id, completedAt } of young) if (completedAt === FAR) expect(noted).toContain(id);
  expectSound(adapter.db);
});

test("a short span waits until it is worth a sweep, a long one does not", async () => {
  const { world, adapter, hooks } = await setup();
  await world.delivery(hooks[0]!, "success");
  await world.settleDown();
  const sweep = new Sweep(adapter.db, new Remover(adapter.db), 0);
  const slice = (below: number) => sweep.slice(10, { below, endedBefore: FAR, isShortAllowed: false });
  expect(slice(world.nextId())).toMatchObject({ hasMore: false, deleted: 0 });
  world.clock.at = START + 3_600_000;
  expect(slice(world.nextId())).toMatchObject({ hasMore: true });
});
