import { connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { STATE } from "../../src/bench/ledger.ts";
import { MessageReader } from "../../src/bench/message-reader.ts";
import { PayloadWriter } from "../../src/bench/payload.ts";
import { Receiver } from "../../src/bench/receiver.ts";
import { BEHAVIOUR } from "../../src/bench/site.ts";
import { benchWorld } from "./world.ts";

const BYTES = 64;
const payloads = new PayloadWriter(BYTES);

async function setup() {
  const world = benchWorld();
  const receiver = new Receiver(world.ledger, world.site, world.samples, BYTES);
  const port = await new Promise<number>((resolve) => receiver.listen(0, resolve));
  onTestFinished(() => receiver.close());
  const socket = connect(port, "127.0.0.1");
  const answers: string[] = [];
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const waiting: (() => void)[] = [];
  const reader = new MessageReader();
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) =>
    reader.push(chunk, (data, start) => {
      answers.push(data.toString("latin1", start + 9, start + 12));
      waiting.shift()?.();
    }),
  );
  onTestFinished(() => {
    socket.destroy();
  });
  for (let seq = 0; seq < 20; seq += 1) {
    world.ledger.offered(seq, 0);
    world.ledger.answered(seq, STATE.acknowledged);
  }
  return {
    ...world,
    receiver,
    socket,
    answers,
    closed,
    /** Resolves with the answer after those that others wait for. */
    answered: () => new Promise<void>((resolve) => waiting.push(resolve)),
    tally: () => world.ledger.tally(0, 20, () => false),
  };
}

function delivery(
  seq: number,
  webhook: number,
  changes: { path?: number; uid?: string; to?: number } = {},
): Buffer {
  const body = Buffer.alloc(BYTES);
  payloads.write(body, 0, seq, changes.to ?? webhook);
  const head =
    `POST /h/${changes.path ?? webhook} HTTP/1.1\r\nhost: a\r\nhookd-webhook-id: wh_1\r\n` +
    `webhook-id: ${changes.uid ?? `evt_${seq}`}\r\ncontent-length: ${BYTES}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

describe("a receiver", () => {
  it("takes several deliveries in one chunk, and one over several", async () => {
    const { socket, answered, answers, tally } = await setup();
    const bytes = Buffer.concat([delivery(0, 0), delivery(1, 1), delivery(2, 2)]);
    const two = [answered(), answered()];
    socket.write(bytes.subarray(0, bytes.length - 30));
    await Promise.all(two);
    const third = answered();
    socket.write(bytes.subarray(bytes.length - 30));
    await third;
    expect(answers).toEqual(["200", "200", "200"]);
    expect(tally()).toMatchObject({ delivered: 3, duplicated: 0 });
  });

  it("counts a second copy, and measures the first only", async () => {
    const { socket, answered, tally, samples, collected } = await setup();
    const both = [answered(), answered()];
    socket.write(Buffer.concat([delivery(5, 0), delivery(5, 0)]));
    await Promise.all(both);
    samples.flush();
    expect(tally().duplicated).toBe(1);
    expect(collected.map(({ seq }) => seq)).toEqual([5]);
  });

  it("answers as it is told to, from one request to the next", async () => {
    const { socket, answered, answers, site, tally } = await setup();
    for (const behaviour of [500, 410, BEHAVIOUR.ok]) {
      site.behave(0, 1, behaviour, 5);
      const next = answered();
      socket.write(delivery(1, 0));
      await next;
    }
    expect(answers).toEqual(["500", "410", "200"]);
    expect(tally()).toMatchObject({ delivered: 1, turnedAway: 2 });
    expect(site.requestsOf(0)).toBe(3);
  });

  it("closes the connection when it is down, and the event is not taken", async () => {
    const { socket, site, tally, closed } = await setup();
    site.behave(0, 1, BEHAVIOUR.down);
    socket.write(delivery(1, 0));
    await closed;
    expect(tally().delivered).toBe(0);
  });

  it("answers 200 and keeps an event to itself where a loss is planted", async () => {
    const { socket, answered, answers, site, tally } = await setup();
    site.behave(0, 1, BEHAVIOUR.swallow);
    const next = answered();
    socket.write(delivery(1, 0));
    await next;
    expect(answers).toEqual(["200"]);
    expect(tally()).toMatchObject({ delivered: 0, missing: 20 });
  });

  it.each([
    ["for another webhook", delivery(1, 3, { path: 4 }), "misrouted"],
    ["for a webhook that is not there", delivery(1, 3, { path: 99 }), "misrouted"],
    ["that was never offered", delivery(500, 3), "neverOffered"],
    ["with another length", Buffer.from("POST /h/1 HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"), "wrongBytes"],
  ] as const)("finds a delivery %s", async (_what, bytes, fault) => {
    const { socket, answered, site, tally } = await setup();
    const next = answered();
    socket.write(bytes);
    await next;
    expect(site.faults()[fault]).toBe(1);
    expect(tally().delivered).toBe(0);
  });

  it("finds bytes that changed on the way, in those that it compares", async () => {
    const { socket, answered, site } = await setup();
    const bytes = delivery(0, 0);
    bytes[bytes.length - 5] = (bytes.at(-5) ?? 0) ^ 1;
    const next = answered();
    socket.write(bytes);
    await next;
    expect(site.faults().wrongBytes).toBe(1);
  });

  it("finds two copies that carry different uids", async () => {
    const { socket, answered, site } = await setup();
    const both = [answered(), answered()];
    socket.write(Buffer.concat([delivery(1, 0, { uid: "evt_a" }), delivery(1, 0, { uid: "evt_b" })]));
    await Promise.all(both);
    expect(site.faults().wrongUid).toBe(1);
  });

  it("keeps an entry for each webhook of an event that many get", async () => {
    const { socket, receiver, answered, ledger } = await setup();
    receiver.fanOutSeq = 5;
    const both = [answered(), answered()];
    socket.write(Buffer.concat([delivery(5, 0, { path: 1, to: 0 }), delivery(5, 0, { path: 2, to: 0 })]));
    await Promise.all(both);
    expect([5, 6, 7].map((seq) => ledger.takenCount(seq))).toEqual([0, 1, 1]);
  });
});
