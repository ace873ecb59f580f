import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { open, statuses } from "./line.ts";
import { setup } from "./world.ts";

const ROOM = 1_000;
const BATCH = "/v1/events/batch";
const ONE = "/v1/publish/user.created?user_id=acme";

async function world() {
  const made = await setup({ bodiesBytesMax: ROOM });
  const body = { event_id: "user.created", user_id: "acme", callback_url: "https://example.com/" };
  await made.call("POST", "/v1/webhooks", { key: made.admin, body });
  const { port } = await made.api.listen();
  const head = (path: string, headers: string, key = made.admin.text) =>
    `POST ${path} HTTP/1.1\r\nHost: hookd\r\nAuthorization: Bearer ${key}\r\n` +
    `Content-Type: application/json\r\n${headers}\r\n\r\n`;
  const sized = (path: string, bytes: number) => head(path, `Content-Length: ${bytes}`);
  return { ...made, port, head, sized };
}

/** An event's payload, or a batch of one, of so many bytes. */
function bodyOf(path: string, bytes: number): string {
  const [before, after] =
    path === BATCH ? ['[{"event_id":"user.created","user_id":"acme","payload":"', '"}]'] : ['"', '"'];
  return before + "x".repeat(bytes - before.length - after.length) + after;
}

async function ask(port: number, request: string): Promise<{ status: number | undefined; text: string }> {
  const line = open(port);
  await line.send(request);
  const text = await line.answers(1);
  line.socket.destroy();
  return { status: statuses(text)[0], text };
}

describe.each([
  ["a batch", BATCH],
  ["an event by itself", ONE],
])("%s whose body is still coming", (_name, path) => {
  test("has room for it, and what has none beside it is refused unread, to be sent again", async () => {
    const made = await world();
    const { port, sized, api, engine } = made;
    const slow = await begin(made, path, 600);
    const refused = await ask(port, sized(path, 500));
    expect(refused.text).toMatch(/"code":"overloaded"/);
    expect(refused.text).toMatch(/retry-after: 1\r\n/i);
    expect(refused.status).toBe(503);
    expect(api.context.counters.refused.overloaded).toBe(1);
    expect((await ask(port, sized(path, 400) + bodyOf(path, 400))).status).toBe(202);
    await slow.finish();
    expect(statuses(await slow.line.answers(2))).toEqual([202, 202]);
    expect(engine.state.published).toHaveLength(3);
    expect(await hasAllRoom(made)).toBe(true);
  });

  test("gives it back when its connection ends", async () => {
    const made = await world();
    const slow = await begin(made, path, 600);
    expect(await hasAllRoom(made)).toBe(false);
    const closed = once(slow.socket, "close");
    slow.line.socket.destroy();
    await closed;
    expect(await hasAllRoom(made)).toBe(true);
  });
});

test("a batch gives it back once it is read, while its commit takes its time", async () => {
  const made = await world();
  const { port, sized, engine } = made;
  const { asked, goOn } = heldOnce(engine, "publishMany");
  const batch = ask(port, sized(BATCH, 600) + bodyOf(BATCH, 600));
  await asked.promise;
  expect(await hasAllRoom(made)).toBe(true);
  goOn.resolve();
  expect((await batch).status).toBe(202);
});

test("a request that waits behind another one's answer gives it back when their connection ends", async () => {
  const made = await world();
  const { port, sized, engine } = made;
  const { asked, goOn } = heldOnce(engine, "publishMany");
  const line = open(port);
  const socket = await taken(made, line);
  const first = sized(BATCH, 200) + bodyOf(BATCH, 200);
  await line.send(first);
  await asked.promise;
  const second = sized(BATCH, 600) + bodyOf(BATCH, 600).slice(0, 100);
  await line.send(second);
  await read(socket, first.length + second.length);
  expect(await hasAllRoom(made)).toBe(false);
  const closed = once(socket, "close");
  line.socket.destroy();
  await closed;
  expect(await hasAllRoom(made)).toBe(true);
  goOn.resolve();
});

test("who left while the key was looked up takes none", async () => {
  const made = await world();
  const { port, head, engine } = made;
  const key = await made.keyFor("acme", "publish");
  const { asked, goOn } = heldOnce(engine, "findKey");
  const line = open(port);
  const socket = await taken(made, line);
  await line.send(head(BATCH, "Content-Length: 600", key.text) + bodyOf(BATCH, 600).slice(0, 100));
  await asked.promise;
  const closed = once(socket, "close");
  line.socket.destroy();
  await closed;
  goOn.resolve();
  await setImmediate();
  expect(await hasAllRoom(made)).toBe(true);
});

test("a body that is too long is told so, also where there is no room", async () => {
  const made = await world();
  await begin(made, BATCH, 900);
  expect((await ask(made.port, made.sized(BATCH, 5_000_000))).status).toBe(413);
});

test("a stranger's body for a path that does not exist is not read", async () => {
  const { port, head } = await world();
  const { status } = await ask(port, `${head("/v1/nothing", "Content-Length: 200000", "hk_wrong")}x`);
  expect(status).toBe(404);
});

test("a body that does not say its length has the room that its call may take", async () => {
  const made = await world();
  const { port, head, sized } = made;
  const line = open(port);
  const socket = await taken(made, line);
  const request = `${head(BATCH, "Transfer-Encoding: chunked")}5\r\n[    \r\n`;
  await line.send(request);
  await read(socket, request.length);
  expect((await ask(port, sized(BATCH, 2))).status).toBe(503);
  await line.send("1\r\n]\r\n0\r\n\r\n");
  expect(statuses(await line.answers(1))).toEqual([400]);
  expect(await hasAllRoom(made)).toBe(true);
});

test("no request keeps room, whatever became of it", async () => {
  const made = await world();
  const { port, head, sized, admin } = made;
  const reader = await made.keyFor("acme", "read");
  for (const [status, request] of [
    [202, sized(BATCH, 300) + bodyOf(BATCH, 300)],
    [202, sized(ONE, 300) + bodyOf(ONE, 300)],
    [202, sized(ONE, 0)],
    [400, `${sized(BATCH, 300)}[not JSON${" ".repeat(291)}`],
    [401, head(BATCH, "Content-Length: 300", "hk_wrong") + bodyOf(BATCH, 300)],
    [403, head(BATCH, "Content-Length: 300", reader.text) + bodyOf(BATCH, 300)],
    [404, sized("/v1/nothing", 300) + bodyOf(BATCH, 300)],
    [405, sized("/v1/events/evt_1", 300) + bodyOf(BATCH, 300)],
    [413, sized(BATCH, 5_000_000)],
    [415, sized("/v1/events", 300).replace("application/json", "text/plain") + bodyOf(BATCH, 300)],
    [400, `${sized("/v1/webhooks", 300)}${JSON.stringify({ a: 1 }).padEnd(300)}`],
    [200, `GET /v1/webhooks HTTP/1.1\r\nHost: hookd\r\nAuthorization: Bearer ${admin.text}\r\n\r\n`],
  ] as const) {
    const { text } = await ask(port, request);
    expect({ request: request.slice(0, 40), status: statuses(text)[0] }).toEqual({
      request: request.slice(0, 40),
      status,
    });
    expect(await hasAllRoom(made)).toBe(true);
  }
});

test("what cannot be taken any more when a body is complete is refused as a whole, before it is parsed", async () => {
  const made = await world();
  const slow = await begin(made, BATCH, 600);
  made.engine.isFull = true;
  await slow.finish();
  const text = await slow.line.answers(2);
  expect(statuses(text)).toEqual([202, 503]);
  expect(text).toMatch(/"code":"overloaded"/);
  expect(made.api.context.counters.refused).toEqual({ overloaded: 1 });
});

type Made = Awaited<ReturnType<typeof world>>;
type Line = ReturnType<typeof open>;

/** hookd's end of a connection. */
async function taken({ api }: Made, line: Line): Promise<Socket> {
  const [[socket]] = await Promise.all([once(api.server.server, "connection"), once(line.socket, "connect")]);
  return socket;
}

/** Resolves when so many bytes of it have been read, and looked at. */
async function read(socket: Socket, bytes: number): Promise<void> {
  while (socket.bytesRead < bytes) await setImmediate();
  await setImmediate();
}

/** A connection with a request before, so that its key is known, and one of which a part has been read. */
async function begin(made: Made, path: string, bytes: number) {
  const line = open(made.port);
  const socket = await taken(made, line);
  const warm = made.sized(path, 200) + bodyOf(path, 200);
  await line.send(warm);
  await line.answers(1);
  const request = made.sized(path, bytes) + bodyOf(path, bytes);
  const cut = request.length - bytes + 100;
  await line.send(request.slice(0, cut));
  await read(socket, warm.length + cut);
  return { line, socket, finish: () => line.send(request.slice(cut)) };
}

/** The next call of the engine's waits until it may go on. */
function heldOnce(engine: Made["engine"], name: "publishMany" | "findKey") {
  const [asked, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const call = engine[name] as (argument: never) => Promise<never>;
  engine[name] = async (argument: never) => {
    engine[name] = call as never;
    asked.resolve();
    await goOn.promise;
    return call(argument);
  };
  return { asked, goOn };
}

/** Whether nobody has any of it. */
async function hasAllRoom({ port, sized }: Made): Promise<boolean> {
  const { status } = await ask(port, sized(BATCH, ROOM) + bodyOf(BATCH, ROOM));
  return status === 202;
}
