import { expect, test } from "vitest";
import { createApiCounters } from "../../src/api/counters.ts";
import { createRegistry } from "../../src/api/registry.ts";
import type { WebhookId } from "../../src/domain/ids.ts";
import type { RouteKey } from "../../src/domain/query.ts";

function setup(options: { entriesMax?: number } = {}) {
  const time = { mono: 0 };
  const routes = new Map<string, WebhookId[]>();
  const calls: (readonly RouteKey[])[] = [];
  const gate: { wait: Promise<void> | null } = { wait: null };
  const engine = {
    async routes(keys: readonly RouteKey[]) {
      calls.push(keys);
      const found = keys.map(({ userId, eventId }) => routes.get(`${userId} ${eventId}`) ?? []);
      await gate.wait;
      return found;
    },
  };
  const clock = { now: () => 0, mono: () => time.mono };
  const counters = createApiCounters();
  const limits = { ttlMs: 300_000, entriesMax: options.entriesMax ?? 100 };
  const registry = createRegistry(engine, limits, clock, counters);
  return { time, routes, calls, gate, registry };
}

const one = [1 as WebhookId];

test("what was looked up is known until its time is over", async () => {
  const { registry, routes, time } = setup();
  routes.set("acme a", one);
  expect(registry.peek("acme", "a")).toBeNull();
  expect(await registry.lookUp("acme", "a")).toEqual(one);
  time.mono = 299_999;
  expect(registry.peek("acme", "a")).toEqual(one);
  time.mono = 300_000;
  expect(registry.peek("acme", "a")).toBeNull();
});

test("all misses of one turn ask the store once, and each key once", async () => {
  const { registry, calls } = setup();
  await Promise.all([
    registry.lookUp("acme", "a"),
    registry.lookUp("acme", "a"),
    registry.lookUp("acme", "b"),
    registry.lookUp("beta", "a"),
  ]);
  expect(calls.map((keys) => keys.length)).toEqual([3]);
});

test("that there is no webhook is known for one second only", async () => {
  const { registry, time } = setup();
  await registry.lookUp("acme", "a");
  time.mono = 999;
  expect(registry.peek("acme", "a")).toEqual([]);
  time.mono = 1_000;
  expect(registry.peek("acme", "a")).toBeNull();
});

test("a change of one user's webhooks is seen at once, and leaves other users alone", async () => {
  const { registry, routes } = setup();
  await Promise.all([
    registry.lookUp("acme", "a"),
    registry.lookUp("acme", "b"),
    registry.lookUp("beta", "a"),
  ]);
  routes.set("acme a", one);
  registry.invalidateUser("acme");
  expect(registry.peek("acme", "a")).toBeNull();
  expect(registry.peek("acme", "b")).toBeNull();
  expect(registry.peek("beta", "a")).toEqual([]);
  expect(await registry.lookUp("acme", "a")).toEqual(one);
});

test("a look that began before a change is neither kept nor joined", async () => {
  const { registry, routes, gate } = setup();
  const { promise, resolve } = Promise.withResolvers<void>();
  gate.wait = promise;
  const before = registry.lookUp("acme", "a");
  await new Promise(setImmediate);
  routes.set("acme a", one);
  registry.invalidateUser("acme");
  const after = registry.lookUp("acme", "a");
  await new Promise(setImmediate);
  resolve();
  expect(await before).toEqual([]);
  expect(await after).toEqual(one);
  expect(registry.peek("acme", "a")).toEqual(one);
});

test("a look that fails is not remembered", async () => {
  const { registry, gate, routes } = setup();
  const { promise, reject } = Promise.withResolvers<void>();
  gate.wait = promise;
  const failing = registry.lookUp("acme", "a");
  await new Promise(setImmediate);
  reject(new Error("store"));
  await expect(failing).rejects.toThrow("store");
  gate.wait = null;
  routes.set("acme a", one);
  expect(await registry.lookUp("acme", "a")).toEqual(one);
});

test("no more entries are kept than its bound", async () => {
  const { registry } = setup({ entriesMax: 2 });
  for (const event of ["a", "b", "c"]) await registry.lookUp("acme", event);
  expect(registry.peek("acme", "a")).toBeNull();
  expect(registry.peek("acme", "c")).toEqual([]);
  registry.invalidateUser("acme");
  expect(registry.peek("acme", "c")).toBeNull();
});
