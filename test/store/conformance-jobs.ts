import { expect, test } from "vitest";
import type { DeliveryId, EventSeq, JobId, WebhookId } from "../../src/domain/ids.ts";
import type { JobSpec, Selection } from "../../src/domain/job.ts";
import type { Setup } from "./conformance.ts";
import { FAR, START, type World } from "./world.ts";

function replay(select: Selection, userId: string | null = null): JobSpec {
  return { kind: "replay", userId, select, ratePerSecond: null };
}

async function statusesOf(world: World, ids: readonly DeliveryId[]): Promise<string[]> {
  return await Promise.all(
    ids.map(async (id) => (await world.store.getDelivery(id))?.delivery.status ?? "gone"),
  );
}

export function jobTests(setup: Setup): void {
  test("a replay revives what its filter means, in slices, and counts them", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const other = await world.webhook({ userId: "globex" });
    const dead: DeliveryId[] = [];
    for (let index = 0; index < 7; index += 1) {
      dead.push(await world.delivery(hook, "dead", { reason: index < 4 ? "exhausted" : "permanent" }));
      await world.delivery(hook, "success");
      world.clock.at += 1_000;
    }
    const foreign = await world.delivery(other, "dead");
    const cases: [Selection, string | null, DeliveryId[]][] = [
      [{ reason: "permanent" }, null, dead.slice(4)],
      [{ webhookId: hook.id, since: START + 1_000, until: START + 2_000 }, null, [dead[1]!]],
      [{ ids: [dead[0]!, foreign, 5 as DeliveryId, dead[0]!] }, "acme", [dead[0]!]],
      [{ eventId: "user.created" }, "globex", [foreign]],
      [{ eventId: "nothing.such" }, null, []],
    ];
    for (const [select, userId, expected] of cases) {
      const made = await world.startJob(replay(select, userId));
      expect(await world.store.countSelection(made, 100)).toBe(expected.length);
      expect(await world.store.countSelection(made, 1)).toBe(Math.min(1, expected.length));
      const job = await world.finish(made.id, 2);
      expect(job).toMatchObject({ status: "done", done: expected.length, completedAt: world.clock.at });
      expect(await statusesOf(world, expected)).toEqual(expected.map(() => "pending"));
      const revived = await world.idsOf({ statuses: ["pending"] });
      expect(revived.sort((x, y) => x - y)).toEqual([...expected].sort((x, y) => x - y));
      for (const id of expected) await world.store.kill(id, "exhausted", START);
    }
  });

  test("a slice tells how the lanes changed, and revived deliveries are leased", async () => {
    const world = await setup();
    const a = await world.webhook();
    const b = await world.webhook({ eventId: "order.*" });
    const ids = [
      await world.delivery(a, "dead"),
      await world.delivery(a, "dead"),
      await world.delivery(b, "dead"),
    ];
    world.clock.at += 50;
    const { id } = await world.startJob(replay({}));
    const { changes } = await world.step(id, 10);
    const change = { retrying: 0, dueAt: world.clock.at, died: 0 };
    expect(changes).toEqual([
      { ...change, webhookId: a.id, pending: 2 },
      { ...change, webhookId: b.id, pending: 1 },
    ]);
    expect((await world.lease(a.id)).leased.map((one) => one.id)).toEqual(ids.slice(0, 2));
    expect((await world.lease(b.id)).leased.map((one) => one.id)).toEqual(ids.slice(2));
  });

  test("a replay with statuses takes delivered ones too", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const success = await world.delivery(hook, "success");
    const dead = await world.delivery(hook, "dead");
    const open = [await world.delivery(hook, "retrying"), await world.delivery(hook, "pending")];
    for (const select of [{}, { webhookId: hook.id }]) {
      const job = await world.startJob(replay({ ...select, statuses: ["success", "pending", "retrying"] }));
      expect(await world.finish(job.id)).toMatchObject({ done: select.webhookId ? 0 : 1 });
    }
    expect(await statusesOf(world, [success, dead, ...open])).toEqual([
      "pending",
      "dead",
      "retrying",
      "pending",
    ]);
  });

  test("a replay leaves delivered ones of a webhook that is off as they are", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "success");
    const off = { ...hook, isActive: false, version: hook.version + 1 };
    expect(await world.store.updateWebhook(off)).toBe(true);
    const job = await world.startJob(replay({ webhookId: hook.id, statuses: ["success", "dead"] }));
    expect(await world.finish(job.id)).toMatchObject({ done: 0 });
    expect(await statusesOf(world, [id])).toEqual(["success"]);
  });

  test("named deliveries that cannot be taken do not end the job early", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 12; index += 1) {
      ids.push(
        await world.delivery(hook, index % 4 === 3 ? "dead" : index % 4 === 2 ? "pending" : "success"),
      );
    }
    const job = await world.startJob(
      replay({ ids: [...ids, 3 as DeliveryId, (FAR - 1) as DeliveryId].reverse() }),
    );
    expect(await world.finish(job.id, 2)).toMatchObject({ done: 3 });
    expect(await world.list({ statuses: ["dead"] })).toEqual([]);
  });

  test("a purge deletes dead deliveries for good, and only those", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const dead: DeliveryId[] = [];
    for (let index = 0; index < 5; index += 1) dead.push(await world.delivery(hook, "dead"));
    const success = await world.delivery(hook, "success");
    const spec: JobSpec = { kind: "purge", userId: null, select: { statuses: ["success", "dead"] } };
    const job = await world.startJob(spec);
    expect(await world.finish(job.id, 2)).toMatchObject({ done: 5 });
    for (const reopen of [false, true]) {
      if (reopen) await world.crash();
      expect(await world.idsOf()).toEqual([success]);
      expect(await world.store.getEvent(dead[0] as never, 10)).toBe(null);
      expect(await world.store.deadGroups({}, ["reason"])).toEqual([]);
    }
  });

  test("a job covers what was there when it was made, and nothing that came or ended later", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const before = await world.delivery(hook, "dead");
    const retrying = await world.delivery(hook, "retrying");
    const job = await world.startJob(replay({ webhookId: hook.id }));
    world.clock.at += 1_000;
    const after = await world.delivery(hook, "dead");
    await world.settle(await world.leaseOne(hook.id, "retrying"), { status: "dead", attemptCount: 2 });
    await world.settleDown();
    expect(await world.finish(job.id, 1)).toMatchObject({ done: 1 });
    expect(await statusesOf(world, [before, retrying, after])).toEqual(["pending", "dead", "dead"]);
  });

  test("a job goes on after a crash where it stopped, and does nothing twice", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids: DeliveryId[] = [];
    for (let index = 0; index < 9; index += 1) ids.push(await world.delivery(hook, "dead"));
    const { id } = await world.startJob(replay({ webhookId: hook.id }));
    for (let steps = 0; steps < 20; steps += 1) {
      const { job, changes } = await world.step(id, 2);
      const recovery = await world.crash();
      expect(recovery.runningJobs).toEqual(job.status === "running" ? [job] : []);
      // What was revived dies again: the job must not take it a second time.
      for (let n = changes[0]?.pending ?? 0; n > 0; n -= 1) {
        await world.settle(await world.leaseOne(hook.id), { status: "dead", attemptCount: 2 });
      }
      if (job.status === "done") break;
    }
    expect(await world.store.getJob(id)).toMatchObject({ status: "done", done: 9 });
    expect(await statusesOf(world, ids)).toEqual(ids.map(() => "dead"));
    expect((await world.get(ids[0]!)).attemptCount).toBe(2);
  });

  test("an end job ends what is open of a webhook that is off, leased ones aside", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const other = await world.webhook({ eventId: "other" });
    for (let index = 0; index < 5; index += 1) await world.delivery(hook, "pending");
    for (let index = 0; index < 3; index += 1) await world.delivery(hook, "retrying", { dueAt: START - 1 });
    const untouched = await world.delivery(other, "pending");
    const { leased } = await world.lease(hook.id, { limit: 3 });
    await world.store.updateWebhook({ ...hook, isActive: false, disabledReason: "user", version: 2 });
    const made = await world.startJob({ kind: "end", userId: null, webhookId: hook.id });
    expect(await world.store.countSelection(made, 100)).toBe(8);
    expect(await world.finish(made.id, 2)).toMatchObject({ status: "done", done: 5 });
    expect(await world.list({ webhookId: hook.id, statuses: ["dead"], reason: "disabled" })).toHaveLength(5);
    expect(await statusesOf(world, [...leased.map(({ id }) => id), untouched])).toEqual([
      "pending",
      "pending",
      "pending",
      "pending",
    ]);
    const again = await world.startJob({ kind: "end", userId: null, webhookId: hook.id });
    await world.store.release(leased);
    expect(await world.finish(again.id, 2)).toMatchObject({ done: 3 });
    expect((await world.crash()).lanes.map(({ webhookId }) => webhookId)).toEqual([other.id]);
  });

  test("an end job ends what comes back from its attempt while it runs", async () => {
    const world = await setup();
    const hook = await world.webhook();
    await world.delivery(hook, "pending");
    const leased = await world.leaseOne(hook.id);
    await world.store.updateWebhook({ ...hook, isActive: false, version: 2 });
    const job = await world.startJob({ kind: "end", userId: null, webhookId: hook.id });
    await world.settle(leased, { status: "retrying" });
    expect(await world.finish(job.id)).toMatchObject({ status: "done", done: 1 });
    expect(await statusesOf(world, [leased.id])).toEqual(["dead"]);
  });

  test("an end job ends nothing of a webhook that is on again", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const id = await world.delivery(hook, "pending");
    const job = await world.startJob({ kind: "end", userId: null, webhookId: hook.id });
    expect(await world.finish(job.id)).toMatchObject({ status: "done", done: 0 });
    expect(await statusesOf(world, [id])).toEqual(["pending"]);
  });

  test("a broadcast is expanded user by user, and a crash in the middle repeats nothing", async () => {
    const world = await setup();
    const hooks = new Map<WebhookId, string>();
    for (let index = 0; index < 11; index += 1) {
      const userId = `user-${String(index).padStart(2, "0")}`;
      const hook = await world.webhook({ userId, eventId: index % 3 === 0 ? "order.*" : "order.paid" });
      hooks.set(hook.id, userId);
      if (index % 4 === 0) await world.webhook({ userId, eventId: "*" });
    }
    const off = [...hooks.keys()][4]!;
    const seq = (world.nextId() + 1) as EventSeq;
    const made = world.job({ kind: "expand", userId: null, event: seq, eventId: "order.paid" });
    const event = world.event({ userId: "*", eventId: "order.paid", expansion: made, uid: "b-1" });
    expect(event.seq).toBeLessThanOrEqual(seq + 1);
    const expansion = { ...made, spec: { ...made.spec, event: event.seq } as JobSpec };
    await world.append({ ...event, expansion });
    expect((await world.crash()).runningJobs).toEqual([expansion]);
    let done = 0;
    for (let steps = 0; steps < 20; steps += 1) {
      const { job, changes } = await world.store.stepJob(made.id, 3, {
        now: world.clock.at,
        nextSeq: () => world.nextId(),
        refusal: (id) => (id === off ? "disabled" : null),
      });
      expect(changes).toHaveLength(job.done - done);
      done = job.done;
      await world.crash();
      if (job.status === "done") break;
    }
    expect(await world.store.getJob(made.id)).toMatchObject({ status: "done", done: 11, total: 11 });
    const stored = await world.store.getEvent(event.seq, 100);
    expect(stored!.deliveries.map(({ webhookId, userId }) => [webhookId, userId])).toEqual([...hooks]);
    expect(stored!.deliveries.filter(({ status }) => status === "dead")).toMatchObject([
      { webhookId: off, reason: "disabled" },
    ]);
    for (const webhookId of hooks.keys()) {
      const { leased } = await world.lease(webhookId, { dueBy: FAR });
      expect(leased.map((one) => Buffer.from(one.payload))).toEqual(webhookId === off ? [] : [event.payload]);
    }
    const twin = world.event({ userId: "*", eventId: "order.paid", uid: "b-1", payload: event.payload });
    expect(await world.append(twin)).toMatchObject({ kind: "duplicate", seq: event.seq, deliveryCount: 11 });
  });

  test("a broadcast that meets nobody leaves nothing behind", async () => {
    const world = await setup();
    const event = world.event({ userId: "*" });
    const spec = { kind: "expand", userId: null, event: event.seq, eventId: event.eventId } as const;
    const expansion = world.job(spec);
    await world.append({ ...event, expansion });
    expect(await world.store.getEvent(event.seq, 10)).toMatchObject({ deliveryCount: 0 });
    expect(await world.finish(expansion.id)).toMatchObject({ status: "done", done: 0, total: 0 });
    expect(await world.store.getEvent(event.seq, 10)).toBe(null);
  });

  test("a broadcast goes on when all that was made so far has been deleted", async () => {
    const world = await setup();
    for (const userId of ["a", "b", "c"]) await world.webhook({ userId });
    const event = world.event({ userId: "*" });
    const expansion = world.job({ kind: "expand", userId: null, event: event.seq, eventId: event.eventId });
    await world.append({ ...event, expansion });
    const [first] = (await world.step(expansion.id, 1)).changes;
    await world.settle(await world.leaseOne(first!.webhookId));
    await world.settleDown();
    expect(await world.pruneAll(world.clock.at, 0)).toBe(1);
    expect(await world.finish(expansion.id, 1)).toMatchObject({ done: 3 });
    expect(await world.list()).toHaveLength(2);
  });

  test("a cancelled job does nothing more, and is cancelled once", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const ids = [await world.delivery(hook, "dead"), await world.delivery(hook, "dead")];
    const made = await world.startJob(replay({}));
    await world.step(made.id, 1);
    world.clock.at += 5;
    expect(await world.store.cancelJob(made.id, world.clock.at)).toBe(true);
    expect(await world.store.cancelJob(made.id, world.clock.at)).toBe(false);
    expect(await world.store.cancelJob(5 as JobId, world.clock.at)).toBe(false);
    const { job, changes } = await world.step(made.id, 10);
    expect(job).toEqual({ ...made, status: "cancelled", done: 1, completedAt: START + 5 });
    expect(changes).toEqual([]);
    expect((await world.crash()).runningJobs).toEqual([]);
    expect(await statusesOf(world, ids)).toEqual(["pending", "dead"]);
  });

  test("jobs are listed newest first, each user's own", async () => {
    const world = await setup();
    const jobs = [];
    for (const userId of ["acme", null, "acme", "globex"])
      jobs.push(await world.startJob(replay({}, userId)));
    const all = await world.store.listJobs(null, { limit: 3, before: null });
    expect(all.items).toEqual([jobs[3], jobs[2], jobs[1]]);
    expect((await world.store.listJobs(null, { limit: 3, before: all.next })).items).toEqual([jobs[0]]);
    expect(await world.store.listJobs("acme", { limit: 5, before: null })).toEqual({
      items: [jobs[2], jobs[0]],
      next: null,
    });
  });
}
