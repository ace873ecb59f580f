import { readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { DeliveryId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Leased } from "../../src/store/port.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";
import { expectSound } from "./tally-check.ts";
import { FAR, World } from "./world.ts";

/** `CRASH_SEED=...` repeats a run. */
const SEED = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** Mulberry32 (public domain): numbers in [0, 1) that follow from the seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Acknowledged {
  readonly status: string;
  readonly attemptCount: number;
  readonly webhook: Webhook;
}

/** A daemon's work, with what it was told is durable. */
class Daemon {
  readonly world: World;
  readonly random: () => number;
  readonly hooks: Webhook[] = [];
  readonly acknowledged = new Map<DeliveryId, Acknowledged>();
  #held: Leased[] = [];

  constructor(world: World, random: () => number) {
    this.world = world;
    this.random = random;
  }

  async start(): Promise<void> {
    for (let index = 0; index < 6; index += 1) {
      this.hooks.push(await this.world.webhook({ userId: `user-${index}` }));
    }
  }

  /** One commit of new events and outcomes, then leases for the next one. */
  async turn(): Promise<void> {
    const { world, random } = this;
    world.clock.at += Math.floor(random() * 400);
    const appends = Array.from({ length: Math.floor(random() * 60) }, () =>
      world.event({ webhooks: [this.#pick(this.hooks)], token: random() < 0.5 ? 77 : 0 }),
    );
    const settlements = this.#held.map((one) => {
      const status = this.#pick(["success", "success", "retrying", "dead"] as const);
      const dueAt = status === "retrying" ? world.clock.at + Math.floor(random() * 2_000) : null;
      return world.settlement(one, { status, dueAt });
    });
    await world.commit({ appends, settlements });
    for (const { id, status, attemptCount } of settlements) {
      const { webhook } = this.acknowledged.get(id)!;
      this.acknowledged.set(id, { status, attemptCount, webhook });
    }
    this.#held = [];
    for (const { targets } of appends) {
      const [target] = targets;
      const webhook = this.hooks.find(({ id }) => id === target!.webhookId)!;
      this.acknowledged.set(target!.id, { status: "pending", attemptCount: 0, webhook });
      if (target!.token !== 0) this.#held.push({ ...target!, attemptCount: 0 } as unknown as Leased);
    }
    const status = this.#pick(["pending", "retrying"] as const);
    const { leased } = await world.lease(this.#pick(this.hooks).id, { status, limit: 20 });
    this.#held.push(...leased);
    if (random() < 0.2) await world.store.maintain();
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]!;
  }
}

async function setup() {
  const adapter = sqliteAdapter({ foldSliceRows: 40 });
  onTestFinished(() => adapter.cleanup());
  const daemon = new Daemon(await World.open(adapter), randomOf(SEED));
  await daemon.start();
  return { adapter, daemon };
}

function isFoldHalfDone(adapter: ReturnType<typeof sqliteAdapter>): boolean {
  const above = adapter.opened[0]!.pluck("select count(*) from log where id > (select journal_id from fold)");
  return Number(above.get()) > 0;
}

test(`a kill at any point loses nothing that was acknowledged (seed ${SEED})`, async () => {
  const { adapter, daemon } = await setup();
  let halfFolded = 0;
  for (let turn = 0; turn < 120; turn += 1) {
    await daemon.turn();
    const isMiddle = isFoldHalfDone(adapter);
    if (daemon.random() > (isMiddle ? 0.3 : 0.06)) continue;
    halfFolded += isMiddle ? 1 : 0;
    const store = adapter.at(adapter.snapshot(), daemon.world.clock);
    const { lanes } = await store.open();
    const copy = adapter.opened.at(-1)!;
    expectSound(copy);
    const found = new Map<DeliveryId, { status: string; attemptCount: number }>();
    for (let before: number | null = FAR; before !== null; ) {
      const page = await store.listDeliveries({}, { limit: 200, before });
      for (const { id, status, attemptCount } of page.items) found.set(id, { status, attemptCount });
      before = page.next;
    }
    const expected = [...daemon.acknowledged].map(([id, { status, attemptCount }]) => [
      id,
      { status, attemptCount },
    ]);
    expect([...found].sort(([a], [b]) => a - b)).toEqual(expected.sort(([a], [b]) => Number(a) - Number(b)));
    for (const hook of daemon.hooks) {
      for (const status of ["pending", "retrying"] as const) {
        const open = [...daemon.acknowledged]
          .filter(([, one]) => one.webhook.id === hook.id && one.status === status)
          .map(([id]) => id);
        expect(lanes.find(({ webhookId }) => webhookId === hook.id)?.[status] ?? 0).toBe(open.length);
        const want = { webhookId: hook.id, status, limit: 7, dueBy: FAR, firstToken: 1 };
        const leased: DeliveryId[] = [];
        for (let got = 7; got === 7; ) {
          const [grant] = await store.lease([{ ...want, firstToken: leased.length + 1 }]);
          got = grant!.leased.length;
          leased.push(...grant!.leased.map(({ id }) => id));
        }
        expect(leased.sort((a, b) => a - b)).toEqual(open.sort((a, b) => a - b));
      }
    }
    copy.close();
  }
  expect(halfFolded).toBeGreaterThan(2);
}, 60_000);

test(`a log that was cut off anywhere leaves a store that is whole, as of an earlier commit (seed ${SEED})`, async () => {
  const { adapter, daemon } = await setup();
  for (let turn = 0; turn < 25; turn += 1) await daemon.turn();
  for (let cut = 0; cut < 12; cut += 1) {
    const dir = adapter.snapshot();
    const wal = join(dir, "hookd.db-wal");
    truncateSync(wal, Math.floor(daemon.random() * readFileSync(wal).length));
    const store = adapter.at(dir, daemon.world.clock);
    await store.open();
    expectSound(adapter.opened.at(-1)!);
    const page = await store.listDeliveries({}, { limit: 200, before: null });
    for (const { id } of page.items) expect(daemon.acknowledged.has(id)).toBe(true);
    await store.close();
  }
}, 60_000);

test("what a job or a command changed stays changed, also when a fold was half done", async () => {
  const adapter = sqliteAdapter({ foldSliceRows: 1 });
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const old = await world.delivery(hook, "pending");
  await world.store.updateWebhook({ ...hook, isActive: false, version: 2 });
  const job = await world.startJob({ kind: "end", userId: null, webhookId: hook.id });
  const ids = [old];
  for (let n = 0; n < 4; n += 1) ids.push(await world.delivery(hook, "pending"));
  world.clock.at += 5_000;
  expect(await world.store.maintain()).toBe(true);
  expect(await world.store.maintain()).toBe(true);
  const { changes } = await world.step(job.id, 100);
  expect(changes).toMatchObject([{ pending: -1, died: 1 }]);
  await world.crash();
  expect(await world.idsOf({ statuses: ["dead"] })).toEqual([old]);
  expectSound(adapter.db);
  const late = await world.delivery(hook, "retrying", { dueAt: world.clock.at + 60_000 });
  world.clock.at += 5_000;
  await world.store.maintain();
  expect(await world.store.kill(late, "cancelled", world.clock.at)).toMatchObject({ died: 1 });
  expect(await world.finish(job.id, 2)).toMatchObject({ done: 5 });
  await world.crash();
  expect(await world.list({ statuses: ["dead"] })).toHaveLength(6);
  expectSound(adapter.db);
});

test("a uid is known at every point of the fold that writes it", async () => {
  const adapter = sqliteAdapter({ foldSliceRows: 1 });
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const events = Array.from({ length: 6 }, (_, n) => world.event({ webhooks: [hook], uid: `u-${n}` }));
  await world.commit({ appends: events });
  world.clock.at += 5_000;
  let slices = 0;
  for (let hasMore = true; hasMore; slices += 1) {
    hasMore = await world.store.maintain();
    for (const { dedupe, seq } of events) expect(await world.store.findEvent(dedupe!)).toBe(seq);
  }
  // Six rows, six uids, and the lane that leaves memory.
  expect(slices).toBe(13);
});
