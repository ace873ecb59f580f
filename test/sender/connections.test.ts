import { spawn } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { WebhookId } from "../../src/domain/ids.ts";
import { SWEEP_MS } from "../../src/sender/connections.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { answerOk, OK_RESPONSE, receiver, setup } from "./setup.ts";

const CLOSING = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const id = (number: number) => number as WebhookId;

describe("a connection", () => {
  it("is used again, one request at a time, also by other webhooks of the same origin", async () => {
    const { post, order, sender } = setup();
    const server = await receiver(answerOk);
    await post(server.url);
    for (let round = 0; round < 10; round += 1) await order();
    await post(`${server.url}/other`, { webhookId: id(2) });
    expect(server.connections).toBe(1);
    expect(sender.counts()).toMatchObject({ takenConnections: 0, idleConnections: 1, idleOrigins: 1 });
  });

  it("is opened for each attempt that finds none idle, without queueing", async () => {
    const { post, order } = setup();
    const waiting: Socket[] = [];
    const server = await receiver((socket) => waiting.push(socket));
    const attempts = [post(server.url), ...Array.from({ length: 19 }, () => order())];
    await server.requested(20);
    expect(server.connections).toBe(20);
    for (const socket of waiting) socket.write(OK_RESPONSE);
    await Promise.all(attempts);
  });

  it("is the one that became idle last", async () => {
    const { post, order } = setup();
    const waiting: Socket[] = [];
    const server = await receiver((socket) => waiting.push(socket));
    const attempts = [post(server.url), order(), order()];
    await server.requested(3);
    for (const [index, socket] of waiting.splice(0).entries()) {
      socket.write(OK_RESPONSE);
      await attempts[index];
    }
    for (let round = 0; round < 3; round += 1) {
      const attempt = order();
      await server.requested(4 + round);
      const socket = waiting.pop()!;
      expect(server.sockets.indexOf(socket)).toBe(2);
      socket.write(OK_RESPONSE);
      await attempt;
    }
  });

  it("is closed when more are idle than the limit: the longest idle one, of whatever origin", async () => {
    const { target, order, sender } = setup({ idleConnectionsMax: 3 });
    const servers = await Promise.all(Array.from({ length: 5 }, () => receiver(answerOk)));
    for (const [index, server] of servers.entries()) {
      target(server.url, { webhookId: id(index + 1) });
      await order({ webhookId: id(index + 1) });
    }
    await servers[0]!.allClosed();
    await servers[1]!.allClosed();
    expect(sender.counts()).toMatchObject({ idleConnections: 3, idleOrigins: 3 });
    // The third is used again, so the fourth is now the longest idle.
    await order({ webhookId: id(3) });
    await order({ webhookId: id(1) });
    await servers[3]!.allClosed();
    expect(servers.map(({ connections }) => connections)).toEqual([2, 1, 1, 1, 1]);
    expect(sender.counts()).toMatchObject({ idleConnections: 3, idleOrigins: 3 });
  });

  it("is never kept with a limit of 0", async () => {
    const { post, order, sender } = setup({ idleConnectionsMax: 0 });
    const server = await receiver(answerOk);
    await post(server.url);
    await order();
    await server.allClosed();
    expect(server.connections).toBe(2);
    expect(sender.counts()).toMatchObject({ idleConnections: 0, idleOrigins: 0 });
  });

  it.each([
    CLOSING,
    "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    OK_RESPONSE.replace("content", "keep-alive: timeout=0\r\ncontent"),
  ])("is not used after %j", async (answer) => {
    const { post, order } = setup();
    const server = await receiver((socket) => void socket.write(answer));
    for (let round = 0; round < 3; round += 1) {
      expect((await (round === 0 ? post(server.url) : order())).attempt.verdict).toBe("success");
    }
    expect(server.connections).toBe(3);
  });

  it("that the receiver closes while idle is forgotten, with its origin", async () => {
    const { post, order, sender } = setup();
    const server = await receiver(answerOk);
    await post(server.url);
    server.sockets[0]!.end();
    await server.allClosed();
    while (sender.counts().idleConnections > 0) await new Promise((done) => setImmediate(done));
    expect(sender.counts()).toMatchObject({ idleConnections: 0, idleOrigins: 0 });
    expect((await order()).attempt.verdict).toBe("success");
    expect(server.connections).toBe(2);
  });

  it("whose body was cut off is not used again", async () => {
    const { post, order } = setup();
    const server = await receiver((socket, n) => {
      if (n === 1) socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n${"x".repeat(100_000)}`);
      else socket.write(OK_RESPONSE);
    });
    expect((await post(server.url)).attempt.verdict).toBe("success");
    expect((await order()).attempt.verdict).toBe("success");
    expect(server.connections).toBe(2);
  });

  it("that closes with many racing attempts loses none of them", async () => {
    const { post, order } = setup();
    // Each connection answers a few requests, then closes without having said so.
    const served = new Map<Socket, number>();
    const server = await receiver((socket) => {
      const count = (served.get(socket) ?? 0) + 1;
      served.set(socket, count);
      socket.write(OK_RESPONSE);
      if (count === 3) socket.end();
    });
    await post(server.url);
    for (let round = 0; round < 50; round += 1) {
      const outcomes = await Promise.all(Array.from({ length: 8 }, () => order()));
      expect(outcomes.filter(({ attempt }) => attempt.verdict !== "success")).toEqual([]);
    }
  });
});

describe("idle connections", () => {
  /** Sweeps come when the test says so; sockets know no timers of JavaScript. */
  function setupSwept(idleConnectionsMax: number) {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    onTestFinished(() => void vi.useRealTimers());
    const world = setup({ idleConnectionsMax });
    const sweep = (times = 1) => vi.advanceTimersByTime(times * SWEEP_MS);
    const burst = (count: number, webhookId = id(1)) =>
      Promise.all(Array.from({ length: count }, () => world.order({ webhookId })));
    return { ...world, sweep, burst };
  }

  it("stay while load swings: as many are kept as were taken at once a moment ago", async () => {
    const { target, burst, sender, sweep } = setupSwept(5);
    const server = await receiver(answerOk);
    target(server.url);
    for (let round = 0; round < 10; round += 1) {
      await burst(60);
      await burst(20);
      sweep();
    }
    expect(server.connections).toBe(60);
    expect(sender.counts()).toMatchObject({ takenConnections: 0, idleConnections: 60 });
  });

  it("above the limit are given back when the load has gone, some in each sweep", async () => {
    const { target, burst, sender, sweep } = setupSwept(5);
    const server = await receiver(answerOk);
    target(server.url);
    await burst(300);
    sweep(1);
    expect(sender.counts().idleConnections).toBe(300);
    sweep(1);
    expect(sender.counts().idleConnections).toBe(300 - 256);
    sweep(1);
    expect(sender.counts().idleConnections).toBe(5);
    expect((await burst(1))[0]!.attempt.verdict).toBe("success");
    expect(server.connections).toBe(300);
  });

  it("above the limit give way to the only one of an origin, however long that is idle", async () => {
    const { target, burst, sender, sweep } = setupSwept(5);
    const servers = await Promise.all(Array.from({ length: 4 }, () => receiver(answerOk)));
    for (const [index, server] of servers.entries()) {
      target(server.url, { webhookId: id(index + 1) });
      await burst(1, id(index + 1));
    }
    await burst(30, id(4));
    sweep(2);
    expect(sender.counts()).toMatchObject({ idleConnections: 5, idleOrigins: 4 });
    for (const [index, server] of servers.slice(0, 3).entries()) {
      await burst(1, id(index + 1));
      expect(server.connections).toBe(1);
    }
  });

  it("and taken ones are never more than were ever taken at once and the limit together", async () => {
    const { target, burst, sender, sweep } = setupSwept(7);
    const servers = await Promise.all(Array.from({ length: 4 }, () => receiver(answerOk)));
    for (const [index, server] of servers.entries()) target(server.url, { webhookId: id(index + 1) });
    let seen = 0;
    const look = () => {
      const { takenConnections, idleConnections } = sender.counts();
      seen = Math.max(seen, takenConnections + idleConnections);
    };
    for (const [index, count] of [40, 40, 25, 40, 1, 40, 33, 8].entries()) {
      const attempts = burst(count, id((index % 4) + 1));
      look();
      await attempts;
      look();
      if (index % 3 === 0) sweep();
    }
    expect(seen).toBeGreaterThanOrEqual(40);
    expect(seen).toBeLessThanOrEqual(40 + 7);
  });

  it("are closed after 30 s", async () => {
    const { target, burst, clock, sender, sweep } = setupSwept(5);
    const server = await receiver(answerOk);
    target(server.url);
    await burst(3);
    clock.advance(20_000);
    await burst(1);
    clock.advance(10_000);
    sweep();
    expect(sender.counts()).toMatchObject({ idleConnections: 1, idleOrigins: 1 });
    clock.advance(20_000);
    sweep();
    expect(sender.counts()).toMatchObject({ idleConnections: 0, idleOrigins: 0 });
    await server.allClosed();
  });

  it("are closed some in each turn: thousands at once would hold up what is in flight", async () => {
    const { target, burst, clock, sender, sweep } = setupSwept(200);
    const server = await receiver(answerOk);
    target(server.url);
    await burst(150);
    clock.advance(30_000);
    sweep();
    const left = [sender.counts().idleConnections];
    while (left.at(-1)! > 0) {
      await new Promise((done) => setImmediate(done));
      left.push(sender.counts().idleConnections);
    }
    expect(left).toEqual([118, 86, 54, 22, 0]);
    await server.allClosed();
  });

  it("beside another one of their origin are closed after 5 s", async () => {
    const { target, burst, clock, sender, sweep } = setupSwept(50);
    const servers = await Promise.all([receiver(answerOk), receiver(answerOk)]);
    for (const [index, server] of servers.entries()) target(server.url, { webhookId: id(index + 1) });
    await burst(20, id(1));
    await burst(1, id(2));
    clock.advance(4_000);
    await burst(3, id(1));
    clock.advance(1_500);
    sweep();
    expect(sender.counts()).toMatchObject({ idleConnections: 5, idleOrigins: 2 });
    clock.advance(4_000);
    sweep();
    expect(sender.counts()).toMatchObject({ idleConnections: 2, idleOrigins: 2 });
    await burst(1, id(1));
    expect(servers[0]!.connections).toBe(20);
  });

  it.each([
    ["timeout=5", 4_000],
    ["max=9, timeout=20", 19_000],
    ["timeout=3600", 30_000],
  ])("are closed a second before the receiver would, by its Keep-Alive: %s", async (value, idleMs) => {
    const { target, burst, clock, sender, sweep } = setupSwept(5);
    const answer = OK_RESPONSE.replace("content", `keep-alive: ${value}\r\ncontent`);
    const server = await receiver((socket) => void socket.write(answer));
    target(server.url);
    await burst(1);
    // The clock runs in real time too.
    clock.advance(idleMs - 3_500);
    sweep();
    expect(sender.counts().idleConnections).toBe(1);
    clock.advance(3_500);
    sweep();
    expect(sender.counts().idleConnections).toBe(0);
    await server.allClosed();
  });

  it("whose time is over are not taken, also before they are swept", async () => {
    const { target, burst, clock, sender, sweep } = setupSwept(5);
    const server = await receiver(answerOk);
    target(server.url);
    await burst(3);
    clock.advance(30_000);
    expect((await burst(1))[0]!.attempt.verdict).toBe("success");
    expect(server.connections).toBe(4);
    sweep();
    expect(sender.counts()).toMatchObject({ idleConnections: 1, idleOrigins: 1 });
  });

  it("whose time is over are passed by for the first one of their origin, which has more", async () => {
    const { target, burst, clock } = setupSwept(50);
    const server = await receiver(answerOk);
    target(server.url);
    await burst(10);
    clock.advance(20_000);
    await burst(1);
    await burst(1);
    expect(server.connections).toBe(10);
  });
});

describe("a close race", () => {
  for (const how of ["end", "resetAndDestroy"] as const) {
    it(`by ${how} on a reused connection is tried again at once, within the attempt, on a fresh one`, async () => {
      const { post, order } = setup();
      const server = await receiver((socket, n) => {
        if (n === 2) socket[how]();
        else socket.write(OK_RESPONSE);
      });
      await post(server.url);
      expect((await order({ eventUid: "evt_race" })).attempt).toMatchObject({
        verdict: "success",
        error: null,
        number: 1,
      });
      expect(server.requests.filter((request) => request.includes("webhook-id: evt_race"))).toHaveLength(2);
      expect(server.connections).toBe(2);
    });

    it(`by ${how} on a fresh connection is a failure`, async () => {
      const { post } = setup();
      const server = await receiver((socket) => void socket[how]());
      expect((await post(server.url)).attempt).toMatchObject({ verdict: "retry", error: "reset" });
      expect(server.requests).toHaveLength(1);
    });

    it(`by ${how} is tried again only once`, async () => {
      const { post, order } = setup();
      const server = await receiver((socket, n) => {
        if (n >= 2) socket[how]();
        else socket.write(OK_RESPONSE);
      });
      await post(server.url);
      expect((await order()).attempt).toMatchObject({ verdict: "retry", error: "reset" });
      expect(server.requests).toHaveLength(3);
    });

    it(`by ${how} is none when a byte of the answer had come`, async () => {
      const { post, order } = setup();
      const server = await receiver((socket, n) => {
        if (n === 2) socket.write("H", () => setImmediate(() => socket[how]()));
        else socket.write(OK_RESPONSE);
      });
      await post(server.url);
      expect((await order()).attempt).toMatchObject({ verdict: "retry", error: "reset" });
      expect(server.requests).toHaveLength(2);
    });
  }

  it("does not go on to a receiver that is no longer there", async () => {
    const { post, order } = setup();
    const server = await oneConnectionServer();
    await post(server.url);
    expect((await order()).attempt).toMatchObject({ verdict: "retry", error: "connect" });
  });
});

describe("connecting", () => {
  it("to a host that never accepts fails as connect after 5 s", async () => {
    const { post, clock } = setup();
    const port = await fullBacklog();
    const attempt = post(`http://127.0.0.1:${port}/`);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    clock.advance(5_000);
    const outcome = await attempt;
    expect(outcome.attempt).toMatchObject({ verdict: "retry", error: "connect", statusCode: null });
    expect(outcome.attempt.durationMs).toBeLessThan(10_000);
  });

  it("is bounded by the attempt's own deadline", async () => {
    const { post, clock, sender } = setup();
    const port = await fullBacklog();
    const attempt = post(`http://127.0.0.1:${port}/`, {}, { timeoutMs: 2_000 });
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    clock.advance(2_000);
    expect((await attempt).attempt).toMatchObject({ verdict: "retry", error: "timeout" });
    expect(sender.counts()).toMatchObject({ inFlight: 0, takenConnections: 0 });
  });
});

describe("the deadline's timer", () => {
  it("ticks only while something is in flight", async () => {
    const { post, sender } = setup();
    const server = await receiver(answerOk);
    expect(sender.counts().isTicking).toBe(false);
    const attempt = post(server.url);
    expect(sender.counts().isTicking).toBe(true);
    await attempt;
    while (sender.counts().isTicking) await new Promise((done) => setImmediate(done));
  });
});

describe("stopping", () => {
  it("reports nothing more, closes every connection and takes no orders", async () => {
    const { post, order, sender } = setup();
    const server = await receiver((socket, n) => void (n === 1 && socket.write(OK_RESPONSE)));
    await post(server.url);
    let outcomes = 0;
    for (let index = 0; index < 5; index += 1) void order().then(() => (outcomes += 1));
    await server.requested(6);
    await sender.stop();
    await server.allClosed();
    void order().then(() => (outcomes += 1));
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    expect(outcomes).toBe(0);
    expect(server.requests).toHaveLength(6);
    expect(sender.counts()).toMatchObject({
      takenConnections: 0,
      idleConnections: 0,
      idleOrigins: 0,
      isTicking: false,
    });
  });

  it("cancels what is being resolved, connected and secured", async () => {
    await using dns = await startDnsServer(() => "silent");
    const { post, target, order, sender } = setup({ dnsServers: [dns.address] });
    let outcomes = 0;
    const server = await receiver(() => {});
    void post("http://resolving.test:8000/").then(() => (outcomes += 1));
    target(`https://127.0.0.1:${server.port}/`, { webhookId: id(2) });
    void order({ webhookId: id(2) }).then(() => (outcomes += 1));
    while (server.connections === 0) await new Promise((done) => setImmediate(done));
    await sender.stop();
    await server.allClosed();
    expect(outcomes).toBe(0);
  });
});

/** Answers one request, stops listening, and closes the connection at the second. */
async function oneConnectionServer(): Promise<{ url: string }> {
  let requests = 0;
  const server = createServer((socket) => {
    server.close();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      if (!chunk.toString("latin1").includes("POST")) return;
      requests += 1;
      if (requests === 1) socket.write(OK_RESPONSE);
      else socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as { port: number }).port}/` };
}

/**
 * A port whose backlog is full: a process that listens and never runs its event loop again, and connections
 * to fill it.
 */
async function fullBacklog(): Promise<number> {
  const program = `
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, server.address().port + "\\n");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) =>
    child.stdout.once("data", (text) => resolve(Number(text))),
  );
  const fillers: Socket[] = [];
  onTestFinished(() => {
    for (const socket of fillers) socket.destroy();
  });
  // A backlog of 1 takes 2 connections; once they are made, the next SYN is dropped.
  for (let index = 0; index < 2; index += 1) {
    const socket = connect(port, "127.0.0.1");
    fillers.push(socket);
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  }
  return port;
}
