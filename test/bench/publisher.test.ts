import type { Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { STATE } from "../../src/bench/ledger.ts";
import type { Load } from "../../src/bench/load.ts";
import { MessageReader } from "../../src/bench/message-reader.ts";
import { type Published, Publisher } from "../../src/bench/publisher.ts";
import { benchWorld, loadOf, rawServer } from "./world.ts";

type Answer = (socket: Socket, head: string, body: Buffer) => void;

/** Publishes a load to a server that answers as told, to the end. */
async function publish(changes: Partial<Load>, answer: Answer) {
  const world = benchWorld();
  const port = await rawServer((socket) => {
    const reader = new MessageReader();
    socket.on("data", (chunk: Buffer) =>
      reader.push(chunk, (data, start, body, end) =>
        answer(socket, data.toString("latin1", start, body), Buffer.from(data.subarray(body, end))),
      ),
    );
  });
  const { ledger, site, samples } = world;
  const done = Promise.withResolvers<Published>();
  const load = loadOf({ port, ...changes });
  const publisher = new Publisher(load, { thread: 0, threads: 1 }, ledger, site, samples, done.resolve);
  const timer = setInterval(() => publisher.pump(), 1);
  onTestFinished(() => clearInterval(timer));
  const published = await done.promise;
  samples.flush();
  return { ...world, load, published };
}

function accepted(uid: string): string {
  const body = `{"event_uid":"${uid}","delivery_count":1,"deliveries":[],"duplicate":false}`;
  return `HTTP/1.1 202 Accepted\r\nconnection: keep-alive\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}

function uidIn(head: string): string {
  return /idempotency-key: (\S+)/.exec(head)?.[1] ?? "evt_1";
}

describe("a publisher", () => {
  it("offers every event once and counts what was accepted", async () => {
    const seen: string[] = [];
    const { published, collected, ledger } = await publish({}, (socket, head) => {
      seen.push(head.split(" ")[1] ?? "");
      socket.write(accepted(uidIn(head)));
    });
    expect(published).toEqual({ sent: 10, answered: 10 });
    expect(new Set(seen).size).toBe(10);
    expect(collected.map(({ status }) => status)).toEqual(Array(10).fill(202));
    expect(ledger.tally(0, 10, () => false)).toMatchObject({ offered: 10, accepted: 10 });
  });

  it("reads an answer that comes in pieces", async () => {
    const { collected } = await publish({ count: 2 }, (socket, head) => {
      const text = accepted(uidIn(head));
      socket.write(text.slice(0, 20));
      setImmediate(() => socket.write(text.slice(20)));
    });
    expect(collected.map(({ status }) => status)).toEqual([202, 202]);
  });

  it("counts latency from when an event was due, however late it was sent", async () => {
    const startMono = loadOf().startMono - 5_000;
    const { collected } = await publish({ startMono, count: 1 }, (socket, head) =>
      socket.write(accepted(uidIn(head))),
    );
    expect(collected[0]?.micros).toBeGreaterThanOrEqual(5_000_000);
  });

  it("takes a refusal for an answer, and does not try again", async () => {
    let requests = 0;
    const { collected, ledger } = await publish({ count: 3 }, (socket) => {
      requests += 1;
      socket.write("HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}");
    });
    expect(requests).toBe(3);
    expect(collected.map(({ status }) => status)).toEqual([429, 429, 429]);
    expect(ledger.stateOf(0)).toBe(STATE.refused);
  });

  it("calls an event unknown whose connection was lost, and goes on with another connection", async () => {
    let requests = 0;
    const { ledger, published } = await publish({ count: 4, connections: 1 }, (socket, head) => {
      requests += 1;
      if (requests === 2) socket.destroy();
      else socket.write(accepted(uidIn(head)));
    });
    expect(published.sent).toBe(4);
    expect(ledger.tally(0, 4, () => false)).toMatchObject({ accepted: 3, unknown: 1 });
  });

  it("counts each item of a batch for itself", async () => {
    const { ledger, collected } = await publish(
      { count: 4, batch: 4, connections: 1 },
      (socket, _head, body) => {
        const items = JSON.parse(body.toString()) as { event_uid?: string }[];
        const results = items.map(({ event_uid: uid = "evt_1" }, index) =>
          index === 3 ? { index, error: { status: 503 } } : { index, accepted: { event_uid: uid } },
        );
        const text = JSON.stringify({ results });
        socket.write(`HTTP/1.1 202 Accepted\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
      },
    );
    expect(ledger.tally(0, 4, () => false)).toMatchObject({ accepted: 3, refused: 1 });
    expect(collected.map(({ status }) => status)).toEqual([202, 202, 202, 503]);
  });

  it("leaves unsent what is due after its end", async () => {
    const { startMono } = loadOf();
    const { published } = await publish(
      { count: 1_000, ratePerSecond: 10, startMono, endMono: startMono + 250 },
      (socket, head) => socket.write(accepted(uidIn(head))),
    );
    expect(published.sent).toBeLessThan(10);
  });
});
