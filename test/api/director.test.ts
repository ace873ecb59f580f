import { expect, test } from "vitest";
import { until } from "../support/world.ts";
import { setupDirector } from "./director-world.ts";

const url = "https://example.com/hooks";

async function withWebhooks() {
  const world = await setupDirector();
  const { call, admin } = world;
  const get = async (path: string) => (await call("GET", path, { key: admin })).json;
  const post = (path: string, body?: unknown, headers?: Record<string, string>) =>
    call("POST", path, {
      key: admin,
      ...(body === undefined ? {} : { body }),
      ...(headers ? { headers } : {}),
    });
  const { json: webhook } = await post("/v1/webhooks", { event_id: "user.created", callback_url: url });
  const jobDone = (id: string) =>
    until(`${id} is done`, async () => ((await get(`/v1/jobs/${id}`)).status === "done" ? true : null));
  const settled = (id: string, status: string) =>
    until(`${id} is ${status}`, async () => {
      const delivery = await get(`/v1/deliveries/${id}`);
      return delivery.status === status ? delivery : null;
    });
  return { ...world, get, post, webhook, jobDone, settled };
}

test("an event is accepted, delivered byte for byte, and shown with its attempt", async () => {
  const { post, get, settled, receiver, webhook } = await withWebhooks();
  const payload = '{ "a": 1.0, "n": 12345678901234567890 }';
  const answer = await post("/v1/events", `{"event_id":"user.created","payload":${payload}}`, {
    "content-type": "application/json",
  });
  const delivery = await settled(answer.json.deliveries[0].id, "success");
  expect(delivery).toMatchObject({
    event_uid: answer.json.event_uid,
    webhook_id: webhook.id,
    attempt_count: 1,
    response_code: 200,
    attempts: [{ number: 1, verdict: "success", status_code: 200, response_excerpt: "answer 200" }],
  });
  expect(Buffer.from(receiver.received[0]!.payload).toString()).toBe(payload);
  const event = await get(`/v1/events/${answer.json.event_uid}`);
  expect(event).toMatchObject({
    event_uid: answer.json.event_uid,
    payload: JSON.parse(payload),
    delivery_count: 1,
  });
  expect(event.deliveries[0].id).toBe(delivery.id);
  expect((await get(`/v1/webhooks/${webhook.id}/deliveries?status=success`)).data).toHaveLength(1);
});

test("a hundred at once under one uid are one event, and other content is a conflict", async () => {
  const { post, receiver, settled } = await withWebhooks();
  const event = { event_id: "user.created", payload: { id: 1 }, event_uid: "same" };
  const answers = await Promise.all(Array.from({ length: 100 }, () => post("/v1/events", event)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 100 }, () => 202));
  expect(answers.filter(({ json }) => !json.duplicate)).toHaveLength(1);
  expect(new Set(answers.map(({ json }) => json.deliveries[0].id)).size).toBe(1);
  await settled(answers[0]!.json.deliveries[0].id, "success");
  expect(receiver.received).toHaveLength(1);
  expect(await post("/v1/events", { ...event, payload: { id: 2 } })).toMatchObject({
    status: 409,
    json: { code: "uid_conflict" },
  });
  expect(await post("/v1/publish/user.created", '{"id":1}', { "idempotency-key": "same" })).toMatchObject({
    status: 409,
  });
});

test("what died is listed, grouped, counted, replayed by a job, and delivered", async () => {
  const { post, get, settled, receiver, jobDone, webhook } = await withWebhooks();
  receiver.status = 404;
  const items = Array.from({ length: 20 }, (_, id) => ({ event_id: "user.created", payload: { id } }));
  const { json: batch } = await post("/v1/events/batch", items);
  const ids: string[] = batch.results.map(
    (one: { accepted: { deliveries: { id: string }[] } }) => one.accepted.deliveries[0]!.id,
  );
  for (const id of ids)
    expect(await settled(id, "dead")).toMatchObject({ reason: "permanent", response_code: 404 });
  expect((await get("/v1/dlq?reason=permanent&limit=7")).data).toHaveLength(7);
  expect((await get("/v1/dlq?group=webhook,reason")).data).toEqual([
    { webhook_id: webhook.id, reason: "permanent", count: 20 },
  ]);
  expect((await post("/v1/dlq/replay", { all: true, dry_run: true })).json).toMatchObject({ count: 20 });
  receiver.status = 200;
  const { json: job } = await post("/v1/dlq/replay", { webhook_id: webhook.id });
  await jobDone(job.job_id);
  for (const id of ids) expect((await settled(id, "success")).attempts).toHaveLength(2);
  expect((await get("/v1/jobs")).data).toMatchObject([
    { id: job.job_id, kind: "replay", total: 20, done: 20 },
  ]);
});

test("the dead of a pattern's webhook are counted under the pattern", async () => {
  const { post, get, settled } = await withWebhooks();
  const { json: webhook } = await post("/v1/webhooks", { event_id: "order.*", callback_url: url });
  await post(`/v1/webhooks/${webhook.id}/disable`);
  const { json } = await post("/v1/events", { event_id: "order.paid", payload: 1 });
  await settled(json.deliveries[0].id, "dead");
  const groups = [{ event_id: "order.*", count: 1 }];
  expect((await get("/v1/dlq?group=event")).data).toEqual(groups);
  expect((await get("/v1/dlq?group=event&since=2h")).data).toEqual(groups);
});

test("a webhook that is switched off kills what comes, and gives it back when switched on", async () => {
  const { post, settled, webhook, get } = await withWebhooks();
  await post(`/v1/webhooks/${webhook.id}/disable`);
  const { json } = await post("/v1/events", { event_id: "user.created", payload: 1 });
  expect(await settled(json.deliveries[0].id, "dead")).toMatchObject({ reason: "disabled", attempts: [] });
  await post(`/v1/webhooks/${webhook.id}/enable`, { replay: true });
  await settled(json.deliveries[0].id, "success");
  expect(await get(`/v1/webhooks/${webhook.id}`)).toMatchObject({
    is_active: true,
    live: { breaker: "closed", backlog: 0 },
  });
});

test("a delivery is retried, cancelled and refused as its state allows", async () => {
  const { post, settled, receiver, webhook } = await withWebhooks();
  await post(`/v1/webhooks/${webhook.id}/pause`);
  const { json } = await post("/v1/events", { event_id: "user.created", payload: 1 });
  const [{ id }] = json.deliveries;
  expect((await post(`/v1/deliveries/${id}/cancel`)).json).toMatchObject({
    status: "dead",
    reason: "cancelled",
  });
  expect(await post(`/v1/deliveries/${id}/cancel`)).toMatchObject({
    status: 409,
    json: { code: "not_open" },
  });
  await post(`/v1/webhooks/${webhook.id}/resume`);
  await post(`/v1/deliveries/${id}/retry`);
  await settled(id, "success");
  expect(await post(`/v1/deliveries/${id}/retry`)).toMatchObject({
    status: 409,
    json: { code: "already_delivered" },
  });
  expect(receiver.received).toHaveLength(1);
});

test("a broadcast goes to every user's webhook, and a large one by a job", async () => {
  const { post, jobDone, receiver } = await withWebhooks();
  for (let user = 0; user < 120; user += 1) {
    const made = await post("/v1/webhooks", {
      event_id: user % 2 ? "user.*" : "*",
      callback_url: url,
      user_id: `u${user}`,
    });
    expect(made.status).toBe(201);
  }
  const few = await post("/v1/events", { event_id: "other.thing", payload: 1, user_id: "*" });
  expect(few.json).toMatchObject({ delivery_count: 60 });
  const many = await post("/v1/publish/user.created?user_id=*", "x");
  expect(many).toMatchObject({ status: 202, json: { fan_out: expect.stringMatching(/^job_/) } });
  await jobDone(many.json.fan_out);
  await until("all have it", () => receiver.received.length === 60 + 121 || null);
});

test("webhooks conflict, change their event, and go, and publishing sees it at once", async () => {
  const { post, call, admin, webhook } = await withWebhooks();
  const again = await post("/v1/webhooks", { event_id: "user.created", callback_url: url });
  expect(again).toMatchObject({ status: 409, json: { code: "webhook_exists", webhook_id: webhook.id } });
  const count = async (event_id: string) =>
    (await post("/v1/events", { event_id, payload: 1 })).json.delivery_count;
  expect([await count("user.created"), await count("order.paid")]).toEqual([1, 0]);
  await call("PATCH", `/v1/webhooks/${webhook.id}`, { key: admin, body: { event_id: "order.*" } });
  expect([await count("user.created"), await count("order.paid")]).toEqual([0, 1]);
  const put = await call("PUT", "/v1/webhooks", {
    key: admin,
    body: { event_id: "order.*", callback_url: `${url}/2` },
  });
  expect(put).toMatchObject({ status: 200, json: { id: webhook.id, callback_url: `${url}/2` } });
  await call("DELETE", `/v1/webhooks/${webhook.id}`, { key: admin });
  expect(await count("order.paid")).toBe(0);
  expect((await post("/v1/webhooks", { event_id: "order.*", callback_url: url })).status).toBe(201);
});

test("a test sends a sample and answers with the attempt, leaving no delivery", async () => {
  const { post, get, webhook } = await withWebhooks();
  expect((await post(`/v1/webhooks/${webhook.id}/test`)).json).toMatchObject({
    verdict: "success",
    status_code: 200,
    response_excerpt: "answer 200",
  });
  expect((await get("/v1/deliveries")).data).toEqual([]);
});

test("pages of the log meet without a gap or an overlap while more comes in", async () => {
  const { post, get } = await withWebhooks();
  const publish = (count: number) =>
    post(
      "/v1/events/batch",
      Array.from({ length: count }, () => ({ event_id: "user.created", payload: 1 })),
    );
  await publish(100);
  const ids: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: { data: { id: string }[]; next_cursor: string | null } = await get(
      `/v1/deliveries?limit=30${cursor === "" ? "" : `&cursor=${cursor}`}`,
    );
    ids.push(...page.data.map(({ id }) => id));
    cursor = page.next_cursor;
    await publish(5);
  }
  expect(ids).toHaveLength(100);
  expect(ids).toEqual([...new Set(ids)].sort().reverse());
});

test("switching on a webhook that is on closes its breaker", async () => {
  const { post, get, settled, receiver, webhook } = await withWebhooks();
  receiver.status = 500;
  const at = `/v1/webhooks/${webhook.id}`;
  for (let id = 0; id < 5; id += 1) {
    const { json } = await post("/v1/events", { event_id: "user.created", payload: { id } });
    await settled(json.deliveries[0].id, "retrying");
  }
  expect(await get(at)).toMatchObject({ live: { breaker: "open" } });
  expect((await post(`${at}/enable`)).json).toMatchObject({ is_active: true });
  expect(await get(at)).toMatchObject({ live: { breaker: "closed" } });
});

test("groups of the dead come in one page: what pages them is refused", async () => {
  const { get } = await withWebhooks();
  expect(await get("/v1/dlq?group=reason&limit=5")).toMatchObject({ code: "invalid_field", field: "limit" });
});
