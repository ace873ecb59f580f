import { expect, test } from "vitest";
import { WebhookCache } from "../../src/engine/webhook-cache.ts";
import { setup } from "../support/engine-world.ts";

test("what was loaded is given as it is now, though it was changed before the caller went on", async () => {
  const world = await setup();
  const webhook = await world.webhook();
  const cache = new WebhookCache(world.tap.store, 10);
  const loaded = await cache.load(new Set([webhook.id]));
  const changed = { ...webhook, isPaused: true, version: webhook.version + 1 };
  cache.put(changed);
  expect(cache.newest(loaded).get(webhook.id)).toEqual(changed);
  expect(loaded.found.get(webhook.id)).toEqual(webhook);
});

test("what the cache has no room for is given as it was loaded", async () => {
  const world = await setup();
  const webhooks = [await world.webhook(), await world.webhook()];
  const cache = new WebhookCache(world.tap.store, 1);
  const found = cache.newest(await cache.load(new Set(webhooks.map(({ id }) => id))));
  expect([...found.values()]).toEqual(webhooks);
});
