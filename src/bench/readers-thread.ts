/** Clients that read while events go through: lists again and again, and the stream of what settles. */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Agent } from "undici";

export interface ReadersData {
  readonly origin: string;
  readonly key: string;
  readonly lists: number;
  readonly streams: number;
}

export interface ReadersTold {
  readonly pages: number;
  readonly streamBytes: number;
  /** Streams on which an attempt has come. */
  readonly streamsServed: number;
  readonly failed: number;
}

const PATHS = [
  "/v1/deliveries?limit=50",
  "/v1/deliveries?status=failed&limit=50",
  "/v1/webhooks?limit=50",
  "/v1/dlq?limit=50",
];
/** Between two pages of one client, as somebody who looks. */
const PAUSE_MS = 100;

const { origin, key, lists, streams } = workerData as ReadersData;
const agent = new Agent({ connections: lists + streams, pipelining: 1, bodyTimeout: 0, headersTimeout: 0 });
const headers = { authorization: `Bearer ${key}` };
let [pages, streamBytes, streamsServed, failed] = [0, 0, 0, 0];

parentPort?.on("message", () =>
  parentPort?.postMessage({ pages, streamBytes, streamsServed, failed } satisfies ReadersTold),
);
for (let client = 0; client < lists; client += 1) void readLists(client);
for (let client = 0; client < streams; client += 1) void readStream();

async function readLists(client: number): Promise<void> {
  for (let page = client; ; page += 1) {
    const path = PATHS[page % PATHS.length] ?? "/v1/deliveries";
    const { statusCode, body } = await agent.request({ origin, path, method: "GET", headers });
    await body.dump({ limit: Number.MAX_SAFE_INTEGER });
    if (statusCode === 200) pages += 1;
    else failed += 1;
    await sleep(PAUSE_MS);
  }
}

async function readStream(): Promise<void> {
  const { statusCode, body } = await agent.request({ origin, path: "/v1/stream", method: "GET", headers });
  if (statusCode !== 200) failed += 1;
  let isServed = false;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    streamBytes += chunk.length;
    if (isServed || !chunk.includes("event: attempt")) continue;
    isServed = true;
    streamsServed += 1;
  }
}
