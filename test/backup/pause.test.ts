import { expect, test } from "vitest";
import { setup as setupApi } from "../api/world.ts";
import { hookd } from "../cli/support.ts";
import { startDaemon } from "../support/daemon.ts";
import { setup } from "../support/engine-world.ts";
import { startReceiver } from "../support/receiver.ts";

test("a paused hookd takes events and sends nothing, over a restart, until it is resumed", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  await world.call(world.director.pause());
  const ids = await world.publish(webhook, 5);
  await world.advance(60_000);
  await world.restart();
  expect(world.warnings).toContain("hookd is paused: it takes events and sends nothing");
  ids.push(...(await world.publish(webhook, 5)));
  await world.advance(60_000);
  expect(world.receivers.attempts).toHaveLength(0);
  expect(await world.gauge("hookd_paused")).toBe(1);
  expect(await world.tally(ids)).toEqual({ pending: 10 });

  const before = world.time.mono();
  await world.call(world.director.resume());
  await world.time.settle();
  // At once, and not when the next timer is due.
  expect(world.receivers.attempts.length).toBeGreaterThan(0);
  expect(world.time.mono()).toBe(before);
  await world.advance(10_000);
  expect(await world.tally(ids)).toEqual({ success: 10 });
  expect(await world.gauge("hookd_paused")).toBe(0);
  await world.restart();
  expect(await world.call(world.director.getPause())).toBeNull();
  expect(await world.fate(await world.publishOne(webhook))).toBe("pending");
  await world.advance(1_000);
  expect(world.receivers.attempts).toHaveLength(11);
});

test("what is in flight when hookd is paused ends, and its retry waits", async () => {
  const world = await setup();
  const webhook = await world.webhook({}, { status: 500, afterMs: 100 });
  const id = await world.publishOne(webhook);
  await world.call(world.director.pause());
  await world.advance(60_000);
  expect(world.receivers.attempts).toHaveLength(1);
  expect(await world.delivery(id)).toMatchObject({ status: "retrying", attemptCount: 1 });
  await world.call(world.director.resume());
  await world.advance(1_000);
  expect(world.receivers.attempts.length).toBeGreaterThan(1);
});

test("no sample goes out of a paused hookd, of a restored one say, until it is resumed", async () => {
  const world = await setup();
  const { id } = await world.webhook();
  await world.call(world.director.pause());
  await expect(world.call(world.director.testWebhook(id))).rejects.toMatchObject({
    code: "paused",
    status: 409,
    message: expect.stringMatching(/paused since \S+Z \(an operator paused it\).*POST \/v1\/resume/),
    details: { reason: "operator", since: expect.stringMatching(/Z$/) },
  });
  expect(world.receivers.attempts).toHaveLength(0);
  await world.call(world.director.resume());
  expect(await world.call(world.director.testWebhook(id))).toMatchObject({ verdict: "success" });
});

test("the command line says how a test can be sent after all", async () => {
  const [daemon, receiver] = [await startDaemon(), await startReceiver()];
  const env = { HOOKD_SERVER: daemon.server, HOOKD_API_KEY: daemon.key };
  const body = { event_id: "user.created", callback_url: receiver.url };
  const { json } = await daemon.call("POST", "/v1/webhooks", body);
  await daemon.call("POST", "/v1/pause");
  const { exitCode, stderr } = await hookd(["webhooks", "test", json.id], { env });
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/hookd as a whole is paused since .*\(409 paused\)\n.*hookd resume\n/);
  expect(receiver.received).toHaveLength(0);
});

test("pausing twice keeps the first time, and resuming what goes changes nothing", async () => {
  const world = await setup();
  const first = await world.call(world.director.pause());
  await world.advance(5_000);
  expect(await world.call(world.director.pause())).toEqual(first);
  await world.call(world.director.resume());
  await world.call(world.director.resume());
  expect(await world.call(world.director.getPause())).toBeNull();
});

test("the API pauses and resumes for admin keys, and readyz says which it is", async () => {
  const { call, admin, keyFor } = await setupApi();
  const user = await keyFor("acme");
  expect((await call("POST", "/v1/pause", { key: user })).status).toBe(403);
  expect((await call("POST", "/v1/resume", { key: user })).status).toBe(403);
  expect((await call("GET", "/readyz")).json).toEqual({ status: "ready", paused: null });
  const { json: pause } = await call("POST", "/v1/pause", { key: admin });
  expect(pause).toEqual({ reason: "operator", since: "2026-11-22T08:30:00.000Z" });
  expect((await call("GET", "/readyz")).json).toEqual({ status: "ready", paused: pause });
  expect((await call("POST", "/v1/resume", { key: admin })).json).toEqual({ was_paused: pause });
  expect((await call("POST", "/v1/resume", { key: admin })).json).toEqual({ was_paused: null });
});
