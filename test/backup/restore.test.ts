import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { keyIdOf } from "../../src/domain/seal.ts";
import { MASTER_KEY_ID, PAUSED } from "../../src/domain/setting.ts";
import { type RestoreRequest, restoreBackup } from "../../src/restore.ts";
import { connect, type Db } from "../../src/store/sqlite/connection.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { MIGRATIONS } from "../../src/store/sqlite/migrations.ts";
import { hookd } from "../cli/support.ts";
import { sqliteAdapter } from "../store/sqlite-adapter.ts";
import { START, World } from "../store/world.ts";
import { temporaryDirectory } from "../support/world.ts";

const PAGE_BYTES = 8_192;
const KEY = Buffer.alloc(32, 7);
const NOW = START + 7_200_000;

/** A backup with a webhook and an event in it, and an empty directory to restore into. */
async function setup() {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  const hook = await world.webhook();
  const id = await world.publish({ webhooks: [hook], payload: Buffer.alloc(100_000, 1) });
  await world.store.putSetting(MASTER_KEY_ID, keyIdOf(KEY));
  const root = temporaryDirectory();
  const file = join(root, "backup.db");
  await world.store.backup(file, { signal: new AbortController().signal, onProgress: () => undefined });
  const dataDir = join(root, "data");
  const keyFile = join(root, "kept.key");
  writeFileSync(keyFile, `${KEY.toString("base64")}\n`, { mode: 0o600 });
  const restore = (changes: Partial<RestoreRequest> = {}) =>
    restoreBackup({
      file,
      dataDir,
      masterKeyFile: null,
      isForced: false,
      now: NOW,
      randomBytes,
      onCopied: () => undefined,
      onPhase: () => undefined,
      ...changes,
    });
  return { adapter, root, file, dataDir, keyFile, id, restore };
}

function changed(file: string, change: (db: Db) => void): void {
  const db = connect(file);
  change(db);
  db.close();
}

test("a backup is put in place as hookd's own, for its user only, and says that it was restored", async () => {
  const { adapter, dataDir, id, keyFile, restore } = await setup();
  const { facts, movedAside, hasMasterKey } = await restore({ masterKeyFile: keyFile });
  expect(facts).toMatchObject({ webhooks: 1, asOf: expect.any(Number) });
  expect({ movedAside, hasMasterKey }).toEqual({ movedAside: [], hasMasterKey: true });
  expect(readdirSync(dataDir).sort()).toEqual(["admin.key.new", "hookd.db", "master.key"]);
  for (const name of readdirSync(dataDir))
    expect(statSync(join(dataDir, name)).mode & 0o777, name).toBe(0o600);
  expect(readFileSync(join(dataDir, "master.key"), "utf8")).toBe(readFileSync(keyFile, "utf8"));
  const store = adapter.at(dataDir, { now: () => NOW, mono: () => 0 });
  await store.open();
  expect(JSON.parse((await store.getSetting(PAUSED)) ?? "")).toEqual({ reason: "restored", since: NOW });
  expect((await store.getDelivery(id))?.delivery).toMatchObject({ status: "pending", isLeased: false });
  await store.close();
});

test("a directory with a database is refused, and with --force that is moved aside with its log", async () => {
  const { dataDir, restore } = await setup();
  mkdirSync(dataDir);
  const old = openDatabase(join(dataDir, "hookd.db"));
  old.prepare("insert into setting values ('mark', 'old')").run();
  // A kill leaves the log; what is in it is not in the file.
  const killed = join(dataDir, "killed");
  mkdirSync(killed);
  for (const name of ["hookd.db", "hookd.db-wal"]) copyFileSync(join(dataDir, name), join(killed, name));
  old.close();
  await expect(restore({ dataDir: killed })).rejects.toThrow(
    /hookd\.db is there: name another --data-dir, or .*--force/,
  );
  const { movedAside } = await restore({ dataDir: killed, isForced: true });
  const [database = ""] = movedAside;
  expect(database).toMatch(/hookd\.db\.replaced-\d{8}T\d{6}Z$/);
  changed(database, (db) => {
    expect(db.pluck("select value from setting where name = 'mark'").get()).toBe("old");
  });
  changed(join(killed, "hookd.db"), (db) => {
    expect(db.prepare("select value from setting where name = 'mark'").get()).toBeUndefined();
  });
});

test("the log of a database that is gone is not taken for the restored one's", async () => {
  const { dataDir, restore } = await setup();
  mkdirSync(dataDir);
  writeFileSync(join(dataDir, "hookd.db-wal"), "of something else");
  await expect(restore()).rejects.toThrow(/hookd\.db-wal is there/);
  const { movedAside } = await restore({ isForced: true });
  expect(movedAside).toEqual([expect.stringMatching(/hookd\.db\.replaced-.*-wal$/)]);
  expect(existsSync(join(dataDir, "hookd.db-wal"))).toBe(false);
});

test("a database in use is refused, forced or not, and stays as it was", async () => {
  const { dataDir, restore } = await setup();
  mkdirSync(dataDir);
  const running = openDatabase(join(dataDir, "hookd.db"));
  onTestFinished(() => void running.close());
  // Locks are between processes: the one that restores is another.
  const { file } = await setup();
  for (const force of [[], ["--force", "--yes"]]) {
    const refused = await hookd(["restore", file, "--data-dir", dataDir, ...force]);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("a hookd is running on") });
  }
  running.prepare("insert into setting values ('mark', 'still there')").run();
  expect(readdirSync(dataDir).filter((name) => !/^hookd\.db(-wal)?$/.test(name))).toEqual([]);
  await expect(restore({ dataDir: join(dataDir, "other") })).resolves.toBeDefined();
});

test("what is no backup is refused with what it is, and leaves nothing behind", async () => {
  const { root, file, dataDir, restore } = await setup();
  const bad = join(root, "bad.db");
  const other = join(root, "other.db");
  changed(other, (db) => db.exec("create table setting(a)"));
  const cases: readonly [string, () => void, RegExp][] = [
    ["missing", () => undefined, /is no file/],
    ["text", () => writeFileSync(bad, "hello"), /is no database/],
    ["cut off", () => truncateSync(bad, statSync(bad).size - PAGE_BYTES), /should have \d+: it was cut off/],
    ["another's", () => copyFileSync(other, bad), /is a database, but not hookd's/],
    [
      "newer",
      () => changed(bad, (db) => db.pragma(`user_version = ${MIGRATIONS.length + 1}`)),
      /newer hookd/,
    ],
    ["damaged", () => writeFileSync(bad, damaged(file)), /is damaged/],
    ["in use", () => writeFileSync(`${bad}-wal`, "x"), /has a log beside it/],
  ];
  for (const [name, make, why] of cases) {
    if (name !== "missing" && name !== "text") copyFileSync(file, bad);
    make();
    await expect(restore({ file: bad }), name).rejects.toThrow(why);
    if (existsSync(dataDir)) expect(readdirSync(dataDir), name).toEqual([]);
  }
});

/** A page in the middle of the payload points nowhere: only who reads all of it sees that. */
function damaged(file: string): Buffer {
  const bytes = readFileSync(file);
  const at = bytes.lastIndexOf(Buffer.alloc(PAGE_BYTES - 1_000, 1));
  const page = Math.floor(at / PAGE_BYTES) - 1;
  return bytes.fill(0xa5, page * PAGE_BYTES, page * PAGE_BYTES + 4);
}

test("a master key that the backup's secrets are not sealed with is refused, given or there", async () => {
  const { root, dataDir, keyFile, restore } = await setup();
  const wrong = join(root, "wrong.key");
  writeFileSync(wrong, `${Buffer.alloc(32, 8).toString("base64")}\n`, { mode: 0o600 });
  await expect(restore({ masterKeyFile: wrong })).rejects.toThrow(/wrong\.key is not the master key/);
  mkdirSync(dataDir, { recursive: true });
  copyFileSync(wrong, join(dataDir, "master.key"));
  await expect(restore()).rejects.toThrow(/master\.key is not the master key.*--master-key/);
  chmodSync(keyFile, 0o644);
  await expect(restore({ masterKeyFile: keyFile })).rejects.toThrow(/readable by others/);
  chmodSync(keyFile, 0o600);
  const { movedAside } = await restore({ masterKeyFile: keyFile });
  expect(movedAside).toEqual([expect.stringMatching(/master\.key\.replaced-/)]);
});

test("an admin key that the backup knows stays, and another one makes room for a new one", async () => {
  const known = await setup();
  mkdirSync(known.dataDir);
  const { file } = known;
  const text = `hk_${"a".repeat(32)}`;
  writeFileSync(join(known.dataDir, "admin.key"), `${text}\n`, { mode: 0o600 });
  await known.restore();
  expect(readdirSync(known.dataDir).sort()).toEqual([
    "admin.key.new",
    expect.stringMatching(/^admin\.key\.replaced-/),
    "hookd.db",
  ]);
  const { hashKey } = await import("../../src/domain/key-text.ts");
  changed(file, (db) => db.prepare("insert into api_key values (1, null, ?, '{}')").run(hashKey(text)));
  const again = join(known.root, "again");
  mkdirSync(again);
  writeFileSync(join(again, "admin.key"), `${text}\n`, { mode: 0o600 });
  await known.restore({ dataDir: again });
  expect(readdirSync(again).sort()).toEqual(["admin.key", "hookd.db"]);
});

test("the command says what comes next, and asks before it moves a database aside", async () => {
  const { root, file, dataDir, keyFile } = await setup();
  const done = await hookd(["restore", file, "--data-dir", dataDir]);
  expect(done.exitCode).toBe(0);
  expect(done.stdout).toMatch(/^Restored into .*data: 1 webhook, as of /);
  expect(done.stderr).toMatch(/The master key is missing/);
  expect(done.stderr).toMatch(/start paused.*\n?.*hookd resume/);
  expect(done.stderr).toMatch(/old\. Nothing is pruned.*--accept-clock/);
  const asked = await hookd(["restore", file, "--data-dir", dataDir, "--force"]);
  expect(asked).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/moved aside.*\n.*--yes/) });
  const json = await hookd([
    "restore",
    file,
    "--data-dir",
    join(root, "json"),
    "--master-key",
    keyFile,
    "--json",
  ]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    webhooks: 1,
    paused: true,
    has_master_key: true,
    moved_aside: [],
  });
});
