// What one daemon sustains end to end on this machine, with a receivers' ledger: nothing is printed that a receiver
// did not see. Generator and receivers run on the same machine, in processes of their own.
//   node scripts/measure-throughput.ts [--rate 10000] [--seconds 10] [--webhooks 1000] [--payload 1024]
import { type ChildProcess, fork, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Pool } from "undici";

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "10000" },
    seconds: { type: "string", default: "10" },
    webhooks: { type: "string", default: "1000" },
    payload: { type: "string", default: "1024" },
    receiver: { type: "boolean", default: false },
  },
});

interface Tally {
  readonly received: number;
  readonly distinct: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const FILLER = "x".repeat(262_144);
const CONNECTIONS = 512;

if (values.receiver) receive();
else await measure();

/** The receivers' process: counts by webhook-id, and takes the time from the payload. */
function receive(): void {
  const seen = new Set<string>();
  const latencies: number[] = [];
  let received = 0;
  const server = createServer((request, response) => {
    let isFirst = true;
    request.on("data", (chunk: Buffer) => {
      if (isFirst) latencies.push(Date.now() - Number(chunk.subarray(6, 19).toString("latin1")));
      isFirst = false;
    });
    request.on("end", () => {
      received += 1;
      seen.add(String(request.headers["webhook-id"]));
      response.end();
    });
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => process.send?.(server.address()));
  process.on("message", (message) => {
    if (message === "reset") {
      received = 0;
      seen.clear();
      latencies.length = 0;
    }
    const sorted = Float64Array.from(latencies).sort();
    const at = (q: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
    const tally: Tally = { received, distinct: seen.size, p50: at(0.5), p99: at(0.99), max: at(1) };
    process.send?.(tally);
  });
  process.on("disconnect", () => process.exit(0));
}

async function measure(): Promise<void> {
  const rate = Number(values.rate);
  const seconds = Number(values.seconds);
  const webhooks = Number(values.webhooks);
  const dataDir = mkdtempSync(join(tmpdir(), "hookd-measure-"));
  const receiver = fork(new URL(import.meta.url), ["--receiver"]);
  const { port } = (await answer<{ port: number }>(receiver)) as { port: number };
  const daemon = spawn(join(import.meta.dirname, "../bin/hookd"), [
    "serve",
    "--dev",
    "--data-dir",
    dataDir,
    "--listen",
    "127.0.0.1:0",
  ]);
  try {
    const server = await listening(daemon);
    const key = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
    const pool = new Pool(server, { connections: 64, pipelining: 1 });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    await registerAll(pool, headers, webhooks, port);
    await idleLatency(pool, headers, receiver);
    receiver.send("reset");
    await answer(receiver);
    await pool.close();
    await load(server, key, { rate, seconds, webhooks, payload: Number(values.payload) }, receiver, daemon);
  } finally {
    daemon.kill("SIGTERM");
    await new Promise((resolve) => daemon.once("exit", resolve));
    receiver.disconnect();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function registerAll(pool: Pool, headers: Record<string, string>, count: number, port: number) {
  for (let at = 0; at < count; at += 50) {
    const chunk = Array.from({ length: Math.min(50, count - at) }, (_, index) => at + index);
    await Promise.all(
      chunk.map(async (number) => {
        const body = JSON.stringify({
          user_id: `user-${number % 100}`,
          event_id: `bench.event-${number}`,
          callback_url: `http://127.0.0.1:${port}/hooks/${number}`,
        });
        const { statusCode, body: text } = await pool.request({
          method: "POST",
          path: "/v1/webhooks",
          headers,
          body,
        });
        if (statusCode !== 201) throw new Error(`webhook ${number}: ${statusCode} ${await text.text()}`);
        await text.dump();
      }),
    );
  }
}

/** One event at a time through an idle daemon: the time to the 202, and to the receiver. */
async function idleLatency(
  pool: Pool,
  headers: Record<string, string>,
  receiver: ChildProcess,
): Promise<void> {
  const accepts: number[] = [];
  for (let round = 0; round < 50; round += 1) {
    const begun = performance.now();
    const { body } = await pool.request({
      method: "POST",
      path: "/v1/publish/bench.event-0?user_id=user-0",
      headers,
      body: bodyOf(64),
    });
    await body.dump();
    accepts.push(performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  accepts.sort((a, b) => a - b);
  receiver.send("tally");
  const tally = await answer<Tally>(receiver);
  const p50 = accepts[accepts.length >> 1] ?? 0;
  console.log(
    `idle: 202 after ${p50.toFixed(1)} ms (median of 50), at the receiver after ${tally.p50} ms (whole ms, p99 ${tally.p99})`,
  );
}

interface Load {
  readonly rate: number;
  readonly seconds: number;
  readonly webhooks: number;
  readonly payload: number;
}

/** Open loop: what is late is sent as soon as a connection is free, and counts from when it was due. */
async function load(
  server: string,
  key: string,
  { rate, seconds, webhooks, payload }: Load,
  receiver: ChildProcess,
  daemon: ChildProcess,
): Promise<void> {
  const total = rate * seconds;
  let offered = 0;
  let accepted = 0;
  let refused = 0;
  const accepts: number[] = [];
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => connectTo(server)));
  const idle: Publisher[] = [];
  const threadsBefore = threadCpu(daemon.pid ?? 0);
  const cpuBefore = cpuOf(daemon.pid ?? 0);
  const ownBefore = process.cpuUsage();
  const begun = performance.now();
  await new Promise<void>((resolve, reject) => {
    const pump = () => {
      const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * rate));
      while (offered < due) {
        const publisher = idle.pop();
        if (!publisher) return;
        publisher.dueAt = begun + (offered / rate) * 1000;
        publisher.socket.write(requestOf(offered % webhooks, key, bodyOf(payload)));
        offered += 1;
      }
    };
    for (const socket of connections) {
      const publisher: Publisher = { socket, dueAt: 0 };
      idle.push(publisher);
      socket.on("error", reject);
      // An answer is far below one segment: it comes whole.
      socket.on("data", (answer: Buffer) => {
        if (answer.toString("latin1", 9, 12) === "202") accepted += 1;
        else refused += 1;
        accepts.push(performance.now() - publisher.dueAt);
        idle.push(publisher);
        if (accepted + refused === total) resolve();
        else pump();
      });
    }
    const timer = setInterval(() => {
      pump();
      if (offered === total) clearInterval(timer);
    }, 1);
  });
  const acceptedIn = (performance.now() - begun) / 1000;
  let tally = await tallyOf(receiver);
  const deadline = performance.now() + 60_000;
  while (tally.distinct < accepted && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    tally = await tallyOf(receiver);
  }
  const deliveredIn = (performance.now() - begun) / 1000;
  const cpuUs = ((cpuOf(daemon.pid ?? 0) - cpuBefore) * 1e6) / Math.max(1, accepted);
  accepts.sort((a, b) => a - b);
  const at = (q: number) => (accepts[Math.floor(accepts.length * q)] ?? 0).toFixed(1);
  const cpu = cpus();
  console.log(
    `${cpu.length} cores, ${cpu[0]?.model ?? "?"}, Node ${process.version}, ${payload} B payload, ${webhooks} webhooks`,
  );
  console.log(
    `offered ${offered} (${rate}/s), accepted ${accepted} in ${acceptedIn.toFixed(2)} s (${Math.round(accepted / acceptedIn)}/s), refused ${refused}`,
  );
  console.log(
    `delivered ${tally.distinct} in ${deliveredIn.toFixed(2)} s (${Math.round(tally.distinct / deliveredIn)}/s)`,
  );
  console.log(`lost ${accepted - tally.distinct}, duplicated ${tally.received - tally.distinct}`);
  console.log(
    `accept ms p50 ${at(0.5)} p99 ${at(0.99)}; publish to receiver ms p50 ${tally.p50} p99 ${tally.p99} max ${tally.max}`,
  );
  console.log(`CPU of the daemon per event: ${cpuUs.toFixed(0)} us`);
  const own = process.cpuUsage(ownBefore);
  console.log(`CPU of the generator per event: ${((own.user + own.system) / accepted).toFixed(0)} us`);
  console.log(threadsOf(daemon.pid ?? 0, threadsBefore, accepted));
  if (tally.distinct !== accepted || tally.received !== tally.distinct) process.exitCode = 1;
}

interface Publisher {
  readonly socket: Socket;
  dueAt: number;
}

/** Plain sockets and ready-made requests: the generator must cost less than what it measures. */
function requestOf(number: number, key: string, body: string): string {
  return (
    `POST /v1/publish/bench.event-${number}?user_id=user-${number % 100} HTTP/1.1\r\nhost: hookd\r\n` +
    `authorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  );
}

function connectTo(server: string): Promise<Socket> {
  const { hostname, port } = new URL(server);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.setNoDelay(true);
    socket.once("error", reject);
  });
}

async function tallyOf(receiver: ChildProcess): Promise<Tally> {
  receiver.send("tally");
  return answer<Tally>(receiver);
}

function bodyOf(bytes: number): string {
  const head = `{"at":${Date.now()},"x":"`;
  return `${head}${FILLER.slice(0, Math.max(0, bytes - head.length - 2))}"}`;
}

/** User and system time of a process, seconds (proc(5), fields 14 and 15 in ticks of 10 ms). */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** CPU seconds by thread name; Node's workers carry the names that they were given. */
function threadCpu(pid: number): Map<string, { name: string; seconds: number }> {
  const threads = new Map<string, { name: string; seconds: number }>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, "utf8");
    const fields = stat.split(") ")[1]?.split(" ") ?? [];
    const name = /\((.*)\)/.exec(stat)?.[1] ?? "?";
    threads.set(tid, { name, seconds: (Number(fields[11]) + Number(fields[12])) / 100 });
  }
  return threads;
}

function threadsOf(pid: number, before: ReturnType<typeof threadCpu>, events: number): string {
  const shares = [...threadCpu(pid)]
    .map(([tid, { name, seconds }]) => ({
      name,
      us: ((seconds - (before.get(tid)?.seconds ?? 0)) * 1e6) / events,
    }))
    .filter(({ us }) => us >= 1)
    .sort((a, b) => b.us - a.us);
  return `CPU by thread, us per event: ${shares.map(({ name, us }) => `${name} ${us.toFixed(0)}`).join(", ")}`;
}

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve) => child.once("message", (message) => resolve(message as T)));
}

function listening(daemon: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const look = (chunk: Buffer) => {
      text += chunk;
      const found = /"address":"(http:[^"]+)"/.exec(text);
      if (found?.[1]) resolve(found[1]);
    };
    daemon.stdout?.on("data", look);
    daemon.stderr?.on("data", look);
    daemon.once("exit", (code) => {
      if (code !== 0) console.error(`hookd serve ended with ${code}:\n${text.slice(-3000)}`);
    });
    daemon.once("exit", (code) => reject(new Error(`hookd serve ended with ${code}: ${text}`)));
  });
}
