import { describe, expect, test } from "vitest";
import { hook, setup } from "./world.ts";

const secretA = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const secretB = `whsec_${Buffer.alloc(32, 2).toString("base64")}`;

describe("creating a webhook", () => {
  test("answers with it and its secret, once", async () => {
    const { call, admin } = await setup();
    const made = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    expect(made.status).toBe(201);
    expect(made.json.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(made.headers.location).toBe(`/v1/webhooks/${made.json.id}`);
    const got = await call("GET", `/webhooks/${made.json.id}`, { key: admin });
    expect(got.json).toMatchObject({
      id: made.json.id,
      user_id: "default",
      ...hook,
      live: { breaker: "closed" },
    });
    expect(got.json.secret).toBeUndefined();
  });

  test("keeps every field, and shows it as it was given", async () => {
    const { call, admin } = await setup();
    const fields = {
      event_id: "order.*",
      callback_url: "https://example.com/a?b=c",
      user_id: "acme",
      description: "orders",
      metadata: { team: "billing" },
      is_active: false,
      rate_limit: { per_second: 0.5, burst: 3 },
      concurrency_max: 8,
      timeout: "10s",
      retry: { base: "1m", factor: 2, max: "1h", attempts: 5, permanent: ["4xx", "!409"] },
      ordering: "fifo",
    };
    const made = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { ...fields, secret: secretA, headers: { "X-Token": "abc" } },
    });
    expect(made.json).toMatchObject({
      ...fields,
      secret: secretA,
      headers: { "x-token": "***" },
      disabled_reason: "user",
    });
    const listed = await call("PATCH", `/v1/webhooks/${made.json.id}`, {
      key: admin,
      body: { retry: { schedule: ["1s", "90s", "2h"] }, rate_limit: null, timeout: null },
    });
    expect(listed.json).toMatchObject({
      retry: { schedule: ["1s", "90s", "2h"] },
      rate_limit: null,
      timeout: null,
    });
  });

  test.each([
    ["none of its own", {}, 2],
    ["fifo", { ordering: "fifo" }, 1],
    ["one at a time", { concurrency_max: 1 }, 1],
  ])("shows without a lane what its lane would begin with: %s", async (_, fields, concurrency) => {
    const { call, admin } = await setup();
    const body = { event_id: "order.*", callback_url: "https://example.com/a", user_id: "acme", ...fields };
    const { json } = await call("POST", "/v1/webhooks", { key: admin, body });
    const got = await call("GET", `/v1/webhooks/${json.id}`, { key: admin });
    expect(got.json).toMatchObject({ live: { concurrency } });
  });

  test("says which webhook has the event already", async () => {
    const { call, admin } = await setup();
    const made = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const again = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    expect(again).toMatchObject({ status: 409, json: { code: "webhook_exists", webhook_id: made.json.id } });
  });

  test("with PUT creates, then replaces, and keeps the secret it does not name", async () => {
    const { call, admin } = await setup();
    const made = await call("PUT", "/v1/webhooks", {
      key: admin,
      body: { ...hook, headers: { "x-a": "1" } },
    });
    expect(made.status).toBe(201);
    const body = { ...hook, callback_url: "https://example.com/new", headers: { "x-a": "***" } };
    const put = await call("PUT", "/webhooks", { key: admin, body });
    expect(put).toMatchObject({
      status: 200,
      json: { id: made.json.id, callback_url: "https://example.com/new" },
    });
    expect(put.json.secret).toBeUndefined();
    const { json } = await call("GET", `/v1/webhooks/${made.json.id}/secret`, { key: admin });
    expect(json).toMatchObject({
      secret: made.json.secret,
      secrets: [{ secret: made.json.secret, expires_at: null }],
    });
  });
});

describe("a webhook", () => {
  test("lists by its filters, in pages", async () => {
    const { call, admin } = await setup();
    for (const user_id of ["acme", "beta"]) {
      for (const event_id of ["a", "b", "c"])
        await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, event_id, user_id } });
    }
    const idsOf = async (query: string) => (await call("GET", `/v1/webhooks?${query}`, { key: admin })).json;
    expect((await idsOf("user_id=acme&event_id=b")).data).toMatchObject([{ user_id: "acme", event_id: "b" }]);
    const first = await idsOf("limit=4");
    const second = await idsOf(`limit=4&cursor=${first.next_cursor}`);
    expect([...first.data, ...second.data].map((one: { event_id: string }) => one.event_id).join("")).toBe(
      "cbacba",
    );
    expect(second.next_cursor).toBeNull();
  });

  test("changes, switches, pauses and goes", async () => {
    const { call, admin, engine } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const at = `/v1/webhooks/${made.id}`;
    expect((await call("PATCH", at, { key: admin, body: { description: "x" } })).json.description).toBe("x");
    expect((await call("POST", `${at}/disable`, { key: admin })).json).toMatchObject({
      is_active: false,
      disabled_reason: "user",
    });
    expect((await call("POST", `${at}/enable`, { key: admin, body: { replay: true } })).json.is_active).toBe(
      true,
    );
    expect((await call("POST", `${at}/enable`, { key: admin })).json.is_active).toBe(true);
    expect((await call("POST", `${at}/pause`, { key: admin })).json.is_paused).toBe(true);
    expect((await call("POST", `${at}/resume`, { key: admin })).json.is_paused).toBe(false);
    expect((await call("POST", `${at}/test`, { key: admin })).json).toMatchObject({
      number: 1,
      status_code: 500,
    });
    expect((await call("DELETE", at, { key: admin })).status).toBe(204);
    expect((await call("GET", at, { key: admin })).status).toBe(404);
    expect((await call("GET", `${at}/deliveries`, { key: admin })).status).toBe(200);
    expect(engine.state.webhooks.size).toBe(1);
  });

  test("keeps a header that is sent back masked, and refuses a mask that stands for nothing", async () => {
    const { call, admin, api, engine } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { ...hook, headers: { "x-a": "1", "x-b": "2" } },
    });
    await call("PATCH", `/v1/webhooks/${made.id}`, {
      key: admin,
      body: { headers: { "x-a": "***", "x-c": "3" } },
    });
    const [webhook] = engine.state.webhooks.values();
    expect(api.context.sealer.open(webhook!.sealed).headers).toEqual([
      ["x-a", "1"],
      ["x-c", "3"],
    ]);
    const refused = await call("PATCH", `/v1/webhooks/${made.id}`, {
      key: admin,
      body: { headers: { "x-d": "***" } },
    });
    expect(refused).toMatchObject({ status: 400, json: { code: "invalid_header", field: "headers.x-d" } });
  });

  test("changed by many at once loses no change", async () => {
    const { call, admin, api, engine } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { ...hook, headers: { "x-a": "1" } },
    });
    await Promise.all([
      call("POST", `/v1/webhooks/${made.id}/rotate-secret`, { key: admin, body: { secret: secretA } }),
      call("PATCH", `/v1/webhooks/${made.id}`, {
        key: admin,
        body: { headers: { "x-a": "***", "x-b": "2" } },
      }),
      call("POST", `/v1/webhooks/${made.id}/rotate-secret`, { key: admin, body: { secret: secretB } }),
    ]);
    const [webhook] = engine.state.webhooks.values();
    const parts = api.context.sealer.open(webhook!.sealed);
    expect(parts.secrets.map(({ secret }) => secret)).toEqual(
      expect.arrayContaining([secretA, secretB, made.secret]),
    );
    expect(parts.headers).toHaveLength(2);
  });
});

describe("rotating a secret", () => {
  test("puts the new one first, and lets the old one sign for the overlap", async () => {
    const { call, admin, time } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { ...hook, secret: secretA },
    });
    const at = `/v1/webhooks/${made.id}`;
    const rotated = await call("POST", `${at}/rotate-secret`, {
      key: admin,
      body: { secret: secretB, overlap: "1h" },
    });
    expect(rotated.json).toEqual({
      webhook_id: made.id,
      secret: secretB,
      secrets: [
        { secret: secretB, expires_at: null },
        { secret: secretA, expires_at: "2026-11-22T09:30:00.000Z" },
      ],
    });
    expect(rotated.headers["cache-control"]).toBe("no-store");
    time.now += 3_600_000;
    expect((await call("GET", `${at}/secret`, { key: admin })).json.secrets).toHaveLength(1);
  });

  test("makes a secret and keeps the old one a day where nothing is said", async () => {
    const { call, admin } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const { json } = await call("POST", `/v1/webhooks/${made.id}/rotate-secret`, { key: admin });
    expect(json.secret).not.toBe(made.secret);
    expect(json.secrets[1]).toEqual({ secret: made.secret, expires_at: "2026-11-23T08:30:00.000Z" });
  });

  test("takes five at most, and overlap 0s ends the others", async () => {
    const { call, admin } = await setup();
    const { json: made } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const rotate = (body: object) =>
      call("POST", `/v1/webhooks/${made.id}/rotate-secret`, { key: admin, body });
    for (let live = 2; live <= 5; live += 1) expect((await rotate({})).json.secrets).toHaveLength(live);
    expect(await rotate({})).toMatchObject({ status: 400, json: { code: "invalid_secret" } });
    expect((await rotate({ overlap: "0s" })).json.secrets).toHaveLength(1);
  });
});

test("no answer and no log line has a secret or a header's value but where it was asked for", async () => {
  const { call, admin, logged } = await setup();
  const body = { ...hook, secret: secretA, headers: { "x-token": "hdr-topsecret" } };
  const { json: made } = await call("POST", "/v1/webhooks", { key: admin, body });
  const answers = [
    await call("GET", "/v1/webhooks", { key: admin }),
    await call("PATCH", `/v1/webhooks/${made.id}`, {
      key: admin,
      body: { headers: { "x token": "hdr-topsecret" } },
    }),
    await call("PATCH", `/v1/webhooks/${made.id}`, {
      key: admin,
      body: { headers: { "x-a": "hdr-topsecret\n" } },
    }),
    await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, secret: `${secretA}x` } }),
    await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, secret: [secretA] } }),
    await call("POST", `/v1/webhooks/${made.id}/pause`, { key: admin }),
  ];
  for (const text of [...answers.map((answer) => answer.text), ...logged]) {
    expect(text).not.toContain(secretA.slice(6));
    expect(text).not.toContain("topsecret");
    expect(text).not.toContain(admin.text);
  }
});
