/** What this machine could do at best: a client and a server with nothing round them, and the disk. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { Agent, request } from "undici";
import { monoMs } from "./mono.ts";
import type { CalibrationData, FromCalibration, ToCalibration } from "./thread-messages.ts";

const CONCURRENCY = 64;
const KEEP_ALIVE_MS = 60_000;
const SYNCED_BYTES = 4_096;
const POST_BYTES = 1_024;
/** Of the time, at first: the code is still being compiled. */
const WARM_UP_SHARE = 0.2;
/** As long as hookd's own answer to one event. */
const ANSWER = JSON.stringify({
  event_uid: "evt_01kb1zq7x2e4qvm0c6wq6m5e7t",
  delivery_count: 1,
  deliveries: [{ id: "dlv_01kb1zq7x2e4qvm0c6wq6m5e7t", webhook_id: "wh_01kb1zq7x2e4qvm0c6wq6m5e7t" }],
  duplicate: false,
});

const { origins, directory } = workerData as CalibrationData;
const agent = new Agent({
  connections: CONCURRENCY,
  pipelining: 1,
  allowH2: false,
  headersTimeout: 0,
  bodyTimeout: 0,
  keepAliveTimeout: KEEP_ALIVE_MS,
  keepAliveMaxTimeout: KEEP_ALIVE_MS,
});
let acceptedCount = 0;

parentPort?.on("message", (message: ToCalibration) => {
  switch (message.kind) {
    case "post":
      void post(message.durationMs).then(send);
      return;
    case "listen":
      listen();
      return;
    case "accepted":
      send({ kind: "accepted", count: acceptedCount, cpuSeconds: threadCpuSeconds() });
      return;
    case "sync":
      send({ kind: "synced", ms: syncTimes(message.count) });
      return;
    default:
      message satisfies never;
  }
});

/** 64 posts under way at any time, over the origins in turn. The time is without that of the first round. */
async function post(durationMs: number): Promise<FromCalibration> {
  const body = Buffer.alloc(POST_BYTES, "x");
  const headers = { "content-type": "application/json" };
  const beginMono = monoMs() + durationMs * WARM_UP_SHARE;
  let endMono = Infinity;
  let begun = { mono: monoMs(), cpuSeconds: threadCpuSeconds(), count: 0 };
  let isWarm = false;
  let count = 0;
  let next = 0;
  const postInTurn = async (): Promise<void> => {
    for (let now = monoMs(); now < endMono; now = monoMs()) {
      const origin = origins[next % origins.length] ?? "";
      next += 1;
      const answer = await request(`${origin}/calibration`, {
        method: "POST",
        headers,
        body,
        dispatcher: agent,
      });
      await answer.body.dump();
      count += 1;
      // What counts is posting, not connecting: every origin has had its turn.
      if (isWarm || monoMs() < beginMono || count < origins.length) continue;
      isWarm = true;
      begun = { mono: monoMs(), cpuSeconds: threadCpuSeconds(), count };
      endMono = begun.mono + durationMs * (1 - WARM_UP_SHARE);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, postInTurn));
  return {
    kind: "posted",
    count: count - begun.count,
    seconds: (monoMs() - begun.mono) / 1_000,
    cpuSeconds: threadCpuSeconds() - begun.cpuSeconds,
  };
}

function listen(): void {
  const server = createServer((request, response) => {
    request.on("data", () => {});
    request.on("end", () => {
      acceptedCount += 1;
      response.writeHead(202, {
        "content-type": "application/json; charset=utf-8",
        "content-length": ANSWER.length,
      });
      response.end(ANSWER);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    if (address !== null && typeof address === "object") send({ kind: "listening", port: address.port });
  });
}

function syncTimes(count: number): number[] {
  const path = join(directory, ".hookd-bench-sync");
  const file = openSync(path, "w");
  const block = Buffer.alloc(SYNCED_BYTES, 1);
  try {
    return Array.from({ length: count }, () => {
      const begun = monoMs();
      writeSync(file, block);
      fdatasyncSync(file);
      return monoMs() - begun;
    });
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

function threadCpuSeconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
}

function send(message: FromCalibration): void {
  parentPort?.postMessage(message);
}
