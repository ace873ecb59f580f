/**
 * Attempts per second of one sender thread, and CPU per attempt, against a receiver in a child process on
 * loopback: 1 KiB payloads, each signed twice.
 *
 *   node scripts/measure-sender.ts [seconds per phase, default 4] [phase ...]
 *
 * Saturated: 64 at a time to one origin; before, between and after, a bare undici Agent posts the same,
 * unsigned. Paced: a steady 10,000 a second over 64 and over 1,000 origins, begun in batches of what a
 * millisecond brings, as orders come to a sender. Swinging: in flight from 2,000 to 4,000 and back at one
 * origin, with 2,048 idle connections.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createServer } from "node:net";
import { Agent } from "undici";
import { compileAddressPolicy } from "../src/domain/address.ts";
import type { DeliveryId, WebhookId } from "../src/domain/ids.ts";
import { systemClock } from "../src/lib/clock.ts";
import { createSender, type HttpSender } from "../src/sender/http-sender.ts";
import type { Outcome } from "../src/sender/port.ts";

const CONCURRENCY = 64;
const PER_SECOND = 10_000;
const PACE_CATCH_UP_MS = 5;
const SWING_LOW = 2_000;
const SWING_HIGH = 4_000;
const WARM_UP_MS = 1_500;
const PAYLOAD = Buffer.alloc(1_024, "x");
const ANSWER = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=60\r\n\r\nok");

interface Result {
  readonly count: number;
  readonly seconds: number;
  /** Of this thread; `userMicros` of it outside the kernel. */
  readonly cpuMicros: number;
  readonly userMicros: number;
  /** Of the whole process: with the collector's and the compiler's threads. */
  readonly processMicros: number;
}
type Phase = (port: number, seconds: number) => Promise<Result>;

const PHASES: Readonly<Record<string, Phase>> = {
  "bare undici": runBare,
  sender: (port, seconds) => runSender(port, 1, seconds, saturate),
  "sender, 10,000/s, 64 origins": (port, seconds) => runSender(port, 64, seconds, pace),
  "sender, 10,000/s, 1,000 origins": (port, seconds) => runSender(port, 1_000, seconds, pace),
  "sender, swinging": (port, seconds) => runSender(port, 1, seconds, swing),
};
const USUAL = [
  "bare undici",
  "sender",
  "bare undici",
  "sender",
  "bare undici",
  ...Object.keys(PHASES).slice(2),
];

if (process.send === undefined) await measure();
else receive();

/** Answers once per request without parsing more than it must, so that the sender is what is measured. */
function receive(): void {
  const bodyBytes = Number(process.argv[2]);
  process.on("disconnect", () => process.exit());
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
  server.listen(0, "0.0.0.0", 4_096, () => process.send?.(server.address()));
}

async function measure(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 4);
  const names = process.argv.length > 3 ? process.argv.slice(3) : USUAL;
  const child = fork(import.meta.filename, [String(PAYLOAD.length)]);
  const port = await new Promise<number>((resolve) =>
    child.once("message", (message: { port: number }) => resolve(message.port)),
  );
  for (const name of names) {
    const phase = PHASES[name];
    if (phase === undefined) throw new Error(`"${name}" is none of: ${Object.keys(PHASES).join("; ")}`);
    const { count, seconds: took, cpuMicros, userMicros, processMicros } = await phase(port, seconds);
    const [rate, cpu, user, all] = [
      count / took,
      cpuMicros / count,
      userMicros / count,
      processMicros / count,
    ];
    console.log(
      `${name.padEnd(32)} ${rate.toFixed(0).padStart(7)} attempts/s  ${cpu.toFixed(1)} us CPU each ` +
        `(${user.toFixed(1)} outside the kernel; ${all.toFixed(1)} with all threads)`,
    );
  }
  stop(child);
}

/** How a phase keeps its sender busy: begins attempts, and hears of each that has ended. */
interface Load {
  onOutcome(): void;
  stop(): void;
}

function saturate(begin: (count: number) => void): Load {
  begin(CONCURRENCY);
  return { onOutcome: () => begin(1), stop: () => {} };
}

function pace(begin: (count: number) => void): Load {
  let lastMono = performance.now();
  let owed = 0;
  const timer = setInterval(() => {
    const nowMono = performance.now();
    // After a stall of this machine it goes on at its pace: a burst would be another measurement.
    owed += (Math.min(nowMono - lastMono, PACE_CATCH_UP_MS) * PER_SECOND) / 1_000;
    lastMono = nowMono;
    const count = Math.floor(owed);
    owed -= count;
    begin(count);
  }, 1);
  return { onOutcome: () => {}, stop: () => clearInterval(timer) };
}

function swing(begin: (count: number) => void): Load {
  let inFlight = SWING_HIGH;
  begin(inFlight);
  return {
    onOutcome: () => {
      inFlight -= 1;
      if (inFlight > SWING_LOW) return;
      begin(SWING_HIGH - inFlight);
      inFlight = SWING_HIGH;
    },
    stop: () => {},
  };
}

function runSender(port: number, origins: number, seconds: number, start: typeof saturate): Promise<Result> {
  return new Promise((resolve, reject) => {
    let count = 0;
    let begun = 0;
    let isOver = false;
    const sender = measuredSender((outcome) => {
      if (outcome.attempt.verdict !== "success") reject(new Error(JSON.stringify(outcome)));
      count += 1;
      if (!isOver) load.onOutcome();
    });
    for (let index = 0; index < origins; index += 1) putTarget(sender, index, port);
    const begin = (howMany: number): void => {
      const orders = Array.from({ length: howMany }, (_, index) => orderFor((begun + index) % origins));
      begun += howMany;
      sender.send(orders);
    };
    const load = start(begin);
    setTimeout(() => {
      const countBefore = count;
      const used = cpuSince();
      setTimeout(() => {
        const result = { count: count - countBefore, ...used() };
        isOver = true;
        load.stop();
        sender.stop().then(() => resolve(result), reject);
      }, seconds * 1_000);
    }, WARM_UP_MS);
  });
}

function measuredSender(onOutcome: (outcome: Outcome) => void): HttpSender {
  return createSender(
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
    onOutcome,
  );
}

/** Every address in 127/8 is this machine: so many origins, one receiver. */
function putTarget(sender: HttpSender, index: number, port: number): void {
  sender.putTarget({
    webhookId: index as WebhookId,
    publicId: "wh_01kb1zq7x2e4qvm0c6wq6m5e7t",
    callbackUrl: `http://127.0.${index >> 7}.${1 + (index & 127)}:${port}/hook${index}`,
    timeoutMs: 15_000,
    sealed: new Uint8Array(0),
    permanent: ["4xx"],
  });
}

function orderFor(index: number) {
  return {
    deliveryId: index as DeliveryId,
    token: index,
    webhookId: index as WebhookId,
    attemptNumber: 1,
    eventUid: "evt_01kb1zq7x2e4qvm0c6wq6m5e7t",
    eventId: "user.created",
    contentType: "application/json",
    payload: PAYLOAD,
    traceparent: null,
  };
}

/** The floor: undici's own pool, `dispatch` with a handler that only counts. */
async function runBare(port: number, seconds: number): Promise<Result> {
  const origin = `http://127.0.0.1:${port}`;
  const endMono = performance.now() + seconds * 1_000;
  const used = cpuSince();
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
  return { count, ...used() };
}

function cpuSince(): () => Omit<Result, "count"> {
  const [thread, process_, startMono] = [process.threadCpuUsage(), process.cpuUsage(), performance.now()];
  return () => {
    const [own, all] = [process.threadCpuUsage(thread), process.cpuUsage(process_)];
    return {
      seconds: (performance.now() - startMono) / 1_000,
      cpuMicros: own.user + own.system,
      userMicros: own.user,
      processMicros: all.user + all.system,
    };
  };
}

function stop(child: ChildProcess): void {
  child.disconnect();
  child.kill();
}
