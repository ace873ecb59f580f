import { readFileSync } from "node:fs";
import { Compile } from "typebox/compile";
import { describe, expect, test } from "vitest";
import { OPERATIONAL_SCHEMAS } from "../../src/api/operational-schemas.ts";
import { OPERATIONAL_EVENTS, type OperationalEventId } from "../../src/domain/operational-event.ts";
import { until } from "../support/world.ts";
import { setupDirector } from "./director-world.ts";
import { type AnyWorld, hook, setup } from "./world.ts";

const own = { event_id: "hookd.*", callback_url: "https://ops.example.com/hookd" };

describe.each([
  ["an engine in memory", setup],
  ["the director", setupDirector],
])("hookd's own events, over %s", (_, makeWorld) => {
  test("are registered for with an admin key, for the operator and nobody else", async () => {
    const { call, admin }: AnyWorld = await makeWorld();
    const made = await call("POST", "/v1/webhooks", { key: admin, body: own });
    expect(made).toMatchObject({ status: 201, json: { user_id: "hookd.operator", event_id: "hookd.*" } });
    const body = { ...own, event_id: "hookd.disk.low", user_id: "hookd.operator" };
    expect((await call("PUT", "/v1/webhooks", { key: admin, body })).status).toBe(201);
    expect((await call("PUT", "/v1/webhooks", { key: admin, body })).status).toBe(200);
    const listed = await call("GET", "/v1/webhooks?user_id=hookd.operator", { key: admin });
    expect(listed.json.data).toHaveLength(2);
    for (const user_id of ["default", "acme"]) {
      const refused = await call("POST", "/v1/webhooks", { key: admin, body: { ...own, user_id } });
      expect(refused).toMatchObject({ status: 400, json: { code: "invalid_field", field: "user_id" } });
    }
    const other = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { ...hook, user_id: "hookd.operator" },
    });
    expect(other).toMatchObject({ status: 400, json: { code: "invalid_field", field: "user_id" } });
  });

  test("are forbidden to a user's key, whichever way it asks", async () => {
    const world: AnyWorld = await makeWorld();
    const { call, keyFor } = world;
    for (const user of ["acme", "default"]) {
      const key = await keyFor(user);
      const { json: webhook } = await call("POST", "/v1/webhooks", { key, body: hook });
      for (const event_id of ["hookd.*", "hookd.webhook.*", ...OPERATIONAL_EVENTS]) {
        const answers = [
          await call("POST", "/v1/webhooks", { key, body: { ...own, event_id } }),
          await call("PUT", "/v1/webhooks", { key, body: { ...own, event_id } }),
          await call("PATCH", `/v1/webhooks/${webhook.id}`, { key, body: { event_id } }),
        ];
        for (const answer of answers) {
          expect(answer).toMatchObject({ status: 403, json: { code: "forbidden", field: "event_id" } });
        }
      }
    }
  });

  test("are nobody's by a change of a webhook, not even an admin's", async () => {
    const { call, admin }: AnyWorld = await makeWorld();
    const { json: users } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const { json: operators } = await call("POST", "/v1/webhooks", { key: admin, body: own });
    for (const [id, event_id] of [
      [users.id, "hookd.disk.low"],
      [operators.id, "order.paid"],
    ]) {
      const answer = await call("PATCH", `/v1/webhooks/${id}`, { key: admin, body: { event_id } });
      expect(answer).toMatchObject({ status: 400, json: { code: "invalid_field", field: "event_id" } });
    }
    const narrowed = await call("PATCH", `/v1/webhooks/${operators.id}`, {
      key: admin,
      body: { event_id: "hookd.disk.low" },
    });
    expect(narrowed.status).toBe(200);
  });

  test("are published by nobody, and no key is made for who gets them", async () => {
    const { call, admin }: AnyWorld = await makeWorld();
    await call("POST", "/v1/webhooks", { key: admin, body: own });
    for (const event_id of [...OPERATIONAL_EVENTS, "hookd.other"]) {
      for (const user_id of [undefined, "*"]) {
        const answer = await call("POST", "/v1/events", {
          key: admin,
          body: { event_id, payload: 1, user_id },
        });
        expect(answer).toMatchObject({ status: 400, json: { code: "invalid_field", field: "event_id" } });
      }
    }
    const named = { event_id: "a", payload: 1, user_id: "hookd.operator" };
    expect((await call("POST", "/v1/events", { key: admin, body: named })).status).toBe(400);
    const key = { user_id: "hookd.operator", scopes: ["read"] };
    expect((await call("POST", "/v1/keys", { key: admin, body: key })).status).toBe(400);
  });
});

test("an operator's webhook, deliveries and events are seen by admin keys alone", async () => {
  const world = await setupDirector();
  const { call, admin, keyFor } = world;
  const user = await keyFor("default");
  const { json: webhook } = await call("POST", "/v1/webhooks", { key: admin, body: own });
  const { json: users } = await call("POST", "/v1/webhooks", { key: user, body: { ...hook, event_id: "*" } });
  await call("POST", `/v1/webhooks/${users.id}/disable`, { key: user });
  const delivery = await until("it is told", async () => {
    const { json } = await call("GET", `/v1/deliveries?webhook_id=${webhook.id}`, { key: admin });
    return json.data[0];
  });
  expect(delivery).toMatchObject({ event_id: "hookd.webhook.disabled", user_id: "hookd.operator" });
  const paths = [
    `/v1/webhooks/${webhook.id}`,
    `/v1/webhooks/${webhook.id}/secret`,
    `/v1/deliveries/${delivery.id}`,
    `/v1/deliveries?webhook_id=${webhook.id}`,
    `/v1/events/${delivery.event_uid}?user_id=hookd.operator`,
    "/v1/deliveries?user_id=hookd.operator",
  ];
  for (const path of paths) {
    expect((await call("GET", path, { key: admin })).status, path).toBe(200);
    expect((await call("GET", path, { key: user })).status, path).toBe(404);
  }
  expect((await call("GET", "/v1/deliveries", { key: user })).json.data).toEqual([]);
  expect((await call("DELETE", `/v1/webhooks/${webhook.id}`, { key: user })).status).toBe(404);
  expect(world.receiver.received.every(({ webhookId }) => webhookId !== users.id)).toBe(true);
});

test("the OpenAPI document has the body of each", async () => {
  const { call } = await setup();
  const { json } = await call("GET", "/v1/openapi.json");
  expect(Object.keys(json.webhooks)).toEqual([...OPERATIONAL_EVENTS]);
  for (const eventId of OPERATIONAL_EVENTS) {
    const { schema } = json.webhooks[eventId].post.requestBody.content["application/json"];
    const { properties } = json.components.schemas[schema.$ref.split("/").at(-1)];
    expect(properties.type.enum).toEqual([eventId]);
  }
});

test("docs/OPERATIONAL-EVENTS.md names each, and shows payloads as their schemas say", () => {
  const text = readFileSync(new URL("../../docs/OPERATIONAL-EVENTS.md", import.meta.url), "utf8");
  for (const eventId of OPERATIONAL_EVENTS) expect(text).toContain(`| \`${eventId}\` |`);
  const shown = [...text.matchAll(/```json\n(.*?)```/gs)].map(([, json = ""]) => JSON.parse(json));
  expect(shown.length).toBeGreaterThan(2);
  for (const body of shown) {
    const { schema } = OPERATIONAL_SCHEMAS[body.type as OperationalEventId];
    expect([...Compile(schema).Errors(body)]).toEqual([]);
  }
});
