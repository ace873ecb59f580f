import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { uidKey } from "../../src/domain/dedupe.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { connect } from "../../src/store/sqlite/connection.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { startDaemon } from "../support/daemon.ts";
import { Ledger } from "../support/ledger.ts";
import { Publisher } from "../support/publisher.ts";
import { temporaryDirectory, until } from "../support/world.ts";
import { Disk, readJournal } from "./disk.ts";
import {
  addWebhook,
  IS_GATES,
  killDaemon,
  randomFrom,
  seedOf,
  startReceivers,
  webhookName,
} from "./world.ts";

const POINTS = IS_GATES ? 200 : 20;
const POINTS_PLANTED = IS_GATES ? 40 : 8;
/** Accepted while the shim looks on; their 20 kB each fill the log, so that there are checkpoints. */
const EVENTS = IS_GATES ? 5_000 : 1_500;
const FILLER_BYTES = 20_000;
/** Of the points beside the key files' records, where a daemon is started on what is left. */
const STARTS_MAX = IS_GATES ? 40 : 4;
const PER_SECOND = 700;
const IN_FLIGHT_MAX = 16;
const USER = "acme";
const WEBHOOKS = 8;
const DAY_MS = 86_400_000;

interface Recording {
  readonly journal: string;
  readonly records: number;
  /** Where the key files change. */
  readonly keyRecords: readonly number[];
  /** Writes to the database file itself: checkpoints happened. */
  readonly checkpointed: number;
}

interface Damage {
  lost: number;
  corrupt: number;
  worst: number;
}

test(`the power fails at ${POINTS} random moments: no acknowledged event is lost, and no file is corrupt`, {
  timeout: 120_000 + POINTS * 3_000,
}, async () => {
  const random = randomFrom(seedOf("power loss"));
  const recording = await record({});
  expect(recording.checkpointed).toBeGreaterThan(100);
  const damage = await crashAt(recording, randomPoints(recording, POINTS, random), random);
  expect(damage).toEqual({ lost: 0, corrupt: 0, worst: 0 });
  await startAt(recording, random);
});

test("with the sync behind each commit taken out the same loses events: the test above can fail", {
  timeout: 120_000 + POINTS * 3_000,
}, async () => {
  const random = randomFrom(seedOf("power loss, planted"));
  const plant = new URL("./plant-no-sync.mjs", import.meta.url).pathname;
  const recording = await record({ NODE_OPTIONS: `--import=${plant}` });
  const damage = await crashAt(recording, randomPoints(recording, POINTS_PLANTED, random), random);
  expect(damage.lost).toBeGreaterThan(0);
  expect(damage.corrupt).toBe(0);
});

/** A daemon under the shim, from its first start on, with a load. */
async function record(env: Record<string, string>): Promise<Recording> {
  const directory = temporaryDirectory();
  const library = join(directory, "shim.so");
  const source = new URL("./shim.c", import.meta.url).pathname;
  execFileSync("gcc", ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl", "-lpthread"]);
  const dataDir = join(directory, "data");
  const journal = join(directory, "journal");
  const ledger = new Ledger();
  const receivers = await startReceivers(ledger);
  receivers.answer = (webhook, uid) => (webhook.endsWith(".0") && uid.endsWith("3") ? 500 : 200);
  const daemon = await startDaemon({
    dataDir,
    env: { ...env, LD_PRELOAD: library, SHIM_DIR: dataDir, SHIM_JOURNAL: journal },
  });
  for (let index = 0; index < WEBHOOKS; index += 1)
    await addWebhook(daemon, receivers, USER, `event.${index}`);
  const publisher = new Publisher({
    server: daemon.server,
    key: daemon.key,
    perSecond: PER_SECOND,
    inFlightMax: IN_FLIGHT_MAX,
    ledger,
    make: (n) => {
      const eventId = `event.${n % WEBHOOKS}`;
      const payload = `{"uid":"p${n}","filler":"${"x".repeat(FILLER_BYTES)}"}`;
      return { uid: `p${n}`, userId: USER, eventId, webhook: webhookName(USER, eventId), payload };
    },
  });
  publisher.start();
  await until(`${EVENTS} were accepted`, () => publisher.acknowledged >= EVENTS, 60_000);
  await killDaemon(daemon, receivers);
  publisher.stop();

  let records = 0;
  let checkpointed = 0;
  const keyRecords: number[] = [];
  const seen = new Set<string>();
  const names = new Map<number, string>();
  for (const one of readJournal(journal)) {
    records += 1;
    if (one.kind === "ack") seen.add(one.data.toString());
    if (one.kind === "create") names.set(one.file, one.data.toString());
    const name = names.get(one.file) ?? "";
    if (name.includes(".key")) keyRecords.push(one.index);
    if (name === "hookd.db" && one.kind === "write") checkpointed += 1;
  }
  console.log(
    `recorded ${records} changes of the disk, ${(statSync(journal).size / 2 ** 20).toFixed(0)} MiB: ` +
      `${seen.size} answers of 202 sent, ${publisher.acknowledged} read, ${checkpointed} pages checkpointed`,
  );
  // What the publisher read as accepted, the shim saw as sent, but for one between being sent and being written down.
  expect(seen.size).toBeGreaterThanOrEqual(publisher.acknowledged - 1);
  expect(seen.size).toBeLessThanOrEqual(publisher.acknowledged + IN_FLIGHT_MAX);
  return { journal, records, keyRecords, checkpointed };
}

function randomPoints({ records }: Recording, count: number, random: () => number): number[] {
  const points = Array.from({ length: count }, () => 1 + Math.floor(random() * records));
  return points.sort((a, b) => a - b);
}

/** The power fails after so many records; what is left is in a directory, for a moment. */
async function eachImage(
  { journal }: Recording,
  points: readonly number[],
  random: () => number,
  look: (directory: string, acknowledged: readonly string[], point: number) => Promise<void>,
): Promise<void> {
  const disk = new Disk();
  const acknowledged: string[] = [];
  const directory = temporaryDirectory();
  let next = 0;
  for (const record of readJournal(journal)) {
    for (; points[next] === record.index; next += 1) {
      const dataDir = join(directory, String(next));
      mkdirSync(dataDir);
      for (const [name, bytes] of disk.image(random))
        writeFileSync(join(dataDir, name), bytes, { mode: 0o600 });
      await look(dataDir, acknowledged, record.index);
      rmSync(dataDir, { recursive: true });
    }
    if (record.kind === "ack") acknowledged.push(record.data.toString());
    else disk.apply(record);
  }
}

/** Opens what is left with the store, and looks for each event that was acknowledged before. */
async function crashAt(
  recording: Recording,
  points: readonly number[],
  random: () => number,
): Promise<Damage> {
  const damage: Damage = { lost: 0, corrupt: 0, worst: 0 };
  const lines: string[] = [];
  await eachImage(recording, points, random, async (dataDir, acknowledged, point) => {
    let lost = 0;
    let state = "ok";
    try {
      lost = await countLost(dataDir, acknowledged);
      state = inspect(dataDir);
    } catch (error) {
      state = String(error);
    }
    damage.lost += lost;
    damage.worst = Math.max(damage.worst, lost);
    if (state !== "ok") damage.corrupt += 1;
    if (lost > 0 || state !== "ok") {
      lines.push(`  after record ${point}: ${lost} of ${acknowledged.length} lost, ${state}`);
    }
  });
  console.log(
    [
      `${points.length} crash points: ${damage.lost} acknowledged lost in all, ${damage.worst} at worst, ` +
        `${damage.corrupt} corrupt`,
      ...lines.slice(0, 10),
    ].join("\n"),
  );
  return damage;
}

async function countLost(dataDir: string, acknowledged: readonly string[]): Promise<number> {
  const store = createSqliteStore({ dataDir, dedupeWindowMs: DAY_MS, clock: systemClock });
  await store.open();
  try {
    let lost = 0;
    for (const uid of acknowledged) {
      const seq = await store.findEvent(uidKey(USER, uid));
      const event = seq === null ? null : await store.getEvent(seq, 1);
      const isThere = event?.uid === uid && event.deliveryCount === 1 && event.deliveries.length === 1;
      if (!isThere || !Buffer.from(event.payload).includes(`"${uid}"`)) lost += 1;
    }
    return lost;
  } finally {
    await store.close();
  }
}

/** SQLite's own check, and that each delivery of the journal is in the log, where it is listed and sent from. */
function inspect(dataDir: string): string {
  const db = connect(join(dataDir, "hookd.db"));
  try {
    const state = String(db.pragma("integrity_check"));
    const missing = db
      .pluck(
        `select count(*) from journal where webhook <> 0
         and not exists (select 1 from log where log.webhook = journal.webhook and log.id = journal.id)`,
      )
      .get();
    return state === "ok" && missing !== 0
      ? `${missing} deliveries of the journal are not in the log`
      : state;
  } finally {
    db.close();
  }
}

/** After a power loss in its first start, above all while it makes its keys, hookd starts, and its key is good. */
async function startAt(recording: Recording, random: () => number): Promise<void> {
  const near = [...new Set(recording.keyRecords.flatMap((index) => [index, index + 1]))];
  const points = near.sort(() => random() - 0.5).slice(0, STARTS_MAX);
  points.push(recording.records - 1);
  await eachImage(
    recording,
    points.sort((a, b) => a - b),
    random,
    async (dataDir, _acknowledged, point) => {
      const daemon = await startDaemon({ dataDir });
      const { status } = await daemon.call("GET", "/v1/webhooks");
      expect(status, `the admin key after a power loss at record ${point}`).toBe(200);
      expect(daemon.key).toBe(readFileSync(join(dataDir, "admin.key"), "utf8").trim());
      await daemon.kill();
    },
  );
  console.log(
    `hookd started after ${points.length} power losses, ${points.length - 1} of them in its first start`,
  );
}
