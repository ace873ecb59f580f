import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { DeliveryId } from "../../src/domain/ids.ts";
import type { BackupProgress } from "../../src/store/port.ts";
import { inspectBackup } from "../../src/store/sqlite/backup-file.ts";
import { connect } from "../../src/store/sqlite/connection.ts";
import { type SqliteAdapter, sqliteAdapter } from "../store/sqlite-adapter.ts";
import { expectSound } from "../store/tally-check.ts";
import { testClock, World } from "../store/world.ts";
import { temporaryDirectory } from "../support/world.ts";

async function setup(): Promise<{ world: World; adapter: SqliteAdapter; dir: string; path: string }> {
  const adapter = sqliteAdapter({ foldSliceRows: 50 });
  onTestFinished(() => adapter.cleanup());
  const dir = temporaryDirectory();
  // The store finds its database by this name when a test opens the copy.
  return { world: await World.open(adapter), adapter, dir, path: join(dir, "hookd.db") };
}

const quiet = { signal: new AbortController().signal, onProgress: () => undefined };
const BIG = Buffer.alloc(30_000, 7);

/** What a store finds in the copy: what a new process would. */
async function openCopy(adapter: SqliteAdapter, dir: string) {
  const store = adapter.at(dir, testClock());
  const recovery = await store.open();
  return { store, recovery };
}

test("a copy holds what only the log has, in one file of its own that is sound", async () => {
  const { world, adapter, dir, path } = await setup();
  adapter.db.pragma("wal_checkpoint(TRUNCATE)");
  adapter.db.pragma("wal_autocheckpoint = 0");
  const hook = await world.webhook();
  const ids: DeliveryId[] = [];
  for (let n = 0; n < 20; n += 1)
    ids.push(await world.publish({ webhooks: [hook], payload: BIG, uid: `u-${n}` }));
  const mainFile = readFileSync(join(adapter.dataDir, "hookd.db"));
  expect(mainFile.includes("u-19")).toBe(false);

  await world.store.backup(path, quiet);

  expect(readdirSync(dir)).toEqual(["hookd.db"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  // As it is, with no log: readable where nothing may be written.
  chmodSync(path, 0o400);
  expect(inspectBackup(path)).toMatchObject({ webhooks: 1, asOf: expect.any(Number) });
  expect(readdirSync(dir)).toEqual(["hookd.db"]);
  chmodSync(path, 0o600);
  const { store, recovery } = await openCopy(adapter, dir);
  expect(recovery.lanes).toMatchObject([{ webhookId: hook.id, pending: 20 }]);
  for (const id of ids) expect((await store.getDelivery(id))?.delivery).toMatchObject({ status: "pending" });
  await store.close();
});

test("what is stored and settled while it is copied is not in the copy, which is as of its beginning", async () => {
  const { world, adapter, dir, path } = await setup();
  const hook = await world.webhook();
  for (let n = 0; n < 150; n += 1) await world.publish({ webhooks: [hook], payload: BIG, token: n + 1 });
  await world.settleDown();
  const seen: BackupProgress[] = [];
  const during: DeliveryId[] = [];
  let writing: Promise<unknown> = Promise.resolve();
  const onProgress = (progress: BackupProgress) => {
    seen.push(progress);
    expect(progress.bytesTotal).toBe(seen[0]?.bytesTotal);
    writing = writing.then(async () => {
      const id = await world.publish({ webhooks: [hook], payload: BIG, token: 1_000 + during.length });
      during.push(id);
      await world.settle({ id, token: 999 + during.length, webhookId: hook.id });
      world.clock.at += 1_000;
      await world.store.maintain();
    });
  };
  await world.store.backup(path, { ...quiet, onProgress });
  await writing;
  expect(seen.length).toBeGreaterThan(3);
  expect(seen.at(-1)?.bytesDone).toBe(seen.at(-1)?.bytesTotal);
  expect(statSync(path).size).toBe(seen.at(-1)?.bytesTotal);

  const { store } = await openCopy(adapter, dir);
  const found = await Promise.all(during.map((id) => store.getDelivery(id)));
  expect(found.length).toBeGreaterThan(3);
  expect(found.filter((one) => one !== null)).toEqual([]);
  await store.close();
  const db = connect(path);
  onTestFinished(() => void db.close());
  expectSound(db);
});

test("everything acknowledged before the call is in the copy, however little of it was folded", async () => {
  const { world, adapter, dir, path } = await setup();
  const hook = await world.webhook();
  const ids: DeliveryId[] = [];
  for (let n = 0; n < 300; n += 1) {
    const id = await world.publish({ webhooks: [hook], token: n + 1 });
    ids.push(id);
    if (n % 3 === 0) await world.settle({ id, token: n + 1, webhookId: hook.id });
    if (n % 50 === 0) await world.store.maintain();
  }
  await world.store.backup(path, quiet);
  const { store } = await openCopy(adapter, dir);
  const states = await Promise.all(ids.map(async (id) => (await store.getDelivery(id))?.delivery.status));
  expect(states).toEqual(ids.map((_, n) => (n % 3 === 0 ? "success" : "pending")));
  await store.close();
});

test("a copy that is aborted leaves nothing, and the store goes on", async () => {
  const { world, dir, path } = await setup();
  const hook = await world.webhook();
  for (let n = 0; n < 100; n += 1) await world.publish({ webhooks: [hook], payload: BIG });
  const abort = new AbortController();
  const copying = world.store.backup(path, { signal: abort.signal, onProgress: () => abort.abort() });
  await expect(copying).rejects.toMatchObject({ name: "AbortError" });
  expect(readdirSync(dir)).toEqual([]);
  await world.publish({ webhooks: [hook] });
  await world.store.backup(path, quiet);
  expect(existsSync(path)).toBe(true);
});

test("a copy that cannot be written leaves nothing, and the draft of one that a crash ended is replaced", async () => {
  const { world, dir, path } = await setup();
  await world.webhook();
  await expect(world.store.backup(join(dir, "missing", "hookd.db"), quiet)).rejects.toThrow(/ENOENT/);
  writeFileSync(`${path}.partial`, "half");
  writeFileSync(`${path}.partial-journal`, "of it");
  await world.store.backup(path, quiet);
  expect(readdirSync(dir)).toEqual(["hookd.db"]);
});
