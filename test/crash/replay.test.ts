import { expect, test } from "vitest";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";
import { Ledger, lineOf, oldestOf, unexplained } from "../support/ledger.ts";
import { temporaryDirectory, until } from "../support/world.ts";
import {
  addWebhook,
  BURST_DUPLICATE_WITHIN_MS,
  checkIntegrity,
  fixedPort,
  killDaemon,
  metric,
  postOf,
  publishBatch,
  type Receivers,
  randomFrom,
  replayDead,
  restartDaemon,
  seedOf,
  startReceivers,
  untilIdle,
} from "./world.ts";

const DEAD = 10_000;
const WEBHOOKS = 50;
const BATCH = 1_000;
const TIMEOUT = { timeout: 120_000 };

test(
  `a replay of ${DEAD} dead deliveries delivers ${DEAD} different events, each once`,
  TIMEOUT,
  async () => {
    const { ledger, receivers, daemon } = await setup(temporaryDirectory());
    const begun = performance.now();
    receivers.answer = () => 200;
    const job = await replayDead(daemon, { all: true });
    await untilDone(daemon, job);
    await untilIdle(daemon, 60_000);
    console.log(`replay: ${lineOf(ledger.report())}, in ${(performance.now() - begun).toFixed(0)} ms`);
    expect(ledger.report()).toMatchObject({ received: DEAD, lost: [], unexpected: [], duplicates: [] });
    expect(receivers.mixedUp).toEqual([]);
    expect(await metric(daemon, "hookd_dlq_size")).toBe(0);
    expect(await daemon.stop()).toBe(0);
  },
);

test(
  "a replay whose daemon is killed half-way goes on, and delivers each at least once",
  TIMEOUT,
  async () => {
    const random = randomFrom(seedOf("replay"));
    const dataDir = temporaryDirectory();
    const port = await fixedPort(random);
    const { ledger, receivers, daemon } = await setup(dataDir, port);
    receivers.answer = () => 200;
    const job = await replayDead(daemon, { all: true });
    // While the job makes deliveries due, and while it has them and they are being sent.
    const killAt = Math.floor(DEAD * (0.2 + random() * 0.5));
    await until(`${killAt} were delivered`, () => DEAD - ledger.openCount >= killAt, 60_000);
    const kill = await killDaemon(daemon, receivers);
    console.log(`killed: ${lineOf(ledger.report())}`);

    const restarted = await restartDaemon({ dataDir, port });
    await untilDone(restarted, job);
    await untilIdle(restarted, 60_000);
    const report = ledger.report();
    console.log(`replay resumed: ${lineOf(report)}, ${oldestOf(report, [kill])}`);
    expect(report).toMatchObject({ received: DEAD, lost: [], unexpected: [] });
    expect(unexplained(report.duplicates, [kill], BURST_DUPLICATE_WITHIN_MS)).toEqual([]);
    expect(receivers.mixedUp).toEqual([]);
    expect(await metric(restarted, "hookd_dlq_size")).toBe(0);
    expect(await metric(restarted, "hookd_lane_count_drift_total")).toBe(0);
    expect(await restarted.stop()).toBe(0);
    checkIntegrity(dataDir);
  },
);

interface Dead {
  readonly ledger: Ledger;
  readonly receivers: Receivers;
  readonly daemon: TestDaemon;
}

/** A daemon with so many dead deliveries: each was answered 400, which fails at once. */
async function setup(dataDir: string, port = 0): Promise<Dead> {
  const ledger = new Ledger();
  const receivers = await startReceivers(ledger);
  receivers.answer = () => 400;
  const daemon = await startDaemon({ dataDir, port });
  const lanes = Array.from({ length: WEBHOOKS }, (_, index) => ({
    userId: `u${index % 5}`,
    eventId: `event.${index}`,
  }));
  for (const { userId, eventId } of lanes) await addWebhook(daemon, receivers, userId, eventId);
  for (let from = 0; from < DEAD; from += BATCH) {
    const posts = Array.from({ length: BATCH }, (_, index) =>
      postOf(lanes[(from + index) % WEBHOOKS] ?? lanes[0]!, `r${from + index}`),
    );
    await publishBatch(daemon, posts, ledger);
  }
  await until(
    `${DEAD} deliveries are dead`,
    async () => (await metric(daemon, "hookd_dlq_size")) === DEAD,
    60_000,
  );
  return { ledger, receivers, daemon };
}

async function untilDone(daemon: TestDaemon, job: string): Promise<void> {
  const done = await until(
    "the job is done",
    async () => {
      const { json } = await daemon.call("GET", `/v1/jobs/${job}`);
      return json.status === "running" ? null : json;
    },
    60_000,
  );
  expect(done).toMatchObject({ status: "done", total: DEAD, done: DEAD });
}
