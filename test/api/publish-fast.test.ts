import { connect } from "node:net";
import { expect, test } from "vitest";
import { createFastPublish } from "../../src/api/publish-fast.ts";
import { Problem } from "../../src/domain/problem.ts";
import { setup, type World } from "./world.ts";

interface Raw {
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly key?: string;
}

interface Answered {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

async function listening(world: World): Promise<number> {
  return (await world.api.listen()).port;
}

/** Over a real connection, where the short way is; the body in pieces of `pieceBytes`. */
function overSocket(
  port: number,
  { path, headers = {}, body = "", key }: Raw,
  pieceBytes = 65_536,
): Promise<Answered> {
  const bytes = Buffer.from(body);
  const all: Record<string, string> = { host: "hookd", ...headers };
  if (key !== undefined) all.authorization = `Bearer ${key}`;
  if (all["transfer-encoding"] === undefined) all["content-length"] ??= String(bytes.length);
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setNoDelay(true).on("error", reject);
    // The connection is closed from here, when the answer is whole: the short way keeps it open.
    socket.on("data", (chunk) => {
      text += chunk.toString("utf8");
      const answer = parsed(text);
      if (Buffer.byteLength(answer.body) < Number(answer.headers["content-length"] ?? Number.NaN)) return;
      if (!text.includes("\r\n\r\n")) return;
      socket.destroy();
      resolve(answer);
    });
    socket.write(`POST ${path} HTTP/1.1\r\n${head.join("")}\r\n`);
    let at = 0;
    const send = () => {
      if (at >= bytes.length) return;
      const piece = bytes.subarray(at, at + pieceBytes);
      at += piece.length;
      socket.write(piece, () => setImmediate(send));
    };
    send();
  });
}

function parsed(text: string): Answered {
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [line = "", ...lines] = head.split("\r\n");
  const headers = Object.fromEntries(
    lines.map((one) => [one.slice(0, one.indexOf(":")).toLowerCase(), one.slice(one.indexOf(":") + 2)]),
  );
  return { status: Number(line.split(" ")[1]), headers, body: rest.join("\r\n\r\n") };
}

/** Through fastify alone. */
async function fullWay(world: World, { path, headers = {}, body = "", key }: Raw): Promise<Answered> {
  const answer = await world.api.server.inject({
    method: "POST",
    url: path,
    headers: { ...headers, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    payload: body,
  });
  return { status: answer.statusCode, headers: answer.headers as Record<string, string>, body: answer.body };
}

/** Ids differ from call to call; how a connection is kept is the server's. */
function comparable({ status, headers, body }: Answered) {
  const named = /(?:evt|dlv|wh|req|hk)_[0-9a-z_]+/g;
  const { "content-type": type, "retry-after": retryAfter, "www-authenticate": asks } = headers;
  const nosniff = headers["x-content-type-options"];
  return { status, type, retryAfter, asks, nosniff, body: body.replace(named, "ID") };
}

async function worldWithWebhook() {
  const world = await setup({ limits: { payloadBytes: 2_000, batchBytes: 100_000, publishPerKey: 0 } });
  const body = { event_id: "user.created", user_id: "acme", callback_url: "https://example.com/" };
  const made = await world.call("POST", "/v1/webhooks", { key: world.admin, body });
  expect(made.status).toBe(201);
  return world;
}

test("the short way answers as the full one does, to good requests and to bad ones", async () => {
  const world = await worldWithWebhook();
  const port = await listening(world);
  const reader = await world.keyFor("acme", "read");
  const others = await world.keyFor("other");
  const json = { "content-type": "application/json" };
  const key = world.admin.text;
  const publish = "/v1/publish/user.created?user_id=acme";
  const envelope = (value: unknown) => JSON.stringify(value);
  const requests: Raw[] = [
    { path: publish, headers: json, body: '{"a":1.0}', key },
    { path: publish, headers: { "content-type": "text/plain" }, body: "\u0000 anything", key },
    { path: publish, body: "no type", key },
    ...[
      "json",
      "a/",
      "/b",
      "a/b;",
      "a/b; c",
      "a/b; c=d",
      'a/b; c="d"',
      "a/b;c=d ; e=f",
      "a b/c",
      "a/b, c/d",
    ].map((type) => ({ path: publish, headers: { "content-type": type }, body: "{}", key })),
    { path: publish, headers: json, body: "", key },
    { path: "/publish/user.created?user_id=acme", headers: json, body: "{}", key },
    { path: "/v1/publish/user%2Ecreated?user_id=acme", headers: json, body: "{}", key },
    { path: "/v1/publish/nobody.wants?user_id=acme", headers: json, body: "{}", key },
    { path: "/v1/publish/hookd.mine?user_id=acme", headers: json, body: "{}", key },
    { path: "/v1/publish/.bad?user_id=acme", headers: json, body: "{}", key },
    { path: `${publish}&more=1`, headers: json, body: "{}", key },
    { path: "/v1/publish/user.created?user_id=*", headers: json, body: "{}", key },
    { path: "/v1/publish/user.created", headers: json, body: "{}", key },
    { path: publish, headers: json, body: "{}", key: reader.text },
    { path: publish, headers: json, body: "{}", key: others.text },
    { path: publish, headers: json, body: "{}" },
    { path: publish, headers: json, body: "{}", key: "hk_wrong" },
    { path: publish, headers: json, body: "x".repeat(2_000), key },
    { path: publish, headers: json, body: "x".repeat(2_001), key },
    { path: publish, headers: { ...json, "content-encoding": "gzip" }, body: "x", key },
    { path: publish, headers: { ...json, "idempotency-key": "no good!" }, body: "{}", key },
    { path: publish, headers: { ...json, "idempotency-key": '"mine-1"' }, body: "{}", key },
    { path: publish, headers: { ...json, "idempotency-key": '"mine-1"' }, body: '{"other":1}', key },
    { path: publish, headers: { ...json, "x-request-id": "req_given_1" }, body: "{}", key },
    {
      path: "/v1/events",
      headers: json,
      body: envelope({ event_id: "user.created", user_id: "acme", payload: 1 }),
      key,
    },
    {
      path: "/events",
      headers: json,
      body: envelope({ event_id: "user.created", user_id: "acme", payload: {} }),
      key,
    },
    {
      path: "/v1/events",
      headers: json,
      body: envelope({ event_id: "user.created", nonsense: 1, payload: 1 }),
      key,
    },
    { path: "/v1/events", headers: json, body: '{"event_id": "user.created", "payload": }', key },
    { path: "/v1/events", headers: json, body: envelope({ event_id: "hookd.x", payload: 1 }), key },
    { path: "/v1/events", headers: { "content-type": "text/plain" }, body: "{}", key },
    { path: "/v1/events?a=1", headers: json, body: envelope({ event_id: "a", payload: 1 }), key },
  ];
  await fullWay(world, { path: publish, headers: { ...json, "idempotency-key": "mine-1" }, body: "{}", key });
  for (const request of requests) {
    const full = await fullWay(world, request);
    const short = await overSocket(port, request);
    expect({ request, ...comparable(short) }).toEqual({ request, ...comparable(full) });
    if (request.headers?.["x-request-id"]) expect(short.headers["x-request-id"]).toBe("req_given_1");
    else expect(short.headers["x-request-id"]).toMatch(/^req_/);
  }
});

test("a body that comes in pieces is the payload as it was sent", async () => {
  const world = await worldWithWebhook();
  const port = await listening(world);
  await overSocket(port, { path: "/v1/publish/warm.up", headers: {}, body: "x", key: world.admin.text });
  const payload = Buffer.from(Array.from({ length: 1_777 }, (_, at) => (at * 31) % 256));
  const headers = { "content-type": "application/octet-stream" };
  const path = "/v1/publish/user.created?user_id=acme";
  const answer = await overSocket(port, { path, headers, body: payload, key: world.admin.text }, 100);
  expect(answer.status).toBe(202);
  const published = world.engine.state.published.at(-1);
  expect(Buffer.from(published?.payload ?? []).equals(payload)).toBe(true);
});

test("what the engine refuses on the short way is told with the time to come back, and counted", async () => {
  const world = await worldWithWebhook();
  const port = await listening(world);
  const request = {
    path: "/v1/publish/user.created?user_id=acme",
    headers: { "content-type": "application/json" },
    body: "{}",
    key: world.admin.text,
  };
  await overSocket(port, request);
  world.engine.state.failure = new Problem("lane_full", "full", { retryAfterSeconds: 7 });
  const before = world.api.context.counters.refused.lane_full ?? 0;
  const short = await overSocket(port, request);
  expect(short.status).toBe(429);
  expect(short.headers["retry-after"]).toBe("7");
  expect(comparable(short)).toEqual(comparable(await fullWay(world, request)));
  expect(world.api.context.counters.refused.lane_full).toBe(before + 2);
});

test("the short way takes what publishers send, and leaves all else alone", async () => {
  const world = await worldWithWebhook();
  const fast = createFastPublish(world.api.context, () => false);
  const base = { authorization: "Bearer hk_x", "content-type": "application/json", "content-length": "2" };
  const takes = (url: string, headers: Record<string, string> = {}) =>
    fast.take(url, { ...base, ...headers }) !== null;
  expect(takes("/v1/publish/user.created?user_id=acme")).toBe(true);
  expect(takes("/publish/user.created")).toBe(true);
  expect(takes("/v1/events")).toBe(true);
  expect(takes("/v1/events/batch")).toBe(false);
  expect(takes("/v1/publish/a%20b")).toBe(false);
  expect(takes("/v1/publish/hookd.mine")).toBe(false);
  expect(takes("/v1/events", { "content-length": "999999" })).toBe(false);
  expect(takes("/v1/events", { "content-length": "0" })).toBe(false);
  expect(takes("/v1/events", { "content-type": "text/plain" })).toBe(false);
  expect(takes("/v1/publish/a", { "content-type": "text/plain; charset=utf-8" })).toBe(true);
  expect(takes("/v1/publish/a", { "content-type": "text" })).toBe(false);
});
