import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { replaceConfig } from "../../src/config/changes.ts";
import { loadConfig } from "../../src/config/load.ts";
import { Problem } from "../../src/domain/problem.ts";
import { Backups, removeLeftovers } from "../../src/engine/backups.ts";
import { Counters } from "../../src/engine/counters.ts";
import { DiskWatch } from "../../src/engine/disk-watch.ts";
import { systemClock } from "../../src/lib/clock.ts";
import type { BackupOptions, Store } from "../../src/store/port.ts";
import { setupDirector } from "../api/director-world.ts";
import { temporaryDirectory, until } from "../support/world.ts";

/** Backups over a store that copies when the test says so. */
function setup(options: { bytes?: number } = {}) {
  const dataDir = temporaryDirectory();
  const config = loadConfig({ env: {}, flags: { data_dir: dataDir, "limits.disk_free": 1_000 } });
  const copy = { path: "", given: null as BackupOptions | null, end: (_error: unknown) => {} };
  const space = { freeBytes: 1_000_000, walBytes: 0 };
  const disk = new DiskWatch({
    reusableBytes: () => 0,
    freeBytes: () => space.freeBytes,
    limitBytes: () => 1_000,
    onChange: () => undefined,
  });
  const store = {
    stats: () => ({ bytes: options.bytes ?? 400, walBytes: space.walBytes, unfolded: 0, dead: 0 }),
    backup(path: string, given: BackupOptions) {
      return new Promise<void>((resolve, reject) => {
        copy.path = path;
        copy.given = given;
        copy.end = (error) => {
          if (error !== null) return reject(error);
          writeFileSync(path, "x".repeat(400));
          resolve();
        };
        given.signal.addEventListener("abort", () => reject(given.signal.reason));
      });
    },
  } as unknown as Store;
  const warnings: unknown[] = [];
  const counters = new Counters();
  const log = { warn: (_message: string, fields: unknown) => void warnings.push(fields) };
  const backups = new Backups({ config, store, disk, clock: systemClock, counters, log });
  return { backups, copy, disk, space, counters, warnings, config, dir: config.backup.dir };
}

const code = (wanted: string) => expect.objectContaining({ code: wanted });

test("a backup is begun, told of while it is made, and stays as a file until it is deleted", async () => {
  const { backups, copy, dir } = setup();
  expect(await backups.list()).toEqual([]);
  const begun = await backups.create("one");
  expect(begun).toMatchObject({ name: "one", state: "running", progress: 0, path: join(dir, "one.db") });
  copy.given?.onProgress({ bytesDone: 100, bytesTotal: 400 });
  expect(await backups.get("one")).toMatchObject({ state: "running", bytes: 100, progress: 0.25 });
  copy.end(null);
  const done = await until("it is done", async () => {
    const found = await backups.get("one");
    return found?.state === "done" && found;
  });
  expect(done).toMatchObject({ bytes: 400, progress: 1, error: null });
  expect(await backups.list()).toEqual([done]);
  await backups.delete("one");
  expect(readdirSync(dir)).toEqual([]);
  await expect(backups.delete("one")).rejects.toEqual(code("not_found"));
});

test("another directory is for backups from then on: the one that is being made ends where it began", async () => {
  const { backups, copy, config, dir } = setup();
  await backups.create("one");
  const other = join(temporaryDirectory(), "other");
  replaceConfig(config, { ...config, backup: { dir: other } });
  expect(await backups.get("one")).toMatchObject({ state: "running", path: join(dir, "one.db") });
  copy.end(null);
  await until("it is done", async () => (await backups.get("one"))?.state === "done");
  expect(await backups.list()).toMatchObject([{ name: "one", path: join(dir, "one.db") }]);
  expect(await backups.create("two")).toMatchObject({ path: join(other, "two.db") });
  copy.end(null);
  await until("it is done", async () => (await backups.get("two"))?.state === "done");

  expect(await backups.list()).toMatchObject([{ name: "two" }]);
  expect(readdirSync(dir)).toEqual(["one.db"]);
});

test("one is made at a time, and a name is used once", async () => {
  const { backups, copy } = setup();
  const [first, second] = await Promise.allSettled([backups.create("one"), backups.create("two")]);
  expect(first.status).toBe("fulfilled");
  expect(second).toMatchObject({ status: "rejected", reason: code("backup_running") });
  copy.end(null);
  await until("it is done", async () => (await backups.get("one"))?.state === "done");
  await expect(backups.create("one")).rejects.toEqual(code("backup_exists"));
  const unnamed = await backups.create(null);
  expect(unnamed.name).toMatch(/^hookd-\d{8}T\d{6}Z$/);
});

test("without room for the copy and limits.disk_free none is begun, and it says how much is needed", async () => {
  const { backups } = setup({ bytes: Number.MAX_SAFE_INTEGER - 1_000 });
  await expect(backups.create("one")).rejects.toMatchObject({
    code: "disk_full",
    message: expect.stringMatching(/has \d+ MiB free, and the backup needs \d+ MiB.*backup\.dir/),
  });
  expect(await backups.list()).toEqual([]);
});

test("one that fails leaves why, and one after it is made", async () => {
  const { backups, copy, warnings, counters } = setup();
  await backups.create("one");
  copy.end(new Error("the disk is on fire"));
  const failed = await until("it has failed", async () => {
    const found = await backups.get("one");
    return found?.state === "failed" && found;
  });
  expect(failed).toMatchObject({ error: "the disk is on fire", bytes: 0 });
  expect(warnings).toEqual([{ name: "one", error: "the disk is on fire" }]);
  expect(counters.backups).toEqual({ done: 0, failed: 1, cancelled: 0 });
  await backups.create("one");
  expect((await backups.get("one"))?.state).toBe("running");
});

test("deleting one that is being made ends it, and so does a stop", async () => {
  const { backups, copy, counters } = setup();
  await backups.create("one");
  await backups.delete("one");
  expect(copy.given?.signal.aborted).toBe(true);
  expect(await backups.list()).toEqual([]);
  await backups.create("two");
  await backups.stop();
  expect(copy.given?.signal.aborted).toBe(true);
  expect(await backups.list()).toEqual([]);
  expect(counters.backups).toEqual({ done: 0, failed: 0, cancelled: 2 });
  await expect(backups.create("three")).rejects.toEqual(code("shutting_down"));
});

test.each([
  ["the disk is nearly full", { freeBytes: 900, walBytes: 0 }],
  [
    "the log, which grows until it is done, could not be written into the database",
    { freeBytes: 50_000, walBytes: 49_100 },
  ],
])("one is given up where %s", async (_why, after) => {
  const { backups, disk, space } = setup();
  await backups.create("one");
  backups.look();
  expect(backups.isRunning).toBe(true);
  Object.assign(space, after);
  disk.look();
  backups.look();
  const failed = await until("it has failed", async () => {
    const found = await backups.get("one");
    return found?.state === "failed" && found;
  });
  expect(failed.error).toContain("disk was nearly full");
});

test("drafts that a crash left are removed, and nothing else", async () => {
  const { dir } = setup();
  mkdirSync(dir);
  for (const name of ["a.db", "b.db.partial", "b.db.partial-journal", "notes.partial.txt"])
    writeFileSync(join(dir, name), "");
  await removeLeftovers(dir);
  expect(readdirSync(dir).sort()).toEqual(["a.db", "notes.partial.txt"]);
  await removeLeftovers(join(dir, "missing"));
});

test("a directory that cannot be made is told with its name and the key that names it", async () => {
  const { config, backups } = setup();
  writeFileSync(config.backup.dir, "a file");
  const refused = backups.create("one");
  await expect(refused).rejects.toBeInstanceOf(Problem);
  await expect(refused).rejects.toMatchObject({
    code: "store_unavailable",
    message: expect.stringMatching(/backups cannot be used: ENOTDIR.*backup\.dir/),
  });
});

test("over the API a backup of a real store is begun, seen to its end, listed and deleted, by admin keys only", async () => {
  const { call, admin, keyFor } = await setupDirector();
  const user = await keyFor("acme");
  for (const [method, path] of [
    ["POST", "/v1/backups"],
    ["GET", "/v1/backups"],
    ["GET", "/v1/backups/one"],
    ["DELETE", "/v1/backups/one"],
  ] as const) {
    expect((await call(method, path, { key: user })).status).toBe(403);
  }
  for (const name of ["../x", ".hidden", "a/b", "x".repeat(65), ""])
    expect((await call("POST", "/v1/backups", { key: admin, body: { name } })).status).toBe(400);
  const begun = await call("POST", "/v1/backups", { key: admin, body: { name: "one" } });
  expect(begun).toMatchObject({ status: 202, json: { name: "one", state: "running", completed_at: null } });
  const done = await until("it is done", async () => {
    const answer = await call("GET", "/v1/backups/one", { key: admin });
    return answer.json.state === "done" && answer.json;
  });
  expect((await call("POST", "/v1/backups", { key: admin, body: { name: "one" } })).json.code).toBe(
    "backup_exists",
  );
  expect((await call("GET", "/v1/backups", { key: admin })).json.data).toEqual([done]);
  expect((await call("GET", "/v1/backups/..%2fhookd", { key: admin })).status).toBe(404);
  expect((await call("DELETE", "/v1/backups/one", { key: admin })).status).toBe(204);
  expect((await call("DELETE", "/v1/backups/one", { key: admin })).status).toBe(404);
});
