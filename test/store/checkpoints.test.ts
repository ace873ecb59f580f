import { mkdirSync, openSync, renameSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { Checkpoints } from "../../src/store/sqlite/checkpoints.ts";
import type { Db } from "../../src/store/sqlite/connection.ts";
import { openDatabase, StoreFailure } from "../../src/store/sqlite/database.ts";
import { LogSync } from "../../src/store/sqlite/log-sync.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { temporaryDirectory, until } from "../support/world.ts";
import { expectSound } from "./tally-check.ts";
import { testClock, WINDOW_MS, World } from "./world.ts";

const STEP_BYTES = 256 * 1_024;
const RESTART_BYTES = 1_024 * 1_024;
const ROW = Buffer.alloc(60_000, 7);
const BURST = 5;
const BURSTS_MAX = 4_000;

function setup({ checkpointed = "hookd.db", synced = "" } = {}) {
  const directory = temporaryDirectory();
  const path = join(directory, "hookd.db");
  const db = openDatabase(path);
  db.exec("create table extra(id integer primary key, bytes blob)");
  const failures: StoreFailure[] = [];
  const other = join(directory, checkpointed);
  if (checkpointed !== "hookd.db") writeFileSync(other, "somebody's notes\n".repeat(1_000));
  const checkpoints = new Checkpoints({
    db,
    path: other,
    mono: () => performance.now(),
    onFailure: (failure) => failures.push(failure),
    ...(synced !== "" && { openFile: () => openSync(synced, "r+") }),
    stepBytes: STEP_BYTES,
    restartBytes: RESTART_BYTES,
  });
  onTestFinished(async () => {
    await checkpoints.end();
    db.close();
    checkpoints.close();
  });
  const insert = db.prepare("insert into extra(bytes) values (?)");
  const write = async (commits = 1) => {
    for (let n = 0; n < commits; n += 1) {
      db.transaction(() => insert.run(ROW));
      checkpoints.committed();
    }
    await turn();
  };
  return { db, path, checkpoints, failures, write };
}

/** Pages in the log, and how many of them are in the database as well. */
function look(db: Db): { log: number; checkpointed: number } {
  return db.prepare("pragma wal_checkpoint(noop)").get() as { log: number; checkpointed: number };
}

test("a log that is written all the time is copied back, and begins anew again and again", async () => {
  const { db, path, write, failures } = setup();
  let restarts = 0;
  let written = 0;
  const log = new LogSync(`${path}-wal`);
  onTestFinished(() => log.close());
  // As hookd commits: the next ones are written while the disk is busy with the last ones, so the thread hardly ever comes
  // to the end of the log by itself.
  let durable = Promise.resolve();
  for (let bursts = 0; restarts < 5; bursts += 1) {
    if (bursts === BURSTS_MAX) throw new Error(`it has begun anew ${restarts} times only`);
    const before = look(db).log;
    await durable;
    durable = log.durable();
    await write(BURST);
    written += BURST;
    if (look(db).log < before) restarts += 1;
  }
  await durable;
  expect(failures).toEqual([]);
  expect(db.pluck("select count(*) from extra").get()).toBe(written);
  // What is not in the log any more is in the database.
  expect(statSync(path).size).toBeGreaterThan((written * ROW.length) / 2);
  expectSound(db);
});

test("while a backup holds it the log keeps all of it, and gives the room back afterwards", async () => {
  const { db, path, checkpoints, write } = setup();
  const release = checkpoints.hold();
  for (let n = 0; n < 100; n += 1) await write();
  const held = look(db);
  expect(held.checkpointed).toBe(0);
  expect(held.log * 8_192).toBeGreaterThan(100 * ROW.length);
  release();
  await until(
    "it has begun anew",
    async () => {
      await write();
      return look(db).log < held.log;
    },
    60_000,
  );
  expect(statSync(`${path}-wal`).size).toBeLessThanOrEqual(2 * RESTART_BYTES + 2 * ROW.length);
});

test.each([
  ["a database that cannot be read", { checkpointed: "notes.txt" }, /not a database/],
  ["a database that cannot be synced", { synced: "/dev/null" }, /EINVAL/],
])("%s is told once, and nothing is tried again", async (_what, options, why) => {
  const { db, write, failures } = setup(options);
  await until("it has failed", async () => {
    await write();
    return failures.length > 0;
  });
  const { checkpointed } = look(db);
  for (let n = 0; n < 100; n += 1) await write();
  expect(failures[0]).toBeInstanceOf(StoreFailure);
  expect(failures[0]?.message).toMatch(/^the log cannot be copied into the database: /);
  expect(failures[0]?.message).toMatch(why);
  expect(failures).toHaveLength(1);
  expect(look(db).checkpointed).toBe(checkpointed);
});

test("a store whose log could not be copied back takes nothing more, and leaves the log when it is closed", async () => {
  const dataDir = temporaryDirectory();
  const clock = testClock();
  const options = { dataDir, dedupeWindowMs: WINDOW_MS, clock, isCheckpointedAside: true };
  // Where the thread finds the database a moment later, there is a directory by then.
  const open = () => createSqliteStore(options);
  const world = await World.open({ create: open, crash: open, cleanup: async () => undefined });
  const hook = await world.webhook();
  const path = join(dataDir, "hookd.db");
  renameSync(path, `${path}.aside`);
  mkdirSync(path);
  const payload = Buffer.alloc(200_000, 7);
  let acknowledged = 0;
  await expect(
    until("it fails", async () => {
      await world.publish({ webhooks: [hook], payload });
      acknowledged += 1;
      return false;
    }),
  ).rejects.toThrow(StoreFailure);
  await expect(world.store.close()).rejects.toThrow(StoreFailure);
  rmdirSync(path);
  renameSync(`${path}.aside`, path);
  const after = open();
  const { lanes } = await after.open();
  expect(lanes).toMatchObject([{ webhookId: hook.id }]);
  expect(lanes[0]?.pending).toBeGreaterThanOrEqual(acknowledged);
  await after.close();
});

test("a store that copies its log aside has everything after a close and after a backup", async () => {
  const dataDir = temporaryDirectory();
  const open = (clock: ReturnType<typeof testClock>) =>
    createSqliteStore({ dataDir, dedupeWindowMs: WINDOW_MS, clock, isCheckpointedAside: true });
  const world = await World.open({ create: open, crash: open, cleanup: async () => undefined });
  const hook = await world.webhook();
  const payload = Buffer.alloc(200_000, 7);
  const write = () => world.publish({ webhooks: [hook], payload });
  for (let n = 0; n < 300; n += 1) await write();
  const database = join(dataDir, "hookd.db");
  await until("the log is copied", () => statSync(database).size > 10_000_000);
  const path = join(temporaryDirectory(), "copy.db");
  const during: Promise<unknown>[] = [];
  await world.store.backup(path, {
    signal: new AbortController().signal,
    onProgress: () => during.push(write()),
  });
  const count = 300 + (await Promise.all(during)).length;
  const { lanes } = await world.reopen();
  expect(lanes).toMatchObject([{ webhookId: hook.id, pending: count }]);
  await world.store.close();
  const copy = openDatabase(path);
  expectSound(copy);
  copy.close();
});
