import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ArchiveFiles } from "../../src/archive/archive-files.ts";
import type { EndedDelivery } from "../../src/domain/delivery.ts";
import { type DeliveryId, formatId } from "../../src/domain/ids.ts";
import { sqliteAdapter } from "../store/sqlite-adapter.ts";
import { expectSound } from "../store/tally-check.ts";
import { START, World } from "../store/world.ts";
import { seededRandom } from "../support/fake-clock.ts";
import { faultyFiles, type Line, readAll, readWhole, SALT, temporaryDirectory } from "./setup.ts";

/** `CRASH_SEED=...` repeats a run. */
const SEED = Number(process.env.CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = 60;

class Crash extends Error {}

/** A store, an archive, and a fault every so many file calls: a crash of the process, or a full disk. */
async function setup(seed: number) {
  const random = seededRandom(seed);
  const adapter = sqliteAdapter({ foldSliceRows: 7 });
  onTestFinished(() => adapter.cleanup());
  const directory = join(temporaryDirectory(), "cold");
  const world = await World.open(adapter);
  const hooks = [
    await world.webhook(),
    await world.webhook({ userId: "b" }),
    await world.webhook({ userId: "c" }),
  ];
  let untilFault = 0;
  const files = faultyFiles(
    () => {
      untilFault -= 1;
      if (untilFault === 0) throw random() < 0.5 ? new Crash() : new Error("ENOSPC");
    },
    (bytes) => Math.floor(random() * (bytes + 1)),
  );
  let archive = new ArchiveFiles({ directory, salt: SALT, files });

  async function work(): Promise<void> {
    for (let count = 0; count < 12; count += 1) {
      const hook = hooks[Math.floor(random() * hooks.length)]!;
      const status = (["success", "success", "success", "dead", "retrying"] as const)[
        Math.floor(random() * 5)
      ]!;
      await world.delivery(hook, status, { dueAt: status === "retrying" ? world.clock.at : null });
      world.clock.at += Math.floor(random() * 400_000);
    }
    const event = world.event({ webhooks: hooks, userId: "*", token: 9 });
    await world.append(event);
    for (const { id, webhookId } of event.targets) {
      if (random() < 0.8) await world.settle({ id, webhookId, token: 9 });
    }
    for (const hook of hooks) {
      const { leased } = await world.lease(hook.id, { status: "retrying", limit: 2 });
      for (const one of leased) await world.settle(one, { status: random() < 0.7 ? "success" : "dead" });
    }
    const dead = await world.list({ statuses: ["dead"] });
    for (const { id } of dead) if (random() < 0.1) await world.store.revive(id, world.clock.at);
  }

  /** One round of retention, in which a fault may come: at any file call, or between keeping and deleting. */
  async function retain(isFaulty: boolean): Promise<void> {
    untilFault = isFaulty ? 1 + Math.floor(random() * 40) : 0;
    const dies = isFaulty && random() < 0.3;
    const bound = world.clock.at - 3_600_000;
    try {
      await world.pruneAll(bound, bound + 1_000_000, 5, async (ended: readonly EndedDelivery[]) => {
        archive.append(ended);
        if (dies && random() < 0.3) throw new Crash();
        if (random() < 0.2) await interfere(ended);
      });
    } catch (error) {
      if (!(error instanceof Crash)) return;
      archive = new ArchiveFiles({ directory, salt: SALT, files });
      await world.crash();
    } finally {
      untilFault = 0;
    }
  }

  /** What a user may do while the archive is being written. */
  async function interfere(ended: readonly EndedDelivery[]): Promise<void> {
    const one = ended[Math.floor(random() * ended.length)]!;
    await world.store.revive(one.id, world.clock.at);
    const hook = hooks[Math.floor(random() * hooks.length)]!;
    const { leased } = await world.lease(hook.id, { limit: 2 });
    for (const lease of leased) await world.settle(lease);
    if (random() < 0.5) await world.settleDown();
  }

  return { world, adapter, directory, random, work, retain };
}

test(`whatever crashes or fills up, nothing is deleted that is not in the archive (seed ${SEED})`, {
  timeout: 60_000,
}, async () => {
  const { world, adapter, directory, work, retain } = await setup(SEED);
  const made = new Set<DeliveryId>();
  for (let round = 0; round < ROUNDS; round += 1) {
    await work();
    const before = await world.list({}, 200);
    for (const { id } of before) made.add(id);
    await retain(round % 3 !== 2);
    const left = new Set((await world.list({}, 200)).map(({ id }) => id));
    const kept = new Set(readWhole(directory).map(({ id }) => id));
    const lost = [...made].filter((id) => !left.has(id) && !kept.has(formatId("dlv", id, SALT)));
    expect(lost, `lost after round ${round}`).toEqual([]);
  }
  await world.pruneAll(world.clock.at + 1, world.clock.at + 1, 5, async () => {});
  await world.crash();
  expectSound(adapter.db);
  const left = await world.list({}, 200);
  expect(left.filter(({ completedAt }) => completedAt !== null)).toEqual([]);
  expect(made.size - left.length).toBeGreaterThan(ROUNDS * 5);
});

test("a crash between keeping and deleting gives the line once more, with the same id", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const directory = temporaryDirectory();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const id = await world.delivery(hook, "success");
  await world.settleDown();
  const crashing = async (ended: readonly EndedDelivery[]) => {
    new ArchiveFiles({ directory, salt: SALT }).append(ended);
    throw new Crash();
  };
  await expect(world.pruneAll(START + 1, 0, 5, crashing)).rejects.toThrow(Crash);
  await world.crash();
  await world.pruneAll(START + 1, 0, 5, async (ended) =>
    new ArchiveFiles({ directory, salt: SALT }).append(ended),
  );
  const text = formatId("dlv", id, SALT);
  expect(readAll(directory).map((line: Line) => line.id)).toEqual([text, text]);
  expect(await world.list()).toEqual([]);
});
