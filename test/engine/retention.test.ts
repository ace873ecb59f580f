import { expect, test } from "vitest";
import type { Archive } from "../../src/archive/port.ts";
import type { EndedDelivery } from "../../src/domain/delivery.ts";
import { Problem } from "../../src/domain/problem.ts";
import { setup } from "../support/engine-world.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const SHORT = { "retention.success": "10m", "retention.dead": "20m" };

/** An archive that keeps what it is given, unless it is full. */
class FakeArchive implements Archive {
  readonly kept: EndedDelivery[] = [];
  isFull = false;
  isStopped = false;
  tries = 0;

  async append(ended: readonly EndedDelivery[]): Promise<void> {
    this.tries += 1;
    if (this.isFull) throw new Error("ENOSPC: no space left on device");
    this.kept.push(...ended);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
  }
}

test("successes and the dead are deleted when their time is over, within a step of the bound", async () => {
  const world = await setup({ config: SHORT });
  const good = await world.webhook();
  const bad = await world.webhook({}, { status: 404 });
  const [success, dead] = [await world.publishOne(good), await world.publishOne(bad)];
  const isThere = async (id: typeof success) => (await world.call(world.director.getDelivery(id))) !== null;
  await world.advance(10 * MINUTE - SECOND);
  expect([await isThere(success), await isThere(dead)]).toEqual([true, true]);
  await world.advance(25 * SECOND);
  expect([await isThere(success), await isThere(dead)]).toEqual([false, true]);
  await world.advance(10 * MINUTE + 40 * SECOND);
  expect(await isThere(dead)).toBe(false);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(2);
  expect(await world.counter("hookd_deliveries_archived_total")).toBe(0);
});

test("with an archive everything is kept there before it is deleted", async () => {
  const archive = new FakeArchive();
  const world = await setup({ config: SHORT, archive });
  const good = await world.webhook();
  const bad = await world.webhook({}, { status: 404 });
  const ids = [...(await world.publish(good, 700)), await world.publishOne(bad)];
  await world.advance(22 * MINUTE);
  expect(archive.kept.map(({ id }) => id).sort((a, b) => a - b)).toEqual(ids.sort((a, b) => a - b));
  expect(await world.counter("hookd_deliveries_archived_total")).toBe(701);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(701);
});

test("while the archive is full nothing is deleted, one alarm is raised, and everything else goes on", async () => {
  const archive = new FakeArchive();
  const world = await setup({ config: SHORT, archive });
  const webhook = await world.webhook();
  const old = await world.publish(webhook, 3);
  archive.isFull = true;
  await world.advance(15 * MINUTE);
  expect(archive.tries).toBeGreaterThan(10);
  expect(await world.tally(old)).toEqual({ success: 3 });
  expect(await world.gauge("hookd_archive_failing")).toBe(1);
  expect(world.warnings).toEqual(["the archive cannot be written: nothing old is deleted until it can"]);
  const fresh = await world.publishOne(webhook);
  await world.advance(SECOND);
  expect(await world.fate(fresh)).toBe("success");
  archive.isFull = false;
  await world.advance(MINUTE);
  expect(await world.gauge("hookd_archive_failing")).toBe(0);
  expect(world.warnings).toHaveLength(2);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(3);
  expect(archive.kept.map(({ id }) => id)).toEqual(old);
});

test("a stop waits for what is being kept, and stops the archive", async () => {
  const archive = new FakeArchive();
  const world = await setup({ config: SHORT, archive });
  await world.publish(await world.webhook(), 3);
  await world.advance(SECOND);
  await world.stop();
  expect(archive.isStopped).toBe(true);
  expect(archive.kept).toEqual([]);
});

test("a store that takes nothing for a while is pruned when it does again", async () => {
  const world = await setup({ config: SHORT });
  await world.publish(await world.webhook(), 3);
  world.tap.fault = (method) => (method === "prune" ? new Problem("disk_full", "full") : null);
  await world.advance(15 * MINUTE);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(0);
  world.tap.fault = () => null;
  await world.advance(MINUTE);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(3);
});

test("many old deliveries go in several slices", async () => {
  const world = await setup({ config: SHORT });
  await world.publish(await world.webhook(), 2_000);
  const slices = new Map<number, number>();
  world.tap.fault = (method) => {
    const at = world.time.mono();
    if (method === "prune") slices.set(at, (slices.get(at) ?? 0) + 1);
    return null;
  };
  await world.advance(11 * MINUTE);
  expect(await world.counter("hookd_deliveries_pruned_total")).toBe(2_000);
  expect(Math.max(...slices.values())).toBeGreaterThan(3);
});

test("the store is asked once a step of the bounds, not once a look", async () => {
  const world = await setup({ config: SHORT });
  await world.advance(10 * MINUTE);
  const asked = world.tap.calls.filter((call) => call === "prune").length;
  expect(asked).toBeGreaterThanOrEqual(32);
  expect(asked).toBeLessThan(100);
});
