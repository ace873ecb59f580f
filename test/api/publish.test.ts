import fc from "fast-check";
import { Compile } from "typebox/compile";
import { describe, expect, test } from "vitest";
import { parseEnvelope } from "../../src/api/envelope.ts";
import { EventPublish } from "../../src/api/schemas.ts";
import { isEventId, isEventUid, isUserId } from "../../src/domain/names.ts";
import { Problem } from "../../src/domain/problem.ts";
import { hook, setup } from "./world.ts";

const json = { "content-type": "application/json" };
const event = (fields: object = {}) => ({ event_id: "user.created", payload: { id: 1 }, ...fields });

async function withWebhook(options?: Parameters<typeof setup>[0]) {
  const world = await setup(options);
  const { json: webhook } = await world.call("POST", "/v1/webhooks", { key: world.admin, body: hook });
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    world.call("POST", path, { key: world.admin, body, headers });
  return { ...world, webhook, post };
}

describe("publishing an event", () => {
  test.each(["/v1/events", "/events"])("at %s answers with its uid and its deliveries", async (path) => {
    const { post, webhook } = await withWebhook();
    const answer = await post(path, event({ event_uid: "u-1" }));
    expect(answer.status).toBe(202);
    expect(answer.json).toEqual({
      event_uid: "u-1",
      delivery_count: 1,
      deliveries: [{ id: expect.stringMatching(/^dlv_/), webhook_id: webhook.id }],
      duplicate: false,
    });
    expect(answer.headers["content-length"]).toBe(String(Buffer.byteLength(answer.text)));
  });

  test("hands the engine the payload's bytes as they came", async () => {
    const { post, engine } = await withWebhook();
    const payload = '{ "b": 1.0, "a":12345678901234567890 }';
    await post("/v1/events", `{"payload":${payload},"event_id":"user.created"}`, json);
    const [published] = engine.state.published;
    expect(Buffer.from(published!.payload).toString()).toBe(payload);
    expect(published).toMatchObject({ contentType: "application/json", userId: "default", uid: null });
  });

  test("shows the payload's bytes as they came", async () => {
    const { post, call, admin } = await withWebhook();
    await post("/v1/events", '{"event_uid":"u1","payload":{"a": 1.0},"event_id":"user.created"}', json);
    const got = await call("GET", "/v1/events/u1", { key: admin });
    expect(got.text).toContain('"payload":{"a": 1.0}}');
    expect(got.json).toMatchObject({ event_uid: "u1", payload_encoding: "json", delivery_count: 1 });
  });

  test("that no webhook wants is accepted, not stored, and counted", async () => {
    const { post, engine, api } = await withWebhook();
    const answer = await post("/v1/events", event({ event_id: "other" }));
    expect(answer).toMatchObject({
      status: 202,
      json: { event_uid: null, delivery_count: 0, deliveries: [] },
    });
    expect((await post("/v1/events", event({ event_id: "other", event_uid: "u" }))).json.event_uid).toBe("u");
    expect(engine.state.calls.publish).toBe(0);
    expect(api.context.counters.unmatched).toBe(2);
  });

  test("finds a webhook made a moment after nobody wanted the event", async () => {
    const { call, admin } = await setup();
    const publish = async () =>
      (await call("POST", "/v1/events", { key: admin, body: event() })).json.delivery_count;
    expect(await publish()).toBe(0);
    const { json: webhook } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    expect(await publish()).toBe(1);
    await call("DELETE", `/v1/webhooks/${webhook.id}`, { key: admin });
    expect(await publish()).toBe(0);
  });

  test("a hundred at once under one uid is one event", async () => {
    const { post, engine } = await withWebhook();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => post("/v1/events", event({ event_uid: "same" }))),
    );
    expect(engine.state.published).toHaveLength(1);
    expect(answers.filter((answer) => !answer.json.duplicate)).toHaveLength(1);
    expect(new Set(answers.map((answer) => answer.json.deliveries[0].id)).size).toBe(1);
    expect(await post("/v1/events", event({ event_uid: "same", payload: 2 }))).toMatchObject({
      status: 409,
      json: { code: "uid_conflict" },
    });
  });

  test("takes its uid from Idempotency-Key, in quotes or not, but not two different ones", async () => {
    const { post } = await withWebhook();
    const key = (text: string) => ({ "idempotency-key": text });
    expect((await post("/v1/events", event(), key("k-1"))).json.event_uid).toBe("k-1");
    expect((await post("/v1/events", event(), key('"k-1"'))).json).toMatchObject({
      event_uid: "k-1",
      duplicate: true,
    });
    expect((await post("/v1/events", event({ event_uid: "k-1" }), key("k-1"))).json.duplicate).toBe(true);
    for (const [body, header] of [
      [event({ event_uid: "k-2" }), "k-1"],
      [event(), "has.dot"],
      [event(), ""],
      [event(), "k".repeat(65)],
    ] as const) {
      expect(await post("/v1/events", body, key(header))).toMatchObject({
        status: 400,
        json: { code: "invalid_uid" },
      });
    }
  });

  test("to everyone is for admin keys", async () => {
    const { post, call, admin, keyFor } = await withWebhook();
    await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, user_id: "acme" } });
    expect((await post("/v1/events", event({ user_id: "*" }))).json.delivery_count).toBe(2);
    expect((await post("/v1/publish/user.created?user_id=*", "x")).json.delivery_count).toBe(2);
    const refused = await call("POST", "/v1/events", {
      key: await keyFor("acme"),
      body: event({ user_id: "*" }),
    });
    expect(refused).toMatchObject({ status: 403, json: { code: "forbidden", field: "user_id" } });
  });

  test("what the engine refuses is told with the time to come back", async () => {
    const { post, engine } = await withWebhook();
    engine.state.failure = new Problem("lane_full", "full", { retryAfterSeconds: 7 });
    expect(await post("/v1/events", event())).toMatchObject({
      status: 429,
      headers: { "retry-after": "7" },
      json: { code: "lane_full" },
    });
    expect(await post("/v1/events/batch", [event(), event({ event_id: "" })])).toMatchObject({
      status: 202,
      headers: { "retry-after": "7" },
      json: { results: [{ error: { code: "lane_full" } }, { error: { code: "invalid_field" } }] },
    });
    engine.state.failure = new Problem("overloaded", "much");
    expect(await post("/v1/publish/user.created", "x")).toMatchObject({
      status: 503,
      headers: { "retry-after": "1" },
    });
  });

  test.each([
    ["starting", "store_unavailable"],
    ["shutting_down", "shutting_down"],
    ["disk_full", "disk_full"],
    ["store_unavailable", "store_unavailable"],
  ] as const)("is refused at once while the engine says %s", async (refusal, code) => {
    const { post, call, engine, admin } = await withWebhook();
    engine.refusal = refusal;
    for (const path of ["/v1/events", "/v1/events/batch", "/v1/publish/user.created", "/events"]) {
      const answer = await post(path, event());
      expect(answer).toMatchObject({ status: 503, json: { code, retryable: true } });
      expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
    }
    expect(await call("GET", "/readyz")).toMatchObject({ status: 503, json: { code } });
    expect((await call("GET", "/v1/webhooks", { key: admin })).status).toBe(200);
  });

  test("is refused unread while as much waits for its commit as may, and hookd is ready all the same", async () => {
    const { post, call, engine, admin } = await withWebhook();
    engine.isFull = true;
    for (const path of ["/v1/events", "/v1/events/batch", "/v1/publish/user.created", "/events"]) {
      expect(await post(path, "not { JSON")).toMatchObject({
        status: 503,
        headers: { "retry-after": "1" },
        json: { code: "overloaded", retryable: true },
      });
    }
    expect((await call("GET", "/readyz")).status).toBe(200);
    expect((await call("GET", "/v1/webhooks", { key: admin })).status).toBe(200);
    engine.isFull = false;
    expect((await post("/v1/events", event())).status).toBe(202);
  });

  test("faster than a key may is refused, and a batch counts its events", async () => {
    const { post, time, api } = await withWebhook({ limits: { publishPerKey: 10 } });
    expect(
      (
        await post(
          "/v1/events/batch",
          Array.from({ length: 10 }, () => event()),
        )
      ).status,
    ).toBe(202);
    expect(await post("/v1/events", event())).toMatchObject({
      status: 429,
      json: { code: "rate_limited" },
      headers: { "retry-after": "1" },
    });
    const batch = [event(), event(), event()];
    expect((await post("/v1/events/batch", batch)).status).toBe(429);
    expect(api.context.counters.refused.rate_limited).toBe(4);
    time.mono += 1_000;
    expect((await post("/v1/events", event())).status).toBe(202);
  });
});

describe("a raw payload", () => {
  test("is kept with its content type, whatever the bytes", async () => {
    const { post, engine, call, admin } = await withWebhook();
    const bytes = Buffer.of(0, 0xff, 0xfe, 1);
    await post("/v1/publish/user.created", bytes, { "content-type": "image/png", "idempotency-key": "raw" });
    const [published] = engine.state.published;
    expect(published).toMatchObject({ contentType: "image/png", uid: "raw" });
    expect(Buffer.from(published!.payload)).toEqual(bytes);
    const got = await call("GET", "/v1/events/raw", { key: admin });
    expect(got.json).toMatchObject({ payload: bytes.toString("base64"), payload_encoding: "base64" });
  });

  test("without a content type is octets, and may be empty", async () => {
    const { post, engine } = await withWebhook();
    await post("/publish/user.created", undefined);
    await post("/publish/user.created", "x");
    expect(engine.state.published.map(({ contentType, payload }) => [contentType, payload.length])).toEqual([
      ["application/octet-stream", 0],
      ["application/octet-stream", 1],
    ]);
  });

  test("that calls itself JSON and is none is shown as base64", async () => {
    const { post, call, admin } = await withWebhook();
    await post("/v1/publish/user.created", "{broken", { ...json, "idempotency-key": "b" });
    expect((await call("GET", "/v1/events/b", { key: admin })).json.payload_encoding).toBe("base64");
  });

  test("under a name that cannot be is refused", async () => {
    const { post } = await withWebhook();
    for (const name of ["a%20b", ".a", "x".repeat(129), "hookd.test", "%00"]) {
      expect(await post(`/v1/publish/${name}`, "x")).toMatchObject({
        status: 400,
        json: { field: "event_id" },
      });
    }
  });
});

describe("a batch", () => {
  test("is accepted event by event, with errors in their place", async () => {
    const { post, engine } = await withWebhook();
    const items = [
      event({ event_uid: "a" }),
      event({ event_id: "no spaces" }),
      event({ extra: 1 }),
      event({ event_uid: "a" }),
      event({ event_id: "other" }),
    ];
    const answer = await post("/v1/events/batch", items);
    expect(answer.status).toBe(202);
    expect(answer.json.results).toMatchObject([
      { index: 0, accepted: { event_uid: "a", duplicate: false } },
      { index: 1, error: { code: "invalid_field", field: "event_id", status: 400 } },
      { index: 2, error: { code: "unknown_field", field: "extra" } },
      { index: 3, accepted: { event_uid: "a", duplicate: true } },
      { index: 4, accepted: { delivery_count: 0 } },
    ]);
    expect(answer.headers["retry-after"]).toBeUndefined();
    expect(engine.state.published).toHaveLength(1);
  });

  test("may hold broadcasts and events whose webhooks are not known yet, each answered in its place", async () => {
    const { post } = await withWebhook();
    const items = [
      event({ event_uid: "a" }),
      event({ event_uid: "all", user_id: "*" }),
      event({ event_uid: "b" }),
      event({ event_uid: "a", payload: { id: 2 } }),
      event({ event_uid: "c", user_id: "someone" }),
      event({ event_uid: "everyone", user_id: "*" }),
    ];
    for (const isAgain of [false, true]) {
      const { results } = (await post("/v1/events/batch", items)).json;
      expect(results).toMatchObject([
        { index: 0, accepted: { event_uid: "a", delivery_count: 1, duplicate: isAgain } },
        { index: 1, accepted: { event_uid: "all" } },
        { index: 2, accepted: { event_uid: "b", delivery_count: 1, duplicate: isAgain } },
        { index: 3, error: { code: "uid_conflict" } },
        { index: 4, accepted: { event_uid: "c", delivery_count: 0 } },
        { index: 5, accepted: { event_uid: "everyone" } },
      ]);
    }
  });

  test("may be lines", async () => {
    const { post } = await withWebhook();
    const lines = `${JSON.stringify(event())}\n{"event_id":\n${JSON.stringify(event())}\n`;
    const answer = await post("/v1/events/batch", lines, { "content-type": "application/x-ndjson" });
    expect(answer.json.results.map((one: object) => Object.keys(one)[1])).toEqual([
      "accepted",
      "error",
      "accepted",
    ]);
  });

  test("asks the store once for all that is not known", async () => {
    const { post, engine } = await withWebhook();
    await post(
      "/v1/events/batch",
      Array.from({ length: 1_000 }, (_, n) => event({ event_id: `e${n % 50}` })),
    );
    expect(engine.state.calls.routes).toBe(1);
  });

  test("is refused as a whole where it is broken, empty, too long, or named by one key", async () => {
    const { post } = await withWebhook();
    expect(await post("/v1/events/batch", '[{"event_id":"a","payload":1},', json)).toMatchObject({
      status: 400,
      json: { code: "invalid_json" },
    });
    expect(await post("/v1/events/batch", [])).toMatchObject({ status: 400, json: { code: "bad_request" } });
    expect(
      await post(
        "/v1/events/batch",
        Array.from({ length: 1_001 }, () => event()),
      ),
    ).toMatchObject({ status: 400, json: { items_max: 1_000 } });
    expect(await post("/v1/events/batch", [event()], { "idempotency-key": "k" })).toMatchObject({
      status: 400,
      json: { code: "invalid_uid" },
    });
  });

  test("tells what the engine refused, event by event", async () => {
    const { post, engine } = await withWebhook();
    engine.state.failure = new Problem("user_full", "full");
    const { json: answer } = await post("/v1/events/batch", [event(), event({ event_id: "other" })]);
    expect(answer.results).toMatchObject([
      { error: { code: "user_full", status: 429, retryable: true } },
      { accepted: {} },
    ]);
  });
});

describe("a body that is too large", () => {
  const limits = { payloadBytes: 10_000, batchBytes: 30_000 };
  const text = (bytes: number) => "x".repeat(bytes);

  test("is refused, and one that just fits is not", async () => {
    const { post } = await withWebhook({ limits });
    expect((await post("/v1/publish/user.created", text(10_000))).status).toBe(202);
    expect((await post("/v1/events", event({ payload: text(9_998) }))).status).toBe(202);
    for (const [path, body] of [
      ["/v1/publish/user.created", text(10_001)],
      ["/v1/events", event({ payload: text(9_999) })],
      ["/v1/events", event({ payload: text(20_000) })],
      ["/v1/events/batch", [event({ payload: text(40_000) })]],
      ["/v1/webhooks", { ...hook, description: text(300_000) }],
    ] as const) {
      expect(await post(path, body)).toMatchObject({ status: 413, json: { code: "payload_too_large" } });
    }
    const { json: batch } = await post("/v1/events/batch", [event({ payload: text(9_999) }), event()]);
    expect(batch.results).toMatchObject([
      { error: { code: "payload_too_large", field: "payload" } },
      { accepted: {} },
    ]);
  });
});

test("the published schema and the scanner agree on what an event is", () => {
  const schema = Compile(EventPublish);
  const value = fc.oneof(
    fc.constantFrom("a", "*", "", "a b", "x.y", "hk_1"),
    fc.integer(),
    fc.constant(null),
    fc.jsonValue(),
  );
  const body = fc.record(
    { event_id: value, payload: fc.jsonValue(), event_uid: value, user_id: value, extra: value },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(body, (given) => {
      let isTaken = false;
      try {
        const { eventId, eventUid, userId } = parseEnvelope(Buffer.from(JSON.stringify(given)));
        isTaken =
          isEventId(eventId) &&
          (eventUid === null || isEventUid(eventUid)) &&
          (userId === null || userId === "*" || isUserId(userId));
      } catch (error) {
        expect(error).toBeInstanceOf(Problem);
      }
      expect(schema.Check(JSON.parse(JSON.stringify(given)))).toBe(isTaken);
    }),
  );
});
