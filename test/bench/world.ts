import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { createLedgerMemory, Ledger } from "../../src/bench/ledger.ts";
import type { Load } from "../../src/bench/load.ts";
import { monoMs } from "../../src/bench/mono.ts";
import { SAMPLE_WORDS, SampleBuffer } from "../../src/bench/samples.ts";
import { createSiteMemory, Site } from "../../src/bench/site.ts";

/** Ledger, receivers' site and collected samples, as the threads have them. */
export function benchWorld(events = 1_000, webhooks = 10) {
  const ledger = new Ledger(createLedgerMemory(events));
  const site = new Site(createSiteMemory(webhooks));
  const collected: { seq: number; micros: number; status: number }[] = [];
  const samples = new SampleBuffer(({ words, count }) => {
    for (let at = 0; at < count * SAMPLE_WORDS; at += SAMPLE_WORDS) {
      collected.push({ seq: words[at] ?? 0, micros: words[at + 1] ?? 0, status: words[at + 2] ?? 0 });
    }
  });
  return { ledger, site, samples, collected };
}

export function loadOf(changes: Partial<Load> = {}): Load {
  const startMono = monoMs();
  return {
    id: 1,
    baseSeq: 0,
    count: 10,
    ratePerSecond: 1_000,
    startMono,
    endMono: startMono + 10_000,
    target: { first: 0, count: 10, isScattered: false },
    payloadBytes: 128,
    batch: 1,
    connections: 2,
    host: "127.0.0.1",
    port: 0,
    key: "hk_test",
    owners: { users: 3, webhooksEach: 1 },
    isLedgered: true,
    ...changes,
  };
}

/** A server of raw sockets. Gives its port. */
export async function rawServer(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}
