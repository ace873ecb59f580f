// What a backup costs the director: what commits take meanwhile.
//   node scripts/measure-backup.ts [events, 200000]
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type DeliveryId, type EventSeq, sequence, type WebhookId } from "../src/domain/ids.ts";
import { systemClock } from "../src/lib/clock.ts";
import { createSqliteStore } from "../src/store/sqlite/sqlite-store.ts";

const EVENTS = Number(process.argv[2] ?? 200_000);
const BATCH = 100;
const WEBHOOKS = 1_000;
/** Between commits of the load: some 4,000 events a second. */
const PAUSE_MS = 20;
const PAYLOAD = Buffer.alloc(1_024, 7);

const dataDir = mkdtempSync(join(tmpdir(), "hookd-measure-"));
const store = createSqliteStore({
  dataDir,
  dedupeWindowMs: 86_400_000,
  clock: systemClock,
  isCheckpointedAside: true,
});
const ids = sequence(0);
try {
  await store.open();
  for (let n = 0; n < EVENTS; n += BATCH) {
    await commit();
    if (n % 10_000 === 0) while (await store.maintain());
  }
  const alone = await commitsUntil(sleep(3_000));
  let steps = 0;
  const begunMono = performance.now();
  const path = join(dataDir, "copy.db");
  const copying = store.backup(path, {
    signal: new AbortController().signal,
    onProgress: () => {
      steps += 1;
    },
  });
  const meanwhile = await commitsUntil(copying);
  const seconds = (performance.now() - begunMono) / 1_000;
  console.log(`${(statSync(path).size / 2 ** 20).toFixed(0)} MiB in ${seconds.toFixed(1)} s, ${steps} steps`);
  console.log(`commits of ${BATCH}, ms, alone: ${spread(alone)}`);
  console.log(`commits of ${BATCH}, ms, during the backup: ${spread(meanwhile)}`);
  await store.close();
} finally {
  rmSync(dataDir, { recursive: true, force: true });
}

async function commitsUntil(end: Promise<unknown>): Promise<number[]> {
  const tookMs: number[] = [];
  let isOver = false;
  const over = end.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const begunMono = performance.now();
    await commit();
    tookMs.push(performance.now() - begunMono);
    await sleep(PAUSE_MS);
  }
  await over;
  return tookMs;
}

async function commit(): Promise<void> {
  const now = systemClock.now();
  const appends = Array.from({ length: BATCH }, () => {
    const seq = ids.next(now);
    const webhookId = ((seq % WEBHOOKS) + 1) as WebhookId;
    return {
      seq: seq as EventSeq,
      userId: "user",
      eventId: "order.paid",
      uid: null,
      dedupe: null,
      contentType: "application/json",
      payload: PAYLOAD,
      targets: [{ id: seq as DeliveryId, webhookId, userId: "user", token: 0, reason: null }],
      expansion: null,
      trace: null,
    };
  });
  await store.commit({ now, appends, settlements: [], laneStates: [] });
}

function spread(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? 0).toFixed(1);
  return `p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} (${values.length})`;
}
