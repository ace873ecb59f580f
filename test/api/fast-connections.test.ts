import type { Socket } from "node:net";
import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { readHead } from "../../src/api/request-head.ts";
import { open, statuses } from "./line.ts";
import { setup } from "./world.ts";

async function world() {
  const made = await setup();
  const body = { event_id: "user.created", user_id: "acme", callback_url: "https://example.com/" };
  await made.call("POST", "/v1/webhooks", { key: made.admin, body });
  const { port } = await made.api.listen();
  const publish = (payload: string, uid?: string) =>
    `POST /v1/publish/user.created?user_id=acme HTTP/1.1\r\nHost: hookd\r\nAuthorization: Bearer ${made.admin.text}\r\n` +
    `Content-Type: application/json\r\n${uid === undefined ? "" : `Idempotency-Key: ${uid}\r\n`}` +
    `Content-Length: ${Buffer.byteLength(payload)}\r\n\r\n${payload}`;
  return { ...made, port, publish };
}

test("requests that come together are answered in their order, each once", async () => {
  const { port, publish, engine } = await world();
  const line = open(port);
  const uids = Array.from({ length: 20 }, (_, index) => `uid-${index}`);
  await line.send(uids.map((uid) => publish(`{"of":"${uid}"}`, uid)).join(""));
  const text = await line.answers(20);
  expect([...text.matchAll(/"event_uid":"(uid-\d+)"/g)].map((match) => match[1])).toEqual(uids);
  expect(engine.state.published).toHaveLength(20);
});

test("in a Node without shared reads it is the same, and the connection is handed over as well", async () => {
  const { port, publish, engine } = await world();
  const fields = vi.spyOn(Object, "getOwnPropertySymbols").mockReturnValue([]);
  onTestFinished(() => fields.mockRestore());
  const line = open(port);
  await line.send(publish("{}") + publish("[]"));
  await line.answers(2);
  await line.send(`GET /healthz HTTP/1.1\r\nHost: hookd\r\n\r\n${publish("null")}`);
  expect(statuses(await line.answers(4))).toEqual([202, 202, 200, 202]);
  expect(fields).toHaveBeenCalled();
  expect(engine.state.published.map(({ payload }) => Buffer.from(payload).toString())).toEqual([
    "{}",
    "[]",
    "null",
  ]);
});

test("a connection that was handed over is a stream like any other", async () => {
  const { api, port, publish } = await world();
  const seen: string[] = [];
  // Who listens for data makes Node read the stream, where its parser would have read past it.
  api.server.server.once("request", ({ socket }) => {
    socket.on("data", (chunk: Buffer) => void seen.push(chunk.toString("latin1")));
  });
  const line = open(port);
  await line.send("GET /healthz HTTP/1.1\r\nHost: hookd\r\n\r\n");
  await line.answers(1);
  await line.send(publish('{"late":1}'));
  expect(statuses(await line.answers(2))).toEqual([200, 202]);
  expect(seen.join("")).toContain('{"late":1}');
});

test("what waits for a look at the store is not touched by what others send meanwhile", async () => {
  const { port, publish, engine } = await world();
  const { promise, resolve } = Promise.withResolvers<void>();
  engine.state.routesAfter = promise;
  const waiting = open(port);
  await waiting.send(`${publish("[1,2,3]")}GET /healthz HTTP/1.1\r\nHost: hookd\r\n\r\n`);
  const other = open(port);
  await other.send(`GET /healthz HTTP/1.1\r\nHost: ${"h".repeat(1_000)}\r\n\r\n`);
  await other.answers(1);
  resolve();
  expect(statuses(await waiting.answers(2))).toEqual([202, 200]);
  expect(engine.state.published.map(({ payload }) => Buffer.from(payload).toString())).toEqual(["[1,2,3]"]);
});

test("a request may be cut anywhere", async () => {
  const { port, publish, engine } = await world();
  const line = open(port);
  await line.send(publish("{}"));
  await line.answers(1);
  const bytes = publish(`{"text":"${"x".repeat(40)}"}`, "cut");
  for (let at = 1; at < bytes.length; at += 7) {
    const cut = open(port);
    await cut.send(bytes.slice(0, at));
    await new Promise((resolve) => setImmediate(resolve));
    await cut.send(bytes.slice(at));
    expect(statuses(await cut.answers(1))).toEqual([202]);
  }
  expect(new Set(engine.state.published.map(({ payload }) => Buffer.from(payload).toString())).size).toBe(2);
});

test("other calls on the same connection are answered too, after what was asked before, and publishing goes on", async () => {
  const { port, publish, admin } = await world();
  const line = open(port);
  const list = `GET /v1/webhooks HTTP/1.1\r\nHost: hookd\r\nAuthorization: Bearer ${admin.text}\r\n\r\n`;
  await line.send(publish('{"n":1}') + list + publish('{"n":2}'));
  expect(statuses(await line.answers(3))).toEqual([202, 200, 202]);
  await line.send(publish('{"n":3}'));
  expect(statuses(await line.answers(4))).toEqual([202, 200, 202, 202]);
});

test("what is no HTTP is refused as Node's server refuses it, and nothing behind it is read", async () => {
  const { port, publish, engine } = await world();
  const line = open(port);
  await line.send(`NONSENSE\r\n\r\n${publish("{}")}`);
  await line.ended();
  expect(statuses(line.text)).toEqual([400]);
  expect(engine.state.published).toHaveLength(0);
});

test("a length that can be read in two ways is never read here", async () => {
  const { port, publish, engine } = await world();
  for (const line of [
    "Content-Length: 3\r\nContent-Length: 5",
    "Content-Length: 3\r\nTransfer-Encoding: chunked",
    "Content-Length: +3",
    "Content-Length : 3",
    "Content-Length: 3\r\n folded",
    "Content-Length: 3\rX: y",
  ]) {
    const connection = open(port);
    await connection.send(publish("abc").replace("Content-Length: 3", line));
    await connection.ended();
    expect({ line, statuses: statuses(connection.text) }).toEqual({ line, statuses: [400] });
  }
  expect(engine.state.published).toHaveLength(0);
});

test("a client that ends its side still gets its answer, and the connection is closed", async () => {
  const { port, publish } = await world();
  const line = open(port);
  line.socket.end(publish("{}"));
  await line.ended();
  expect(statuses(line.text)).toEqual([202]);
});

test("a stranger is refused before its body is read, and gets no memory for it", async () => {
  const { port, publish, api } = await world();
  const line = open(port);
  const head = publish("x".repeat(200_000))
    .replace(/Bearer \S+/, "Bearer hk_wrong")
    .split("\r\n\r\n")[0];
  await line.send(`${head}\r\n\r\nx`);
  expect(statuses(await line.answers(1))).toEqual([401]);
  expect(api.context.counters.accepted).toBe(0);
});

test("a stop lets idle connections end", async () => {
  const { port, publish, api } = await world();
  const idle = open(port);
  await idle.send(publish("{}"));
  await idle.answers(1);
  await api.close();
  await idle.ended();
  expect(statuses(idle.text)).toEqual([202]);
});

test("a stop closes an idle connection whose client leaves its side open", async () => {
  const { port, publish, api } = await world();
  const idle = open(port, { allowHalfOpen: true });
  await idle.send(publish("{}"));
  await idle.answers(1);
  await api.close();
  expect(idle.socket.writableEnded).toBe(false);
});

test("a connection that is left open after its last answer keeps a stop waiting until it is destroyed", async () => {
  const { port, publish, api, engine } = await world();
  const [asked, committed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { publish: store } = engine;
  engine.publish = async (request) => {
    asked.resolve();
    await committed.promise;
    return store(request);
  };
  const taken = Promise.withResolvers<Socket>();
  api.server.server.once("connection", taken.resolve);
  const line = open(port, { allowHalfOpen: true });
  await line.send(publish("{}"));
  await asked.promise;
  const closed = api.close();
  committed.resolve();
  await line.ended();
  expect(statuses(line.text)).toEqual([202]);
  // It asks once more, which nobody reads: Node's server could not answer it either.
  let handedOver = 0;
  api.server.server.on("request", () => {
    handedOver += 1;
  });
  const socket = await taken.promise;
  const before = socket.bytesRead;
  await line.send(publish("{}"));
  while (socket.bytesRead === before && !socket.destroyed) await new Promise(setImmediate);
  await new Promise(setImmediate);
  expect([handedOver, socket.destroyed]).toEqual([0, false]);
  api.destroyConnections();
  await closed;
  expect(engine.state.published).toHaveLength(1);
});

test("hundreds of requests in one go, unread, hold no more than the limit in memory, and lose none", async () => {
  const { port, publish, engine } = await world();
  const line = open(port);
  await line.send(publish("{}", "warm"));
  await line.answers(1);
  await line.send(Array.from({ length: 300 }, (_, n) => publish(`{"n":${n}}`, `many-${n}`)).join(""));
  const seen = statuses(await line.answers(301));
  // Node's server refuses, and ends the connection, once too many wait: what it took is answered.
  const good = seen.filter((status) => status === 202).length;
  expect(good).toBe(engine.state.published.length);
  expect(seen.filter((status) => status !== 202 && status !== 503)).toEqual([]);
});

test("a head is read as its lines say, whatever else is in it", () => {
  const name = fc
    .stringMatching(/^[A-Za-z][A-Za-z-]{0,20}$/)
    .filter((text) => !/^(te|trailer|connection|expect|upgrade|host|keep-alive)$/i.test(text));
  const value = fc.stringMatching(/^[\x21-\x7e]{1,30}$/);
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (others) => {
      const known =
        /^(authorization|content-length|content-type|idempotency-key|x-request-id|transfer-encoding|content-encoding|proxy-connection|http.*)$/i;
      const lines = others
        .filter(([header]) => !known.test(header))
        .map(([header, text]) => `${header}: ${text}\r\n`);
      const head = readHead(
        `POST /v1/events HTTP/1.1\r\nHOST: a\r\n${lines.join("")}content-length:\t7 \r\n`,
      );
      expect(head).toEqual({ url: "/v1/events", headers: { host: "a", "content-length": "7" } });
    }),
  );
});

test("random bytes are no head", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
      const head = readHead(text);
      expect(head === null || text.startsWith("POST /")).toBe(true);
    }),
  );
  for (const head of [
    "POST /v1/events HTTP/1.0\r\nhost: a\r\n",
    "POST /v1/events HTTP/1.1\nhost: a\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\nb: c\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\0\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: \u00e9\r\n",
    "POST /v1/events HTTP/1.1\r\n",
    "POST http://a/v1/events HTTP/1.1\r\nhost: a\r\n",
    "post /v1/events HTTP/1.1\r\nhost: a\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\r\n: b\r\n",
    "POST /v1/events HTTP/1.1\r\nhost: a\r\nb : c\r\n",
  ]) {
    expect({ head, read: readHead(head) }).toEqual({ head, read: null });
  }
});
