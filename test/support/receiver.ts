import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly atMono: number;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface Receiver {
  readonly url: string;
  readonly port: number;
  readonly received: readonly Received[];
  /** How it answers from now on; by default 200. */
  answer: (request: Received, count: number) => Answer | Promise<Answer>;
  /** Resolves when so many requests have come in all. */
  waitFor(count: number, ms?: number): Promise<readonly Received[]>;
  stop(): Promise<void>;
}

/** A receiver on loopback that keeps all it got. Stops with the test. */
export async function startReceiver(port = 0, host = "127.0.0.1"): Promise<Receiver> {
  const received: Received[] = [];
  const waiting = new Set<() => void>();
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("error", () => {});
    request.on("end", async () => {
      const one: Received = {
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks),
        atMono: performance.now(),
      };
      received.push(one);
      const answer = await receiver.answer(one, received.length);
      response.writeHead(answer.status, answer.headers);
      response.end(answer.body ?? "ok");
      for (const check of waiting) check();
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  const bound = (server.address() as AddressInfo).port;
  const receiver: Receiver = {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    port: bound,
    received,
    answer: () => ({ status: 200 }),
    waitFor(count, ms = 15_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(check);
          reject(new Error(`${received.length} of ${count} requests came within ${ms} ms`));
        }, ms);
        const check = () => {
          if (received.length < count) return;
          clearTimeout(timer);
          waiting.delete(check);
          resolve(received);
        };
        waiting.add(check);
        check();
      });
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  onTestFinished(() => receiver.stop());
  return receiver;
}
