import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { expect, test } from "vitest";
import { HOOKD, startDaemon } from "../support/daemon.ts";
import { temporaryDirectory } from "../support/world.ts";

function serve(dataDir: string, env: Record<string, string> = {}) {
  return execa(HOOKD, ["serve", "--dev", "--data-dir", dataDir, "--listen", "127.0.0.1:0"], {
    reject: false,
    env,
    timeout: 15_000,
  });
}

test("a second daemon on the same data directory is refused, and the first one goes on", async () => {
  const first = await startDaemon();
  const second = await serve(first.dataDir);
  expect(second.exitCode).toBe(1);
  expect(second.stderr).toContain("another hookd is running");
  expect((await first.call("GET", "/readyz")).status).toBe(200);
});

test("a wrong master key is refused at start, before anything is sent with it", async () => {
  const daemon = await startDaemon();
  await daemon.stop();
  writeFileSync(join(daemon.dataDir, "master.key"), `${Buffer.alloc(32, 7).toString("base64")}\n`);
  const again = await serve(daemon.dataDir);
  expect(again.exitCode).toBe(1);
  expect(again.stderr).toContain("the master key is not the one");
});

test("a master key that others may read is refused with the remedy", async () => {
  const daemon = await startDaemon();
  await daemon.stop();
  chmodSync(join(daemon.dataDir, "master.key"), 0o644);
  const again = await serve(daemon.dataDir);
  expect(again.exitCode).toBe(1);
  expect(again.stderr).toContain("chmod 600");
});

test("a database that cannot be read is refused and left as it is", async () => {
  const dataDir = temporaryDirectory();
  writeFileSync(join(dataDir, "hookd.db"), "this is no database, it is a diary. ".repeat(100));
  writeFileSync(join(dataDir, "master.key"), `${Buffer.alloc(32, 7).toString("base64")}\n`, { mode: 0o600 });
  const before = readFileSync(join(dataDir, "hookd.db"));
  const { exitCode, stderr } = await serve(dataDir);
  expect(exitCode).toBe(1);
  expect(stderr).toContain("not a database that can be read");
  expect(readFileSync(join(dataDir, "hookd.db")).equals(before)).toBe(true);
});

test("a config with an unknown key, or a bad duration, is refused with the key and a suggestion", async () => {
  const dataDir = temporaryDirectory();
  const file = join(dataDir, "hookd.yaml");
  writeFileSync(file, "delivery:\n  timeuot: 15s\n");
  const unknown = await execa(HOOKD, ["serve", "--config", file, "--data-dir", dataDir], { reject: false });
  expect(unknown.exitCode).not.toBe(0);
  expect(unknown.stderr).toMatch(/timeuot[\s\S]*timeout/);
  writeFileSync(file, "delivery:\n  timeout: soon\n");
  const bad = await execa(HOOKD, ["serve", "--config", file, "--data-dir", dataDir], { reject: false });
  expect(bad.exitCode).not.toBe(0);
  expect(bad.stderr).toMatch(/delivery\.timeout[\s\S]*soon/);
  expect(existsSync(join(dataDir, "hookd.db"))).toBe(false);
});

test("all that hookd writes is readable by its user only, and the admin key is never logged", async () => {
  const daemon = await startDaemon();
  const files = readdirSync(daemon.dataDir);
  expect(files).toEqual(expect.arrayContaining(["admin.key", "hookd.db", "master.key"]));
  for (const name of files) expect(statSync(join(daemon.dataDir, name)).mode & 0o077, name).toBe(0);
  expect(daemon.log()).not.toContain(daemon.key);
});

test("SIGTERM ends it with code 0", async () => {
  const daemon = await startDaemon();
  expect(await daemon.stop()).toBe(0);
});

test("a data directory that cannot be made is refused with the remedy", async () => {
  const { exitCode, stderr } = await serve("/proc/hookd/data");
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/\/proc\/hookd[\s\S]*--data-dir/);
});
