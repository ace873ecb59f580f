import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, onTestFinished, test } from "vitest";
import { keyIdOf } from "../../src/domain/seal.ts";
import { MASTER_KEY_ID } from "../../src/domain/setting.ts";
import { fakeApi, type Reply, type Seen } from "../cli/support.ts";
import { sqliteAdapter } from "../store/sqlite-adapter.ts";
import { World } from "../store/world.ts";
import { HOOKD } from "../support/daemon.ts";
import { temporaryDirectory, until } from "../support/world.ts";

const KEY = Buffer.alloc(32, 7);

/** A daemon that has made a backup, which lies in a directory of this machine. */
async function setup(
  change: (backup: Record<string, unknown>) => Record<string, unknown> = (backup) => backup,
) {
  const root = temporaryDirectory();
  const path = join(root, "daemon.db");
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const world = await World.open(adapter);
  await world.store.putSetting(MASTER_KEY_ID, keyIdOf(KEY));
  await world.store.backup(path, { signal: new AbortController().signal, onProgress: () => undefined });
  const api = await fakeApi((seen) => reply(seen));
  onTestFinished(() => api[Symbol.asyncDispose]());
  function reply({ method }: Seen): Reply {
    if (method === "DELETE") return { status: 204, text: "" };
    const { size, mtimeMs } = statSync(path, { throwIfNoEntry: false }) ?? { size: 1, mtimeMs: 1 };
    const at = new Date(Math.floor(mtimeMs)).toISOString();
    const done = {
      name: "b1",
      path,
      state: "done",
      bytes: size,
      progress: 1,
      created_at: at,
      completed_at: at,
    };
    const running = { ...done, state: "running", bytes: 0, progress: 0, completed_at: null, error: null };
    return method === "POST" ? { status: 202, body: running } : { body: change({ ...done, error: null }) };
  }
  const asked = () => api.requests.map(({ method, path: url }) => `${method} ${url}`);
  return { api, asked, root, path };
}

function dataDirWith(key: Uint8Array, root: string): string {
  const dataDir = join(root, "data");
  mkdirSync(dataDir);
  writeFileSync(join(dataDir, "master.key"), `${Buffer.from(key).toString("base64")}\n`, { mode: 0o600 });
  return dataDir;
}

test("a backup is moved to the file that was named, and deleted where the daemon left it", async () => {
  const { api, asked, root } = await setup();
  const target = join(root, "mine.db");
  expect(await api.hookd("backup", target)).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining("The master key is not in it"),
  });
  expect(asked()).toEqual(["POST /v1/backups", "GET /v1/backups/b1", "DELETE /v1/backups/b1"]);
  expect(statSync(target).size).toBeGreaterThan(0);
});

test("a file that is there, or in no directory, is told before anything is made", async () => {
  const { api, asked, root, path } = await setup();
  expect(await api.hookd("backup", path)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("is there already"),
  });
  expect(await api.hookd("backup", join(root, "a", "b.db"))).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("there is no directory"),
  });
  expect(await api.hookd("backup", "--with-master-key", "--data-dir", root)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/there is no .*master\.key\n.*--data-dir/),
  });
  expect(asked()).toEqual([]);
});

test("a backup of a hookd elsewhere stays there, and the command says where", async () => {
  const { api, root, path } = await setup((backup) => ({ ...backup, path: "/elsewhere/b1.db" }));
  const left = await api.hookd("backup");
  expect(left).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("/elsewhere/b1.db, where hookd runs"),
  });
  const target = join(root, "mine.db");
  expect(await api.hookd("backup", target)).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/is made, but where hookd runs: \/elsewhere\/b1\.db/),
  });
  expect(existsSync(target)).toBe(false);
  // A file of that name which is another one is not taken for it.
  const other = await setup();
  utimesSync(other.path, 1, 1);
  copyFileSync(path, join(root, "other.db"));
  const moved = await setup((backup) => ({ ...backup, path: join(root, "other.db"), bytes: 17 }));
  expect(await moved.api.hookd("backup", target)).toMatchObject({ exitCode: 1 });
});

test("one that fails, and one that is damaged, end with exit code 1 and why", async () => {
  const failed = await setup((backup) => ({ ...backup, state: "failed", error: "no \u001b[31mroom" }));
  expect(await failed.api.hookd("backup")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("the backup failed: no \\x1b[31mroom"),
  });
  const damaged = await setup();
  const { size } = statSync(damaged.path);
  writeFileSync(damaged.path, Buffer.alloc(size, 3));
  expect(await damaged.api.hookd("backup")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/daemon\.db is damaged, or no database/),
  });
});

test("the master key travels only when asked, only if it is the backup's, for this user only", async () => {
  const { api, root } = await setup();
  const dataDir = dataDirWith(KEY, root);
  const given = await api.hookd("backup", join(root, "one.db"), "--data-dir", dataDir);
  expect(given.exitCode).toBe(0);
  expect(readdirSync(root).filter((name) => name.includes("master"))).toEqual([]);

  const second = await setup();
  const target = join(second.root, "two.db");
  const asked = await second.api.hookd(
    "backup",
    target,
    "--with-master-key",
    "--data-dir",
    dataDir,
    "--json",
  );
  expect(JSON.parse(asked.stdout)).toMatchObject({ path: target, master_key: `${target}.master.key` });
  expect(statSync(`${target}.master.key`).mode & 0o777).toBe(0o600);

  const third = await setup();
  const wrong = dataDirWith(Buffer.alloc(32, 8), third.root);
  const refused = await third.api.hookd(
    "backup",
    join(third.root, "3.db"),
    "--with-master-key",
    "--data-dir",
    wrong,
  );
  expect(refused).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("is not the key of this backup"),
  });
  expect(existsSync(join(third.root, "3.db.master.key"))).toBe(false);
});

test("Ctrl-C gives the backup up where it is made", async () => {
  const { api, asked } = await setup((backup) => ({ ...backup, state: "running", progress: 0.5 }));
  const env = { PATH: process.env.PATH ?? "", HOOKD_SERVER: api.url, HOOKD_API_KEY: "hk_x" };
  const child = execa(HOOKD, ["backup"], { env, extendEnv: false, reject: false });
  await until("it looks how far it is", () => asked().includes("GET /v1/backups/b1"));
  child.kill("SIGINT");
  expect(await child).toMatchObject({
    exitCode: 130,
    stderr: expect.stringContaining("nothing of it is left"),
  });
  expect(asked().at(-1)).toBe("DELETE /v1/backups/b1");
});

test("with --curl nothing is made", async () => {
  const { api, asked } = await setup();
  const shown = await api.hookd("backup", "--name", "x", "--curl");
  expect(shown.stdout).toMatch(/curl .*\/v1\/backups.*"name":"x"/s);
  expect((await api.hookd("resume", "--curl")).stdout).toMatch(/-X POST|--request POST/);
  expect(asked()).toEqual([]);
});
