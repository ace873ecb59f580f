import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { StoreFailure } from "../../src/store/sqlite/database.ts";
import { LogSync } from "../../src/store/sqlite/log-sync.ts";

/** Syncs of the log end when the test says so. */
function setup() {
  const directory = mkdtempSync(join(tmpdir(), "hookd-log-sync-"));
  const path = join(directory, "log");
  writeFileSync(path, "x");
  const begun: ((error: Error | null) => void)[] = [];
  const log = new LogSync(path, (_fd, done) => void begun.push(done));
  onTestFinished(() => {
    log.close();
    rmSync(directory, { recursive: true });
  });
  const end = (error: Error | null = null) => begun.at(-1)?.(error);
  return { log, begun, end };
}

/** What has been told by now. */
async function toldOf(promises: readonly Promise<void>[]): Promise<string[]> {
  const told = promises.map(() => "waits");
  promises.forEach((promise, index) => {
    promise.then(
      () => (told[index] = "durable"),
      () => (told[index] = "failed"),
    );
  });
  await new Promise((resolve) => setImmediate(resolve));
  return told;
}

test("what commits while a sync runs is not covered by it, and shares the next one", async () => {
  const { log, begun, end } = setup();
  const first = log.durable();
  const second = log.durable();
  const third = log.durable();
  expect(begun).toHaveLength(1);
  end();
  expect(await toldOf([first, second, third])).toEqual(["durable", "waits", "waits"]);
  expect(begun).toHaveLength(2);
  end();
  expect(await toldOf([second, third])).toEqual(["durable", "durable"]);
  expect(begun).toHaveLength(2);
});

test("after one failed sync nothing is ever durable again: the page cache is not what was written", async () => {
  const { log, begun, end } = setup();
  const first = log.durable();
  const second = log.durable();
  end(new Error("EIO"));
  expect(await toldOf([first, second])).toEqual(["failed", "failed"]);
  await expect(log.durable()).rejects.toThrow(StoreFailure);
  expect(begun).toHaveLength(1);
});

test("a file that cannot be synced is a failure of the store", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hookd-log-sync-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "pipe");
  execFileSync("mkfifo", [path]);
  const log = new LogSync(path);
  await expect(log.durable()).rejects.toThrow(/cannot be synced to disk: EINVAL/);
  log.close();
});

test("a reader waits for what was committed before it, and for nothing else", async () => {
  const { log, begun, end } = setup();
  expect(await toldOf([log.caughtUp()])).toEqual(["durable"]);
  expect(begun).toHaveLength(0);
  const write = log.durable();
  const read = log.caughtUp();
  expect(await toldOf([write, read])).toEqual(["waits", "waits"]);
  end();
  expect(await toldOf([write, read])).toEqual(["durable", "durable"]);
  expect(begun).toHaveLength(1);
});
