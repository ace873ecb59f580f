import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { SettledAttempt } from "../../src/engine/port.ts";
import { sampleAttempt } from "./fake-engine.ts";
import { hook, setup } from "./world.ts";

async function withStream() {
  const world = await setup();
  const { port } = await world.api.listen();
  const { json: webhook } = await world.call("POST", "/v1/webhooks", {
    key: world.admin,
    body: { ...hook, user_id: "acme" },
  });
  const [webhookId] = world.engine.state.webhooks.keys() as Iterable<WebhookId>;

  async function open(path: string, key: { text: string }) {
    const request = get({ port, host: "127.0.0.1", path, headers: { authorization: `Bearer ${key.text}` } });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    response.setEncoding("utf8");
    return { response, request, read: reader(response) };
  }

  function emit(fields: Partial<SettledAttempt> = {}, times = 1) {
    const attempt: SettledAttempt = {
      deliveryId: 1 as DeliveryId,
      webhookId: webhookId!,
      userId: "acme",
      eventId: "user.created",
      eventUid: "u",
      attempt: sampleAttempt,
      status: "retrying",
      reason: null,
      nextRetryAt: world.time.now,
      ...fields,
    };
    world.engine.state.watches.settled(Array.from({ length: times }, () => attempt));
  }
  return { ...world, port, webhook, open, emit };
}

/** Reads until there are `count` blocks, and gives them as `[event, data]`. */
function reader(response: IncomingMessage) {
  let text = "";
  return async (count: number): Promise<[string, Record<string, unknown>][]> => {
    const blocks = () => [...text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)];
    while (blocks().length < count) {
      const chunk = response.read();
      if (chunk === null) await once(response, "readable");
      else text += chunk;
    }
    return blocks().map(([, event, data]) => [event ?? "", JSON.parse(data ?? "")]);
  };
}

describe("the stream", () => {
  test("shows attempts as they settle", async () => {
    const { open, emit, admin, webhook } = await withStream();
    const { response, read } = await open("/v1/stream", admin);
    expect(response.headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "x-content-type-options": "nosniff",
    });
    emit();
    expect(await read(1)).toMatchObject([
      [
        "attempt",
        {
          webhook_id: webhook.id,
          event_uid: "u",
          status: "retrying",
          next_retry_at: "2026-11-22T08:30:00.000Z",
          attempt: { number: 1 },
        },
      ],
    ]);
  });

  test("shows what its filters let through, and a user only its own", async () => {
    const { open, emit, admin, keyFor, webhook } = await withStream();
    const failed = await open("/v1/stream?status=failed", admin);
    const hooked = await open(`/v1/stream?webhook_id=${webhook.id}`, admin);
    const other = await open("/v1/stream", await keyFor("beta"));
    emit({ eventUid: "one", status: "success" });
    emit({ eventUid: "two", status: "dead", reason: "exhausted" });
    emit({ eventUid: "three", userId: "beta", webhookId: 5 as WebhookId });
    const uidsOf = (blocks: [string, Record<string, unknown>][]) => blocks.map(([, data]) => data.event_uid);
    expect(uidsOf(await failed.read(2))).toEqual(["two", "three"]);
    expect(uidsOf(await hooked.read(2))).toEqual(["one", "two"]);
    expect(uidsOf(await other.read(1))).toEqual(["three"]);
  });

  test("drops what a slow client does not take, and tells it how much", async () => {
    const { open, emit, admin, api } = await withStream();
    const { read } = await open("/v1/stream", admin);
    let sent = 0;
    const { counters } = api.context;
    const excerpt = Buffer.alloc(60_000, "x");
    while (counters.streamSkipped < 10) {
      emit({ attempt: { ...sampleAttempt, excerpt } });
      sent += 1;
      expect(sent).toBeLessThan(10_000);
      await new Promise(setImmediate);
    }
    const taken = sent - counters.streamSkipped;
    await read(taken);
    emit();
    const blocks = await read(taken + 2);
    expect(blocks[taken]).toEqual(["skipped", { count: counters.streamSkipped }]);
  });

  test("samples on demand, tells how many it left out, and counts all each second", async () => {
    const { open, emit, admin, api } = await withStream();
    const { read } = await open("/v1/stream?rows_per_second=1", admin);
    emit({}, 13);
    expect((await read(2)).map(([event]) => event)).toEqual(["skipped", "attempt"]);
    emit({ status: "success" }, 2);
    await read(4);
    api.context.stream.tick();
    const blocks = await read(5);
    expect(blocks[0]).toEqual(["skipped", { count: 12 }]);
    // It was asked for: nobody read too slowly.
    expect(api.context.counters.streamSkipped).toBe(0);
    expect(blocks[4]).toEqual(["counts", { attempts: 15, success: 2, retrying: 13, dead: 0 }]);
  });

  test("ends when its key is revoked, and stays open otherwise", async () => {
    const { open, emit, admin, keyFor, call, api, time } = await withStream();
    const key = await keyFor("acme");
    const mine = await open("/v1/stream", key);
    const kept = await open("/v1/stream", admin);
    await call("DELETE", `/v1/keys/${key.id}`, { key: admin });
    time.mono += 1_000;
    api.context.stream.tick();
    mine.response.resume();
    await once(mine.response, "end");
    emit();
    await kept.read(1);
  });

  test("ends when its key is revoked, also after many others of revoked keys", async () => {
    const { open, admin, keyFor, call, api, time } = await withStream();
    const revoke = async (streams: number) => {
      const key = await keyFor("acme");
      const opened = await Promise.all(Array.from({ length: streams }, () => open("/v1/stream", key)));
      await call("DELETE", `/v1/keys/${key.id}`, { key: admin });
      time.mono += 1_000;
      api.context.stream.tick();
      await Promise.all(opened.map(({ response }) => once(response.resume(), "end")));
    };
    await revoke(30);
    await revoke(1);
  });

  test("whose key ends before its turn on the connection is written to no more", async () => {
    const { open, emit, admin, keyFor, call, api, time, port } = await withStream();
    const [kept, revoked] = [await keyFor("acme"), await keyFor("acme")];
    const head = (key: { text: string }) =>
      `GET /v1/stream HTTP/1.1\r\nHost: hookd\r\nAuthorization: Bearer ${key.text}\r\n\r\n`;
    const socket = connect(port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString("latin1")));
    socket.write(head(kept) + head(revoked));
    while (api.context.counters.streamClients < 2) await new Promise(setImmediate);
    await call("DELETE", `/v1/keys/${revoked.id}`, { key: admin });
    time.mono += 1_000;
    api.context.stream.tick();
    while (api.context.counters.streamClients > 1) await new Promise(setImmediate);
    emit();
    for (let ticks = 0; ticks < 20; ticks += 1) api.context.stream.tick();
    while (!text.includes("event: attempt")) await once(socket, "data");
    emit();
    // Whoever asks anew is served.
    await (await open("/v1/stream", admin)).response.destroy();
  });

  test("has places that one user, and all users, cannot take", async () => {
    const { open, admin, keyFor } = await withStream();
    const statuses = async (key: { text: string }, count: number) => {
      const opened = await Promise.all(Array.from({ length: count }, () => open("/v1/stream", key)));
      return opened.filter(({ response }) => response.statusCode === 200).length;
    };
    expect(await statuses(await keyFor("acme"), 25)).toBe(20);
    for (const user of ["beta", "gamma", "delta"]) expect(await statuses(await keyFor(user), 20)).toBe(20);
    expect(await statuses(await keyFor("epsilon"), 1)).toBe(0);
    expect(await statuses(admin, 25)).toBe(20);
  });

  test("keeps no place for a client that left while its webhook was looked up", async () => {
    const { open, admin, api, engine, webhook } = await withStream();
    const gone = Promise.withResolvers<void>();
    const { getWebhooks } = engine;
    engine.getWebhooks = async (ids) => {
      request.destroy();
      await gone.promise;
      return getWebhooks(ids);
    };
    api.server.server.once("connection", (socket) => socket.once("close", () => setImmediate(gone.resolve)));
    const port = (api.server.server.address() as AddressInfo).port;
    const path = `/v1/stream?webhook_id=${webhook.id}`;
    const request = get({
      port,
      host: "127.0.0.1",
      path,
      headers: { authorization: `Bearer ${admin.text}` },
    });
    request.on("error", () => undefined);
    await gone.promise;
    await new Promise(setImmediate);
    engine.getWebhooks = getWebhooks;
    await open("/v1/stream", admin);
    expect(api.context.counters.streamClients).toBe(1);
  });

  test("stops listening to the engine when nobody listens to it", async () => {
    const { open, admin, engine, api } = await withStream();
    const { request, response } = await open("/v1/stream", admin);
    expect(engine.state.watching).toBe(1);
    expect(api.context.counters.streamClients).toBe(1);
    response.on("error", () => undefined);
    request.destroy();
    while (engine.state.watching > 0) await new Promise(setImmediate);
    expect(api.context.counters.streamClients).toBe(0);
  });

  test("is ended by closing the API", async () => {
    const { open, admin, api } = await withStream();
    const { response } = await open("/v1/stream", admin);
    response.resume();
    const ended = once(response, "end");
    await api.close();
    await ended;
  });
});
