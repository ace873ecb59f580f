// What retention costs the director: real SQLite, a sender that answers at once, a steady rate in and as much out.
//   node scripts/measure-retention.ts [--seconds 60] [--rate 12000] [--keep 10s] [--archive] [--uids] [--webhooks 1000]
// --rate 0: as fast as it goes. --keep none: nothing is pruned. --dead 0.01: share that dies at its first attempt.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Config } from "../src/config/config.ts";
import { loadConfig } from "../src/config/load.ts";
import type { WebhookId } from "../src/domain/ids.ts";
import { Director } from "../src/engine/director.ts";
import type { WebhookFields } from "../src/engine/port.ts";
import { systemClock } from "../src/lib/clock.ts";
import { steadyClock } from "../src/lib/steady-clock.ts";
import { systemTimers } from "../src/lib/timers.ts";
import { parseDuration } from "../src/lib/units.ts";
import type { Outcome, Sender, SendOrder } from "../src/sender/port.ts";
import { createSqliteStore } from "../src/store/sqlite/sqlite-store.ts";
import { RemoteArchive } from "../src/threads/remote-archive.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    rate: { type: "string", default: "12000" },
    batch: { type: "string", default: "64" },
    webhooks: { type: "string", default: "1000" },
    keep: { type: "string", default: "10s" },
    dead: { type: "string", default: "0" },
    archive: { type: "boolean", default: false },
    uids: { type: "boolean", default: false },
    directory: { type: "string", default: tmpdir() },
  },
});
const batch = Number(values.batch);
const rate = Number(values.rate);
const webhookCount = Number(values.webhooks);
const deadShare = Number(values.dead);
const root = mkdtempSync(join(values.directory, "hookd-retention-"));
const dataDir = join(root, "data");
const base = loadConfig({ env: {}, flags: { data_dir: dataDir } });
const keepMs = values.keep === "none" ? 3 * 86_400_000 : (parseDuration(values.keep) ?? Number.NaN);
const config: Config = { ...base, retention: { successMs: keepMs, deadMs: keepMs, archiveDir: null } };
const clock = steadyClock(systemClock);
mkdirSync(dataDir);
const store = createSqliteStore({
  dataDir,
  dedupeWindowMs: config.limits.dedupeWindowMs,
  clock,
  isCheckpointedAside: true,
});
let answered = 0;

function outcomeOf(order: SendOrder): Outcome {
  answered += 1;
  const isDead = answered % 1000 < deadShare * 1000;
  return {
    deliveryId: order.deliveryId,
    token: order.token,
    webhookId: order.webhookId,
    retryAfterMs: null,
    attempt: {
      number: order.attemptNumber,
      startedAt: clock.now(),
      durationMs: 1,
      verdict: isDead ? "permanent" : "success",
      statusCode: isDead ? 404 : 200,
      error: null,
      excerpt: null,
    },
  };
}

const sender: Sender = {
  putTarget: () => {},
  dropTarget: () => {},
  send: (orders) => setImmediate(() => director.takeOutcomes(orders.map(outcomeOf))),
  stop: async () => {},
};
const director: Director = new Director({
  config,
  store,
  archive: values.archive ? new RemoteArchive(join(root, "archive"), () => director.salt) : null,
  senders: [sender],
  clock,
  timers: systemTimers,
  random: Math.random,
  freeBytes: () => Number.MAX_SAFE_INTEGER,
  log: { attempts: () => {}, warn: (message, fields) => console.error(message, fields) },
  onFatal: (error) => {
    throw error;
  },
});
await director.start();
const webhooks: WebhookId[] = [];
for (let index = 0; index < webhookCount; index += 1) {
  const fields: WebhookFields = {
    userId: `user-${index % 100}`,
    eventId: `bench.event-${index}`,
    callbackUrl: "http://127.0.0.1:1/",
    description: null,
    metadata: {},
    sealed: new Uint8Array(80),
    headerNames: [],
    isActive: true,
    rateLimit: null,
    concurrencyMax: null,
    timeoutMs: null,
    retry: null,
    permanent: null,
    ordering: "none",
  };
  webhooks.push((await director.createWebhook(fields)).id);
}

/** JSON of 1 KiB that compresses about as real events do: half of it is random. */
function payloadOf(number: number): Buffer {
  const noise = Buffer.from(Array.from({ length: 330 }, () => Math.floor(Math.random() * 256)));
  const head = `{"type":"bench.event","number":${number},"noise":"${noise.toString("base64")}","text":"`;
  return Buffer.from(
    `${head}${"the order was paid and is on its way ".repeat(20).slice(0, 1022 - head.length)}"}`,
  );
}
const payloads = Array.from({ length: 4096 }, (_, index) => payloadOf(index));

const begun = performance.now();
const until = begun + Number(values.seconds) * 1000;
/** Figures are of the second half, when as much goes as comes. */
const half = begun + (until - begun) / 2;
let events = 0;
let eventsAtHalf = 0;
let cpuAtHalf = process.threadCpuUsage();
const waits: number[] = [];
const gaps: number[] = [];
let lastDone = begun;

/** The batch is due at its time, so that a stall is seen by all that it delays. */
async function publish(dueAt: number): Promise<void> {
  const from = events;
  events += batch;
  await director.publishMany(
    Array.from({ length: batch }, (_, index) => {
      const number = (from + index) % webhookCount;
      return {
        userId: `user-${number % 100}`,
        eventId: `bench.event-${number}`,
        uid: values.uids ? `uid-${from + index}` : null,
        contentType: "application/json",
        payload: payloads[(from + index) % payloads.length] ?? new Uint8Array(0),
        targets: [webhooks[number] ?? (0 as WebhookId)],
        trace: null,
      };
    }),
  );
  const now = performance.now();
  if (now > half) {
    waits.push(now - dueAt);
    gaps.push(now - lastDone);
  }
  lastDone = now;
}

async function flatOut(): Promise<void> {
  while (performance.now() < until) await publish(performance.now());
}

async function steadily(): Promise<void> {
  const open: Promise<void>[] = [];
  for (let sent = 0; performance.now() < until; ) {
    const due = Math.floor(((performance.now() - begun) / 1000) * (rate / batch));
    for (; sent < due; sent += 1) open.push(publish(begun + ((sent + 1) * 1000 * batch) / rate));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(open);
}

const sizes: number[] = [];
const sampling = setInterval(() => sizes.push(statSync(join(dataDir, "hookd.db")).size), 1000);
const halving = setTimeout(() => {
  cpuAtHalf = process.threadCpuUsage();
  eventsAtHalf = events;
}, half - begun);
await (rate > 0 ? steadily() : Promise.all([flatOut(), flatOut()]));
const seconds = (performance.now() - half) / 1000;
const cpu = process.threadCpuUsage(cpuAtHalf);
clearInterval(sampling);
clearTimeout(halving);
const measured = events - eventsAtHalf;
const at = (sorted: number[], q: number) => (sorted[Math.floor((sorted.length - 1) * q)] ?? 0).toFixed(1);
waits.sort((a, b) => a - b);
gaps.sort((a, b) => a - b);
const { counters, gauges } = await director.stats();
console.log(`keep ${values.keep}, archive ${values.archive}: ${Math.round(measured / seconds)} events/s`);
console.log(
  `due to durable: p50 ${at(waits, 0.5)} p99 ${at(waits, 0.99)} p99.9 ${at(waits, 0.999)} max ${at(waits, 1)} ms`,
);
console.log(`between commits: p99 ${at(gaps, 0.99)} p99.9 ${at(gaps, 0.999)} max ${at(gaps, 1)} ms`);
console.log(
  `CPU of the thread per event: user ${(cpu.user / measured).toFixed(1)} us, system ${(cpu.system / measured).toFixed(1)} us`,
);
console.log(
  `file, MiB, every tenth of the run: ${tenths(sizes)
    .map((size) => Math.round(size / 2 ** 20))
    .join(" ")}`,
);
const ended = Number(counters.hookd_deliveries_succeeded_total) + Number(gauges.hookd_dlq_size);
console.log(
  `ended ${ended} of ${events}; pruned ${counters.hookd_deliveries_pruned_total}, archived ${counters.hookd_deliveries_archived_total}`,
);
for (const file of readdirSync(root, { recursive: true, encoding: "utf8" })) {
  if (file.endsWith(".gz")) console.log(`${file}: ${statSync(join(root, file)).size} bytes`);
}
await director.stop();
rmSync(root, { recursive: true, force: true });

function tenths(all: readonly number[]): number[] {
  return Array.from(
    { length: 10 },
    (_, index) => all[Math.floor((all.length - 1) * ((index + 1) / 10))] ?? 0,
  );
}
