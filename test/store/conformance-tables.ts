import { expect, test } from "vitest";
import type { KeyId, WebhookId } from "../../src/domain/ids.ts";
import type { WebhookFilter } from "../../src/domain/query.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { Setup } from "./conformance.ts";
import { apiKey, START, type World } from "./world.ts";

async function listed(world: World, filter: WebhookFilter, limit = 2): Promise<WebhookId[]> {
  const ids: WebhookId[] = [];
  let before: number | null = null;
  do {
    const page = await world.store.listWebhooks(filter, { limit, before });
    ids.push(...page.items.map(({ id }) => id));
    before = page.next;
  } while (before !== null);
  return ids;
}

export function tableTests(setup: Setup): void {
  test("a webhook comes back as it was stored", async () => {
    const world = await setup();
    const hook = await world.webhook({ ordering: "fifo", rateLimit: null, description: "naïve ☃" });
    for (const reopen of [false, true]) {
      if (reopen) await world.crash();
      expect(await world.store.getWebhooks([hook.id, 5 as WebhookId])).toEqual([hook, null]);
      expect(await world.store.findWebhook("acme", "user.created")).toEqual(hook);
      expect(await world.store.findWebhook("acme", "user.*")).toBe(null);
    }
  });

  test("(user, event) is unique among the webhooks that are not deleted", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const rival = { ...hook, id: world.nextId() as WebhookId };
    expect(await world.store.insertWebhook(rival)).toBe(null);
    const other = await world.webhook({ eventId: "other" });
    expect(await world.store.updateWebhook({ ...other, eventId: hook.eventId, version: 2 })).toBe(false);
    expect(await world.store.updateWebhook({ ...hook, deletedAt: START, version: 2 })).toBe(true);
    expect(await world.store.insertWebhook(rival)).toEqual(rival);
    expect(await world.store.findWebhook("acme", hook.eventId)).toEqual(rival);
    expect((await world.store.getWebhooks([hook.id]))[0]).toMatchObject({ deletedAt: START });
    expect(await world.store.updateWebhook({ ...rival, deletedAt: START, version: 2 })).toBe(true);
  });

  test("an update replaces the version before it, and no other", async () => {
    const world = await setup();
    const hook = await world.webhook();
    const second: Webhook = { ...hook, callbackUrl: "https://example.org/", isActive: false, version: 2 };
    expect(await world.store.updateWebhook({ ...second, version: 3 })).toBe(false);
    expect(await world.store.updateWebhook(second)).toBe(true);
    expect(await world.store.updateWebhook({ ...second, description: "lost" })).toBe(false);
    expect(await world.store.updateWebhook({ ...second, id: 5 as WebhookId, version: 3 })).toBe(false);
    await world.crash();
    expect(await world.store.getWebhooks([hook.id])).toEqual([second]);
  });

  test("webhooks are listed newest first, without tombstones", async () => {
    const world = await setup();
    const hooks: Webhook[] = [];
    for (let index = 0; index < 8; index += 1) {
      const userId = index % 2 === 0 ? "acme" : "globex";
      hooks.push(await world.webhook({ userId, eventId: `e-${index >> 1}`, isActive: index < 5 }));
    }
    await world.store.updateWebhook({ ...hooks[2]!, deletedAt: START, version: 2 });
    const ids = (...indexes: number[]) => indexes.map((index) => hooks[index]!.id);
    for (const limit of [1, 2, 50]) {
      expect(await listed(world, {}, limit)).toEqual(ids(7, 6, 5, 4, 3, 1, 0));
      expect(await listed(world, { userId: "acme" }, limit)).toEqual(ids(6, 4, 0));
      expect(await listed(world, { eventId: "e-0" }, limit)).toEqual(ids(1, 0));
      expect(await listed(world, { isActive: false }, limit)).toEqual(ids(7, 6, 5));
      expect(await listed(world, { userId: "globex", eventId: "e-1" }, limit)).toEqual(ids(3));
      expect(await listed(world, { userId: "acme", eventId: "e-1" }, limit)).toEqual([]);
      expect(await listed(world, { userId: "globex", eventId: "e-1", isActive: false }, limit)).toEqual([]);
    }
  });

  test("an event is routed to the webhook with the most specific pattern", async () => {
    const world = await setup();
    const exact = await world.webhook({ eventId: "order.item.added" });
    const near = await world.webhook({ eventId: "order.item.*" });
    const far = await world.webhook({ eventId: "order.*" });
    const all = await world.webhook({ eventId: "*" });
    await world.webhook({ userId: "globex", eventId: "order.paid" });
    const routed = async (...eventIds: string[]) =>
      await world.store.routes(eventIds.map((eventId) => ({ userId: "acme", eventId })));
    expect(
      await routed("order.item.added", "order.item.x", "order.paid", "orders", "hookd.webhook.disabled"),
    ).toEqual([[exact.id], [near.id], [far.id], [all.id], []]);
    await world.store.updateWebhook({ ...exact, deletedAt: START, version: 2 });
    await world.store.updateWebhook({ ...near, isActive: false, version: 2 });
    expect(await routed("order.item.added")).toEqual([[near.id]]);
    expect(await world.store.routes([{ userId: "nobody", eventId: "order.paid" }])).toEqual([[]]);
  });

  test("a broadcast's routes are every user's choice, page by page", async () => {
    const world = await setup();
    const expected: { userId: string; webhookId: WebhookId }[] = [];
    for (let index = 0; index < 14; index += 1) {
      const userId = `user-${String.fromCharCode(97 + ((index * 5) % 14))}`;
      const patterns = [["a.b"], ["a.*"], ["*"], ["a.b", "*"], ["a.*", "*", "a.b"], ["a.c"], ["other"]];
      const made = new Map<string, WebhookId>();
      for (const eventId of patterns[index % 7]!) {
        made.set(eventId, (await world.webhook({ userId, eventId })).id);
      }
      const webhookId = made.get("a.b") ?? made.get("a.*") ?? made.get("*");
      if (webhookId) expected.push({ userId, webhookId });
    }
    expected.sort((a, b) => (a.userId < b.userId ? -1 : 1));
    for (const limit of [1, 2, 3, 10, 11, 100]) {
      const found = [];
      let after: string | null = "";
      while (after !== null) {
        const page = await world.store.broadcastRoutes("a.b", after, limit);
        expect(page.targets.length).toBeLessThanOrEqual(limit);
        found.push(...page.targets);
        after = page.next;
      }
      expect(found, `limit ${limit}`).toEqual(expected);
    }
  });

  test("keys are found by hash and by id, listed, and gone when deleted", async () => {
    const world = await setup();
    const keys = ["acme", null, "acme", "globex"].map((userId) =>
      apiKey(world.nextId() as KeyId, { userId, name: userId, expiresAt: userId === null ? START : null }),
    );
    for (const key of keys) await world.store.insertKey(key);
    await world.crash();
    for (const key of keys) {
      expect(await world.store.findKey(key.hash)).toEqual(key);
      expect(await world.store.getKey(key.id)).toEqual(key);
    }
    expect(await world.store.listKeys(null, { limit: 3, before: null })).toEqual({
      items: [keys[3], keys[2], keys[1]],
      next: keys[1]!.id,
    });
    expect(await world.store.listKeys("acme", { limit: 3, before: null })).toEqual({
      items: [keys[2], keys[0]],
      next: null,
    });
    expect(await world.store.deleteKey(keys[0]!.id)).toBe(true);
    expect(await world.store.deleteKey(keys[0]!.id)).toBe(false);
    expect(await world.store.findKey(keys[0]!.hash)).toBe(null);
    await expect(world.store.insertKey({ ...keys[1]!, id: 77 as KeyId })).rejects.toThrow();
  });

  test("settings are kept by name", async () => {
    const world = await setup();
    expect(await world.store.getSetting("watermark")).toBe(null);
    await world.store.putSetting("watermark", "1");
    await world.store.putSetting("watermark", "2");
    await world.crash();
    expect(await world.store.getSetting("watermark")).toBe("2");
  });

  test("the salt is made once", async () => {
    const world = await setup();
    const { salt } = world.recovery!;
    expect((await world.crash()).salt).toEqual(salt);
    expect((await world.reopen()).salt).toEqual(salt);
  });
}
