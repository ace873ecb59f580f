/**
 * Attempts per second of one sender thread, against a receiver in a child process on loopback: 64 at a time,
 * 1 KiB payloads, each signed. Before and after, in the same run, a bare undici Pool posts the same,
 * unsigned.
 *
 *   node scripts/measure-sender.ts [seconds per phase, default 4]
 */
import { type ChildProcess, fork } from "node:child_process";
import { createServer } from "node:net";
import { Agent } from "undici";
import { compileAddressPolicy } from "../src/domain/address.ts";
import type { DeliveryId, WebhookId } from "../src/domain/ids.ts";
import { systemClock } from "../src/lib/clock.ts";
import { createSender } from "../src/sender/http-sender.ts";
import type { SendOrder } from "../src/sender/port.ts";

const CONCURRENCY = 64;
const PAYLOAD = Buffer.alloc(1_024, "x");
const ANSWER = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=60\r\n\r\nok");

if (process.send === undefined) await measure();
else receive();

/** Answers once per request without parsing more than it must, so that the sender is what is measured. */
function receive(): void {
  const bodyBytes = Number(process.argv[2]);
  const server = createServer((socket) => {
    let pending = Buffer.alloc(0);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      for (let head = pending.indexOf("\r\n\r\n"); head >= 0; head = pending.indexOf("\r\n\r\n")) {
        if (pending.length < head + 4 + bodyBytes) return;
        pending = pending.subarray(head + 4 + bodyBytes);
        socket.write(ANSWER);
      }
    });
  });
  server.listen(0, "127.0.0.1", 4_096, () => process.send?.(server.address()));
}

async function measure(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 4);
  const child = fork(import.meta.filename, [String(PAYLOAD.length)]);
  const port = await new Promise<number>((resolve) =>
    child.once("message", (message: { port: number }) => resolve(message.port)),
  );
  const origin = `http://127.0.0.1:${port}`;
  const rows: [string, number, number][] = [];
  for (const name of ["bare undici", "sender", "bare undici", "sender", "bare undici"]) {
    const cpu = process.cpuUsage();
    const count = name === "sender" ? await runSender(origin, seconds) : await runBare(origin, seconds);
    const used = process.cpuUsage(cpu);
    rows.push([name, count / seconds, (used.user + used.system) / count]);
  }
  for (const [name, perSecond, cpuMicros] of rows) {
    console.log(
      `${name.padEnd(12)} ${perSecond.toFixed(0).padStart(7)} attempts/s  ${cpuMicros.toFixed(1)} us CPU each`,
    );
  }
  stop(child);
}

function runSender(origin: string, seconds: number): Promise<number> {
  const endMono = performance.now() + seconds * 1_000;
  return new Promise((resolve, reject) => {
    let count = 0;
    let inFlight = 0;
    const order = (): SendOrder => ({
      deliveryId: (count + inFlight) as DeliveryId,
      token: count,
      webhookId: 1 as WebhookId,
      attemptNumber: 1,
      eventUid: "evt_01kb1zq7x2e4qvm0c6wq6m5e7t",
      eventId: "user.created",
      contentType: "application/json",
      payload: PAYLOAD,
    });
    const sender = createSender(
      {
        clock: systemClock,
        version: "0.0.0",
        policy: compileAddressPolicy({ allow: [], allowLoopback: true, nat64: false, own: [] }),
        allowHttp: true,
        allowLoopback: true,
        dnsServers: [],
        caFile: null,
        excerptBytes: 1_024,
        idleConnectionsMax: 2_048,
        open: () => ({
          secrets: [{ secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", expiresAt: null }],
          headers: [],
        }),
      },
      (outcome) => {
        if (outcome.attempt.verdict !== "success") reject(new Error(JSON.stringify(outcome)));
        inFlight -= 1;
        count += 1;
        if (performance.now() < endMono) begin();
        else if (inFlight === 0) sender.stop().then(() => resolve(count), reject);
      },
    );
    const begin = (): void => {
      inFlight += 1;
      sender.send([order()]);
    };
    sender.putTarget({
      webhookId: 1 as WebhookId,
      publicId: "wh_01kb1zq7x2e4qvm0c6wq6m5e7t",
      callbackUrl: `${origin}/hook`,
      timeoutMs: 15_000,
      sealed: new Uint8Array(0),
      permanent: ["4xx"],
    });
    for (let index = 0; index < CONCURRENCY; index += 1) begin();
  });
}

/** The floor: undici's own pool, `dispatch` with a handler that only counts. */
async function runBare(origin: string, seconds: number): Promise<number> {
  const endMono = performance.now() + seconds * 1_000;
  const agent = new Agent({
    connections: CONCURRENCY,
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const headers = ["content-type", "application/json"];
  let count = 0;
  const one = (done: () => void): void => {
    agent.dispatch(
      { origin, path: "/hook", method: "POST", headers, body: PAYLOAD },
      {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseError(_controller, error) {
          throw error;
        },
        onResponseEnd() {
          count += 1;
          if (performance.now() < endMono) one(done);
          else done();
        },
      },
    );
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, () => new Promise<void>((done) => one(done))));
  await agent.close();
  return count;
}

function stop(child: ChildProcess): void {
  child.disconnect();
  child.kill();
}
