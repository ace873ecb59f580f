// What the director and the store cost by themselves: real SQLite, a sender that answers at once, no network.
//   node scripts/measure-director.ts [--seconds 10] [--batch 64] [--webhooks 1000] [--uids]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadConfig } from "../src/config/load.ts";
import type { WebhookId } from "../src/domain/ids.ts";
import { Director } from "../src/engine/director.ts";
import type { WebhookFields } from "../src/engine/port.ts";
import { systemClock } from "../src/lib/clock.ts";
import { steadyClock } from "../src/lib/steady-clock.ts";
import { systemTimers } from "../src/lib/timers.ts";
import type { Outcome, Sender, SendOrder } from "../src/sender/port.ts";
import { createSqliteStore } from "../src/store/sqlite/sqlite-store.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    batch: { type: "string", default: "64" },
    webhooks: { type: "string", default: "1000" },
    uids: { type: "boolean", default: false },
  },
});
const batch = Number(values.batch);
const webhookCount = Number(values.webhooks);
const dataDir = mkdtempSync(join(tmpdir(), "hookd-measure-"));
const config = loadConfig({ env: {}, flags: { data_dir: dataDir } });
const clock = steadyClock(systemClock);
const store = createSqliteStore({
  dataDir,
  dedupeWindowMs: config.limits.dedupeWindowMs,
  clock,
  isCheckpointedAside: true,
});

function outcomeOf(order: SendOrder): Outcome {
  return {
    deliveryId: order.deliveryId,
    token: order.token,
    webhookId: order.webhookId,
    retryAfterMs: null,
    attempt: {
      number: order.attemptNumber,
      startedAt: clock.now(),
      durationMs: 1,
      verdict: "success",
      statusCode: 200,
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
  senders: [sender],
  clock,
  timers: systemTimers,
  random: Math.random,
  freeBytes: () => Number.MAX_SAFE_INTEGER,
  log: { attempts: () => {}, warn: () => {} },
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

const payload = Buffer.alloc(1024, "x");
const cpuBefore = process.cpuUsage();
const begun = performance.now();
const until = begun + Number(values.seconds) * 1000;
let events = 0;
const waits: number[] = [];

/** Two publishers with a batch each in flight: while one commit runs the next batch gathers. */
async function publish(): Promise<void> {
  while (performance.now() < until) {
    const sent = performance.now();
    await director.publishMany(
      Array.from({ length: batch }, (_, index) => {
        const number = (events + index) % webhookCount;
        return {
          userId: `user-${number % 100}`,
          eventId: `bench.event-${number}`,
          uid: values.uids ? `uid-${events + index}` : null,
          contentType: "application/json",
          payload,
          targets: [webhooks[number] ?? (0 as WebhookId)],
          trace: null,
        };
      }),
    );
    events += batch;
    waits.push(performance.now() - sent);
  }
}
await Promise.all([publish(), publish()]);
const seconds = (performance.now() - begun) / 1000;
const cpu = process.cpuUsage(cpuBefore);
waits.sort((a, b) => a - b);
const at = (q: number) => (waits[Math.floor((waits.length - 1) * q)] ?? 0).toFixed(1);
console.log(
  `${events} events in ${seconds.toFixed(1)} s: ${Math.round(events / seconds)}/s, batches of ${batch}`,
);
console.log(`batch to durable: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms`);
console.log(
  `CPU per event: user ${(cpu.user / events).toFixed(1)} us, system ${(cpu.system / events).toFixed(1)} us`,
);
const { counters } = await director.stats();
console.log(`delivered ${counters.hookd_deliveries_succeeded_total} of ${events}`);
await director.stop();
rmSync(dataDir, { recursive: true, force: true });
