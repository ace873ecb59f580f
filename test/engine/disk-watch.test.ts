import { expect, test } from "vitest";
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
  expect(refused).toMatchObject({ code: "disk_full", status: 503, retryAfterSeconds: 10 });
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
