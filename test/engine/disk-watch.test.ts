import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DiskWatch } from "../../src/engine/disk-watch.ts";
import type { BackupOptions } from "../../src/store/port.ts";
import { setup } from "../support/engine-world.ts";

const LIMIT = 512 * 1024 * 1024;

test("below limits.disk_free no event is taken, what was accepted is still delivered, and it resumes by itself", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { afterMs: 2_000 });
  const before = await world.publishOne(webhook);
  world.freeBytes = LIMIT - 1;
  await world.advance(500);
  expect(world.director.refusal).toBe("disk_full");
  const [refused] = await world.call(world.director.publishMany([world.requestFor(webhook)]));
  expect(refused).toMatchObject({ code: "disk_full", status: 503, retryAfterSeconds: 30 });
  await world.advance(2_000);
  expect(await world.fate(before)).toBe("success");

  world.freeBytes = LIMIT * 1.05;
  await world.advance(500);
  expect(world.director.refusal).toBe("disk_full");
  world.freeBytes = LIMIT * 1.2;
  await world.advance(500);
  expect(world.director.refusal).toBeNull();
  const after = await world.publishOne(webhook);
  await world.advance(2_500);
  expect(await world.fate(after)).toBe("success");
  expect(world.warnings).toHaveLength(2);
});

test("a start with too little space takes no events, and says so", async () => {
  const world = await setup({ config: { "limits.disk_free": "1GiB" } });
  world.freeBytes = 2 ** 30 - 1;
  world.crash();
  await world.start();
  expect(world.director.refusal).toBe("disk_full");
  const { gauges } = await world.director.stats();
  expect(gauges.hookd_disk_free_bytes).toBe(2 ** 30 - 1);
});

test("a backup that is being made is given up as soon as the disk is nearly full", async () => {
  const dir = await mkdtemp(join(tmpdir(), "hookd-backups-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const world = await setup({ config: { "backup.dir": dir } });
  const copying = Promise.withResolvers<void>();
  const faults: unknown[] = [];
  world.tap.delay = (method) => (method === "backup" ? copying.promise : null);
  world.tap.fault = (method, args) => {
    if (method !== "backup") return null;
    const { signal } = args[1] as BackupOptions;
    faults.push(signal.reason);
    return signal.reason;
  };
  await world.director.createBackup("one");
  world.freeBytes = LIMIT - 1;
  await world.advance(500);
  copying.resolve();
  await expect.poll(() => faults).toHaveLength(1);
  expect(faults).toMatchObject([{ code: "disk_full" }]);
  await expect.poll(() => world.director.getBackup("one")).toMatchObject({ state: "failed" });
});

test("the disk is looked at while a sweep takes long", async () => {
  const world = await setup({
    config: { "retry.jitter": 0, "retry.schedule": ["5s"], "delivery.age_max": "1m" },
  });
  const webhook = await world.webhook({}, { status: 500 });
  await world.publish(webhook, 1);
  await world.advance(1_000);
  await world.call(world.director.updateWebhook(webhook.id, { isPaused: true }));
  let isHeld = false;
  world.tap.delay = (method) => {
    if (method !== "expire") return null;
    isHeld = true;
    return new Promise(() => undefined);
  };
  for (let seconds = 0; seconds < 120 && !isHeld; seconds += 1) await world.advance(1_000);
  expect(isHeld).toBe(true);
  world.freeBytes = LIMIT - 1;
  await world.advance(500);
  expect(world.director.refusal).toBe("disk_full");
});

test("what deleting left in the file counts as free, while the log has room on the disk", () => {
  const changes: boolean[] = [];
  const MIB = 1_048_576;
  let free = 200 * MIB;
  let reusable = 0;
  const watch = new DiskWatch({
    freeBytes: () => free,
    reusableBytes: () => reusable,
    limitBytes: () => 512 * MIB,
    onChange: (isLow) => void changes.push(isLow),
  });
  expect(watch.isLow).toBe(true);
  reusable = 400 * MIB;
  watch.look();
  expect(watch).toMatchObject({ isLow: false, freeBytes: 200 * MIB, writableBytes: 600 * MIB });
  free = 127 * MIB;
  watch.look();
  expect(watch).toMatchObject({ isLow: true, writableBytes: 127 * MIB });
  // No flapping about that mark either.
  free = 130 * MIB;
  watch.look();
  expect(watch.isLow).toBe(true);
  expect(changes).toEqual([true, false, true]);
});
