import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { uidKey } from "../../src/domain/dedupe.ts";
import { connect } from "../../src/store/sqlite/connection.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { MIGRATIONS, migrate } from "../../src/store/sqlite/migrations.ts";
import { type SqliteAdapter, sqliteAdapter } from "./sqlite-adapter.ts";
import { expectSound } from "./tally-check.ts";
import { FAR, testClock, WINDOW_MS, World } from "./world.ts";

function setup(): SqliteAdapter {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  return adapter;
}

test("the file is opened as it must be, and stays so over every kind of write", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  await world.publish({ webhooks: [hook], token: 3 });
  await world.settleDown();
  const read = (name: string) => adapter.db.pragma(name);
  // Checkpoints sync themselves; commits are synced by LogSync.
  expect(read("synchronous")).toBe(1);
  expect(read("journal_mode")).toBe("wal");
  expect(read("mmap_size")).toBe(0);
  expect(read("page_size")).toBe(8_192);
});

test("a second hookd on the same file is refused, and the first is unharmed", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  await world.publish({ webhooks: [hook] });
  const clear = /another hookd is running on .*hookd\.db\. Stop it first/;
  const module = new URL("../../src/store/sqlite/database.ts", import.meta.url).href;
  const path = join(adapter.dataDir, "hookd.db");
  const script = `const { openDatabase } = await import(${JSON.stringify(module)}); openDatabase(${JSON.stringify(path)});`;
  const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  expect(child.stderr).toMatch(clear);
  expect(child.status).toBe(1);
  await world.publish({ webhooks: [hook] });
  expect((await world.lease(hook.id)).leased).toHaveLength(2);
  await world.crash();
  expect(await world.list()).toHaveLength(2);
});

test("a file of a newer hookd is refused, and not changed", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  await world.webhook();
  await world.store.close();
  const path = join(adapter.dataDir, "hookd.db");
  const db = connect(path);
  db.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  db.close();
  const before = readFileSync(path);
  await expect(adapter.create(testClock()).open()).rejects.toThrow(
    `written by a newer hookd (schema ${MIGRATIONS.length + 1}`,
  );
  expect(readFileSync(path).equals(before)).toBe(true);
});

test("a file that is no database is refused, and not changed", async () => {
  const adapter = setup();
  const path = join(adapter.dataDir, "hookd.db");
  for (const bytes of [
    Buffer.from("not a database, but somebody's notes\n".repeat(500)),
    Buffer.alloc(20_000, 7),
  ]) {
    writeFileSync(path, bytes);
    await expect(adapter.create(testClock()).open()).rejects.toThrow(/is not a database that can be read/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  }
});

test("a migration that was killed in the middle is repeated", () => {
  const adapter = setup();
  const path = join(adapter.root, "a", "hookd.db");
  mkdirSync(join(adapter.root, "a"));
  const db = connect(path);
  db.pragma("locking_mode = EXCLUSIVE");
  db.pragma("journal_mode = WAL");
  // So small a cache that the half-done step reaches the file.
  db.pragma("cache_size = 1");
  db.exec("begin immediate");
  db.exec(MIGRATIONS[0]!);
  cpSync(join(adapter.root, "a"), join(adapter.root, "b"), { recursive: true });
  db.exec("rollback");
  db.close();
  const copy = openDatabase(join(adapter.root, "b", "hookd.db"));
  expect(copy.pragma("user_version")).toBe(MIGRATIONS.length);
  expectSound(copy);
  copy.close();
});

test("events of before there were traces are delivered after the migration, without one", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const id = await world.publish({ webhooks: [hook], payload: Buffer.from("as it was") });
  await world.store.close();
  takeBack(adapter, 2);
  const store = adapter.at(adapter.dataDir, world.clock);
  await store.open();
  const want = { webhookId: hook.id, status: "pending" as const, limit: 1, firstToken: 1 };
  const [grant] = await store.lease([{ ...want, dueBy: FAR }]);
  expect(grant?.leased).toMatchObject([{ id, trace: null }]);
  expect(Buffer.from(grant!.leased[0]!.payload).toString()).toBe("as it was");
});

test("uids of before there were several trees are known after the migration, and forgotten in time", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const known = new Map<string, number>();
  for (const uid of ["u-1", "u-2", "u-3"]) {
    known.set(uid, await world.publish({ webhooks: [hook], uid }));
    world.clock.at += WINDOW_MS;
    await world.settleDown();
  }
  await world.store.close();
  takeBack(adapter, 3);
  world.store = adapter.at(adapter.dataDir, world.clock);
  await world.store.open();
  const find = (uid: string) => world.store.findEvent(uidKey("acme", uid));
  for (const [uid, event] of known) expect(await find(uid)).toBe(event);
  while (await world.store.forgetUids(world.clock.at - WINDOW_MS)) {}
  expect([await find("u-1"), await find("u-2"), await find("u-3")]).toEqual([null, null, known.get("u-3")]);
});

test("a migration that fails leaves the version before it, with nothing of its own", () => {
  const adapter = setup();
  const path = join(adapter.root, "hookd.db");
  const db = openDatabase(path);
  const step = "create table extra(a integer) strict;";
  expect(() =>
    migrate(db, path, [...MIGRATIONS, step, `${step} insert into nothing_such values (1);`]),
  ).toThrow();
  expect(db.pragma("user_version")).toBe(MIGRATIONS.length + 1);
  const tables = db.pluck("select count(*) from sqlite_schema where name = 'extra'");
  expect(tables.get()).toBe(1);
  migrate(db, path, [...MIGRATIONS, step, "insert into extra values (1);"]);
  expect(db.pluck("select a from extra").all()).toEqual([1]);
  expect(db.pragma("user_version")).toBe(MIGRATIONS.length + 2);
  db.close();
});

test("a parked lane of many folds is leased in full, after releases and outcomes too", async () => {
  const adapter = setup();
  const world = await World.open(adapter);
  const hook = await world.webhook();
  for (let round = 0; round < 20; round += 1) {
    await world.commit({ appends: Array.from({ length: 100 }, () => world.event({ webhooks: [hook] })) });
    await world.settleDown();
    expect(world.store.stats().unfolded).toBe(0);
  }
  const { leased } = await world.lease(hook.id, { limit: 1_500, dueBy: FAR });
  await world.store.release(leased.slice(500));
  await world.commit({ settlements: leased.slice(0, 500).map((one) => world.settlement(one)) });
  expect(world.store.stats().unfolded).toBe(500);
  await world.settleDown();
  expect(world.store.stats().unfolded).toBe(0);
  expect((await world.lease(hook.id, { limit: 2_000, dueBy: FAR })).leased).toHaveLength(1_500);
  expect(await world.store.maintain()).toBe(false);
});

test.each([
  { events: "come evenly", rounds: 120, stepMs: () => 100 },
  // A fold of what gathered in two seconds, and none of them pass until as much has come again.
  { events: "come all at once after that", rounds: 80, stepMs: (round: number) => (round < 25 ? 100 : 0) },
])(
  "what is not in the log yet stays bounded while commits are large and $events",
  async ({ rounds, stepMs }) => {
    const adapter = setup();
    const world = await World.open(adapter);
    const hooks = await Promise.all(
      Array.from({ length: 40 }, (_, n) => world.webhook({ eventId: `e${n}` })),
    );
    let most = 0;
    for (let round = 0; round < rounds; round += 1) {
      const uid = () => ({ uid: `u-${world.nextId()}` });
      const appends = hooks.flatMap((hook) =>
        Array.from({ length: 50 }, () => world.event({ webhooks: [hook], ...uid() })),
      );
      await world.commit({ appends });
      world.clock.at += stepMs(round);
      most = Math.max(most, world.store.stats().unfolded);
    }
    // A fold begins at 40,000 and ends before as many again have gathered; what it took up counts until then.
    expect(most).toBeGreaterThan(50_000);
    expect(most).toBeLessThan(90_000);
  },
  60_000,
);

/** Makes a closed database one of an earlier version. */
function takeBack(adapter: SqliteAdapter, version: number): void {
  const db = connect(join(adapter.dataDir, "hookd.db"));
  if (version < 4) {
    db.exec(`
      insert into uid select generation, high, low, content, event from uid_seconds;
      insert into uid select generation, high, low, content, event from uid_minutes;
      insert into uid select generation, high, low, content, event from uid_hour;
      drop table uid_seconds; drop table uid_minutes; drop table uid_hour; drop table uid_generation`);
  }
  if (version < 3) db.exec("alter table journal drop column trace");
  db.pragma(`user_version = ${version}`);
  db.close();
}
