import { describe, expect, test } from "vitest";
import { setupDirector } from "./director-world.ts";
import { sampleAttempt } from "./fake-engine.ts";
import { type AnyWorld, hook, setup } from "./world.ts";

/** Every call of the document, as `[method, path template, operation]`. */
async function callsOf(world: AnyWorld) {
  const { json: document } = await world.call("GET", "/v1/openapi.json");
  return Object.entries(document.paths as Record<string, Record<string, Operation>>).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [method.toUpperCase(), path, operation] as const),
  );
}

interface Operation {
  readonly operationId: string;
  readonly description?: string;
  readonly security?: readonly object[];
}

/** Bodies with which a call gets past its schema. */
function bodyOf(operationId: string): unknown {
  const bodies: Record<string, unknown> = {
    createWebhook: hook,
    putWebhook: hook,
    updateWebhook: { description: "x" },
    publishEvent: { event_id: "a", payload: 1 },
    publishEvents: [{ event_id: "a", payload: 1 }],
    publishPayload: "x",
    replayDead: { all: true },
    purgeDead: { all: true },
    replayDeliveries: { all: true },
    createKey: { scopes: ["manage"] },
  };
  return bodies[operationId];
}

/** What belongs to acme. */
async function acmeObjects(world: AnyWorld) {
  const { call, admin, keyFor } = world;
  const acme = await keyFor("acme");
  const { json: webhook } = await call("POST", "/v1/webhooks", { key: acme, body: hook });
  const { json: event } = await call("POST", "/v1/events", {
    key: acme,
    body: { event_id: hook.event_id, payload: 1, event_uid: "acme-uid" },
  });
  const { json: job } = await call("POST", "/v1/dlq/replay", { key: acme, body: { all: true } });
  const { json: all } = await call("POST", "/v1/dlq/replay", { key: admin, body: { all: true } });
  return {
    acme,
    webhook: webhook.id,
    delivery: event.deliveries[0].id,
    job: job.job_id,
    adminJob: all.job_id,
  };
}

describe.each([
  ["an engine in memory", setup],
  ["the director", setupDirector],
])("a user's key, over %s", (_, makeWorld) => {
  test("finds nothing of another user, whatever the call: 404, as for what was never there", async () => {
    const world: AnyWorld = await makeWorld();
    const objects = await acmeObjects(world);
    const evil = await world.keyFor("evil");
    const ids: Record<string, string> = {
      "/v1/webhooks/{id}": objects.webhook,
      "/v1/deliveries/{id}": objects.delivery,
      "/v1/jobs/{id}": objects.job,
      "/v1/keys/{id}": objects.acme.id,
      "/v1/events/{event_uid}": "acme-uid",
    };
    const tried: string[] = [];
    for (const [method, template, { operationId }] of await callsOf(world)) {
      const [prefix, id] = Object.entries(ids).find(([start]) => template.startsWith(start)) ?? [];
      if (prefix === undefined || id === undefined) continue;
      const path = template.replace(/\{\w+\}/, id);
      const call = () => world.call(method, path, { key: evil, body: bodyOf(operationId) });
      const answer = await call();
      expect(answer, `${method} ${path}`).toMatchObject({ status: 404, json: { code: "not_found" } });
      const never = template.replace(/\{\w+\}/, `${id.slice(0, -1)}0`);
      const unknown = await world.call(method, never, { key: evil, body: bodyOf(operationId) });
      expect({ ...answer.json, request_id: "", detail: "" }).toEqual({
        ...unknown.json,
        request_id: "",
        detail: "",
      });
      tried.push(operationId);
    }
    expect(tried).toHaveLength(18);
    expect((await world.call("GET", `/v1/webhooks/${objects.webhook}`, { key: objects.acme })).status).toBe(
      200,
    );
    for (const path of [`/v1/jobs/${objects.adminJob}`, "/v1/jobs?user_id=acme"]) {
      expect((await world.call("GET", path, { key: evil })).status).toBe(404);
    }
  });
});

describe("a user's key", () => {
  test("lists nothing of another user, and 404 where it names one", async () => {
    const world = await setup();
    const objects = await acmeObjects(world);
    const evil = await world.keyFor("evil");
    for (const path of ["/v1/webhooks", "/v1/deliveries", "/v1/dlq", "/v1/jobs"]) {
      expect((await world.call("GET", path, { key: evil })).json.data).toEqual([]);
      expect((await world.call("GET", path, { key: objects.acme })).json.data.length).toBe(
        path === "/v1/dlq" ? 0 : 1,
      );
      expect((await world.call("GET", `${path}?user_id=acme`, { key: evil })).status).toBe(404);
    }
    for (const path of ["/v1/deliveries", "/v1/dlq", "/v1/stream"]) {
      expect((await world.call("GET", `${path}?webhook_id=${objects.webhook}`, { key: evil })).status).toBe(
        404,
      );
    }
    for (const path of ["/v1/dlq/replay", "/v1/dlq/purge", "/v1/deliveries/replay"]) {
      for (const body of [{ webhook_id: objects.webhook }, { user_id: "acme", all: true }]) {
        expect((await world.call("POST", path, { key: evil, body })).status).toBe(404);
      }
      await world.call("POST", path, { key: evil, body: { ids: [objects.delivery] } });
    }
    const specs = [...world.engine.state.jobs.values()].map(({ spec }) => spec.userId);
    expect(specs).toEqual(["acme", null, "evil", "evil", "evil"]);
  });

  test("makes nothing in another user's name: 403", async () => {
    const world = await setup();
    const evil = await world.keyFor("evil");
    const { call } = world;
    const named = { user_id: "acme" };
    const answers = [
      await call("POST", "/v1/webhooks", { key: evil, body: { ...hook, ...named } }),
      await call("PUT", "/v1/webhooks", { key: evil, body: { ...hook, ...named } }),
      await call("POST", "/v1/events", { key: evil, body: { event_id: "a", payload: 1, ...named } }),
      await call("POST", "/v1/publish/a?user_id=acme", { key: evil, body: "x" }),
      await call("POST", "/v1/keys", { key: evil, body: { scopes: ["read"], ...named } }),
      await call("POST", "/v1/keys", { key: evil, body: { is_admin: true } }),
    ];
    for (const answer of answers) expect(answer).toMatchObject({ status: 403, json: { code: "forbidden" } });
    const { json: batch } = await call("POST", "/v1/events/batch", {
      key: evil,
      body: [{ event_id: "a", payload: 1, ...named }],
    });
    expect(batch.results[0].error).toMatchObject({ code: "forbidden", status: 403 });
    expect(
      (await call("POST", "/v1/webhooks", { key: evil, body: { ...hook, user_id: "evil" } })).status,
    ).toBe(201);
  });
});

describe("every call", () => {
  test("asks for a key, and for the scope that the document names", async () => {
    const world = await setup();
    const objects = await acmeObjects(world);
    const keys = {
      publish: await world.keyFor("acme", "publish"),
      read: await world.keyFor("acme", "read"),
      manage: await world.keyFor("acme", "manage"),
      admin: world.admin,
    };
    const open: string[] = [];
    for (const [method, template, operation] of await callsOf(world)) {
      const scope = /scope `(\w+)`/.exec(operation.description ?? "")?.[1] as keyof typeof keys | undefined;
      if (scope === undefined) {
        open.push(operation.operationId);
        continue;
      }
      const path = template.replace(/\{\w+\}/, objects.webhook);
      const body = bodyOf(operation.operationId);
      expect(await world.call(method, path, { body }), path).toMatchObject({
        status: 401,
        headers: { "www-authenticate": "Bearer" },
        json: { code: "unauthorized" },
      });
      for (const [name, key] of Object.entries(keys)) {
        if (name === scope || name === "admin") continue;
        expect(await world.call(method, path, { key, body }), path).toMatchObject({
          status: 403,
          json: { code: "forbidden", scope },
        });
      }
      if (operation.operationId === "streamAttempts") continue;
      expect([401, 403]).not.toContain((await world.call(method, path, { key: keys[scope], body })).status);
    }
    expect(open.sort()).toEqual(["getHealth", "getMetrics", "getOpenApi", "getReadiness"]);
  });
});

describe("keys", () => {
  test("are shown once, work, and stop working when they are deleted", async () => {
    const { call, admin, engine } = await setup();
    const made = await call("POST", "/v1/keys", {
      key: admin,
      body: { user_id: "acme", scopes: ["read", "manage"], name: "ci" },
    });
    expect(made).toMatchObject({
      status: 201,
      json: { user_id: "acme", is_admin: false, name: "ci", expires_at: null },
    });
    const key = { text: made.json.key };
    const { json: list } = await call("GET", "/v1/keys", { key });
    expect(list.data).toMatchObject([{ id: made.json.id, scopes: ["read", "manage"] }]);
    expect(JSON.stringify([...engine.state.keys.values()])).not.toContain(key.text);
    expect((await call("DELETE", `/v1/keys/${made.json.id}`, { key: admin })).status).toBe(204);
    expect((await call("GET", "/v1/keys", { key })).status).toBe(401);
    expect((await call("DELETE", `/v1/keys/${made.json.id}`, { key: admin })).status).toBe(404);
  });

  test("give away no more than they have", async () => {
    const { call, keyFor } = await setup();
    const key = await keyFor("acme", "read", "manage");
    const refused = await call("POST", "/v1/keys", { key, body: { scopes: ["read", "publish"] } });
    expect(refused).toMatchObject({ status: 403, json: { field: "scopes", scope: "publish" } });
    expect((await call("POST", "/v1/keys", { key, body: { scopes: ["read"] } })).json.user_id).toBe("acme");
  });

  test("of admins are made by admins, and belong to nobody", async () => {
    const { call, admin } = await setup();
    const made = await call("POST", "/v1/keys", { key: admin, body: { is_admin: true } });
    expect(made.json).toMatchObject({ user_id: null, is_admin: true });
    expect((await call("GET", "/v1/webhooks?user_id=acme", { key: { text: made.json.key } })).status).toBe(
      200,
    );
    expect((await call("POST", "/v1/keys", { key: admin, body: { scopes: ["read"] } })).json.user_id).toBe(
      "default",
    );
    for (const body of [
      { is_admin: true, user_id: "a" },
      { is_admin: true, scopes: ["read"] },
      {},
      { scopes: [] },
    ]) {
      expect(await call("POST", "/v1/keys", { key: admin, body })).toMatchObject({
        status: 400,
        json: { code: "invalid_field" },
      });
    }
  });

  test("expire", async () => {
    const { call, admin, time } = await setup();
    const body = { scopes: ["manage"], expires_at: "2026-11-22T09:30:00+01:00" };
    expect((await call("POST", "/v1/keys", { key: admin, body })).json).toMatchObject({
      field: "expires_at",
    });
    const { json } = await call("POST", "/v1/keys", {
      key: admin,
      body: { ...body, expires_at: "2026-11-22T10:31:00+01:00" },
    });
    expect(json.expires_at).toBe("2026-11-22T09:31:00.000Z");
    expect((await call("GET", "/v1/keys", { key: { text: json.key } })).status).toBe(200);
    time.now = Date.parse(json.expires_at);
    expect((await call("GET", "/v1/keys", { key: { text: json.key } })).status).toBe(401);
  });

  test("guessed at too often are answered with 429", async () => {
    const { call } = await setup();
    const guess = () => call("GET", "/v1/keys", { key: { text: `hk_${"a".repeat(32)}` } });
    for (let count = 0; count < 20; count += 1) expect((await guess()).status).toBe(401);
    expect(await guess()).toMatchObject({
      status: 429,
      json: { code: "too_many_failures" },
      headers: { "retry-after": "5" },
    });
  });
});

describe("deliveries, the dead, and jobs", () => {
  async function withDeliveries(count: number) {
    const world = await setup();
    const { json: webhook } = await world.call("POST", "/v1/webhooks", { key: world.admin, body: hook });
    const event = { event_id: hook.event_id, payload: 1 };
    for (let index = 0; index < count; index += 1)
      await world.call("POST", "/v1/events", { key: world.admin, body: event });
    const get = (path: string) => world.call("GET", path, { key: world.admin });
    const post = (path: string, body?: unknown) => world.call("POST", path, { key: world.admin, body });
    return { ...world, webhook, get, post };
  }

  test("page newest first, and a cursor is good for its list and filter only", async () => {
    const { get, webhook } = await withDeliveries(5);
    const first = await get("/v1/deliveries?limit=2");
    const next = first.json.next_cursor;
    const second = await get(`/v1/deliveries?limit=3&cursor=${next}`);
    const ids = [...first.json.data, ...second.json.data].map(({ id }: { id: string }) => id);
    expect(ids).toEqual([...new Set(ids)].sort().reverse());
    expect(ids).toHaveLength(5);
    for (const path of [
      `/v1/deliveries?status=failed&cursor=${next}`,
      `/v1/dlq?cursor=${next}`,
      `/v1/webhooks/${webhook.id}/deliveries?cursor=${next}`,
      `/v1/deliveries?cursor=${next.slice(1)}`,
      "/v1/deliveries?cursor=x",
    ]) {
      expect(await get(path), path).toMatchObject({
        status: 400,
        json: { code: "invalid_cursor", field: "cursor" },
      });
    }
  });

  test("show every attempt, with the response's bytes as harmless text", async () => {
    const { get } = await withDeliveries(1);
    const [delivery] = (await get("/v1/deliveries")).json.data;
    const { json } = await get(`/v1/deliveries/${delivery.id}`);
    expect(json).toMatchObject({
      ...delivery,
      attempts: [{ number: 1, duration_ms: 4, verdict: "retry", status_code: 500, error: null }],
    });
    expect(json.attempts[0].response_excerpt).toBe(Buffer.from(sampleAttempt.excerpt!).toString("utf8"));
    expect(json.event_uid).toMatch(/^evt_/);
  });

  test("are retried and cancelled", async () => {
    const { get, post } = await withDeliveries(1);
    const [{ id }] = (await get("/v1/deliveries?status=pending&since=1h&until=2026-11-23T00:00:00Z")).json
      .data;
    expect((await post(`/v1/deliveries/${id}/retry`)).json).toMatchObject({ id, status: "pending" });
    expect((await post(`/v1/deliveries/${id}/cancel`)).json).toMatchObject({
      status: "dead",
      reason: "cancelled",
    });
    expect((await get("/v1/dlq")).json.data).toMatchObject([{ id }]);
    expect((await get("/v1/deliveries?status=failed")).json.data).toMatchObject([{ id }]);
    expect((await get("/v1/dlq?group=reason,user")).json).toEqual({
      data: [{ reason: "exhausted", user_id: "acme", count: 3 }],
      next_cursor: null,
    });
  });

  test("are replayed and purged by jobs, which can be watched and cancelled", async () => {
    const { get, post, webhook, engine, time } = await withDeliveries(1);
    const [delivery] = (await get("/v1/deliveries")).json.data;
    const started = await post("/v1/dlq/replay", {
      webhook_id: webhook.id,
      since: "2h",
      reason: "exhausted",
      rate: 50,
    });
    expect(started).toMatchObject({ status: 202, headers: { location: `/v1/jobs/${started.json.job_id}` } });
    await post("/v1/dlq/purge", { ids: [delivery.id] });
    await post("/v1/deliveries/replay", { user_id: "acme" });
    await post("/v1/deliveries/replay", { all: true, status: "success" });
    const [webhookId] = engine.state.webhooks.keys();
    const [deliveryId] = engine.state.deliveries.keys();
    expect([...engine.state.jobs.values()].map(({ spec }) => spec)).toEqual([
      {
        kind: "replay",
        userId: null,
        ratePerSecond: 50,
        select: { webhookId, reason: "exhausted", since: time.now - 7_200_000 },
      },
      { kind: "purge", userId: null, select: { ids: [deliveryId] } },
      { kind: "replay", userId: "acme", ratePerSecond: null, select: { statuses: ["dead", "success"] } },
      { kind: "replay", userId: null, ratePerSecond: null, select: { statuses: ["success"] } },
    ]);
    expect((await get("/v1/jobs?limit=1")).json).toMatchObject({
      data: [{ kind: "replay", status: "running", total: 7 }],
      next_cursor: expect.any(String),
    });
    expect((await post(`/v1/jobs/${started.json.job_id}/cancel`)).json.status).toBe("cancelled");
    expect(await post(`/v1/jobs/${started.json.job_id}/cancel`)).toMatchObject({
      status: 409,
      json: { code: "not_retryable" },
    });
    expect((await get(`/v1/jobs/${started.json.job_id}`)).json.completed_at).not.toBeNull();
  });

  test("are only counted by a dry run, and an empty filter means nothing, not everything", async () => {
    const { post, engine } = await withDeliveries(0);
    for (const path of ["/v1/dlq/replay", "/v1/dlq/purge", "/v1/deliveries/replay"]) {
      expect((await post(path, { all: true, dry_run: true })).json).toEqual({
        dry_run: true,
        count: 7,
        is_exact: true,
      });
      for (const body of [{}, { dry_run: true }, { all: false }]) {
        expect(await post(path, body)).toMatchObject({ status: 400, json: { code: "empty_filter" } });
      }
      for (const body of [{ all: true, event_id: "a" }, { ids: ["dlv_x"], all: true }, { ids: [] }]) {
        expect(await post(path, body)).toMatchObject({ status: 400, json: { code: "invalid_field" } });
      }
      expect((await post(path, { ids: ["dlv_x"] })).status).toBe(404);
    }
    expect(engine.state.jobs.size).toBe(0);
  });
});
