import { setTimeout as sleep } from "node:timers/promises";
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
  restartDaemon,
  seedOf,
  startReceivers,
  untilIdle,
} from "./world.ts";

const EVENTS = 1_000;
const CLIENTS = 100;
const BATCH = 50;
const WEBHOOKS = 10;
const USER = "acme";
const TIMEOUT = { timeout: 120_000 };

test(
  `${EVENTS} events that ${CLIENTS} clients publish under the same uids are each delivered once`,
  TIMEOUT,
  async () => {
    const random = randomFrom(seedOf("same uid"));
    const { ledger, receivers, daemon } = await setup(temporaryDirectory(), 0);
    const ids = new Map<string, Set<string>>();
    await publishFromAll(() => daemon, ledger, random, ids);
    await untilIdle(daemon, 60_000);
    console.log(`same uids: ${lineOf(ledger.report())}`);
    expect(ledger.report()).toMatchObject({ received: EVENTS, lost: [], unexpected: [], duplicates: [] });
    expectOneEach(ids);
    expect(receivers.mixedUp).toEqual([]);
    expect(await metric(daemon, "hookd_events_accepted_total")).toBe(EVENTS);
    await expectConflict(daemon);
  },
);

test("the same across a restart: still one event for each uid", TIMEOUT, async () => {
  const random = randomFrom(seedOf("same uid, restart"));
  const dataDir = temporaryDirectory();
  const port = await fixedPort(random);
  const { ledger, receivers, daemon } = await setup(dataDir, port);
  const ids = new Map<string, Set<string>>();
  let current = daemon;
  const publishing = publishFromAll(() => current, ledger, random, ids);
  const killAt = Math.floor((0.1 + random() * 0.8) * EVENTS);
  await until(`${killAt} were published`, () => ids.size >= killAt, 60_000);
  const kill = await killDaemon(daemon, receivers);
  console.log(`killed after ${ids.size} uids: ${lineOf(ledger.report())}`);
  current = await restartDaemon({ dataDir, port });
  await publishing;
  await untilIdle(current, 60_000);
  const report = ledger.report();
  console.log(`same uids across a restart: ${lineOf(report)}, ${oldestOf(report, [kill])}`);
  expect(report).toMatchObject({ received: EVENTS, lost: [], unexpected: [] });
  expect(unexplained(report.duplicates, [kill], BURST_DUPLICATE_WITHIN_MS)).toEqual([]);
  expectOneEach(ids);
  expect(receivers.mixedUp).toEqual([]);
  const { json } = await current.call("GET", "/v1/deliveries?limit=1");
  expect(json.data).toHaveLength(1);
  await expectConflict(current);
  expect(await countDeliveries(current)).toBe(EVENTS);
  expect(await current.stop()).toBe(0);
  checkIntegrity(dataDir);
});

async function setup(
  dataDir: string,
  port: number,
): Promise<{ ledger: Ledger; receivers: Receivers; daemon: TestDaemon }> {
  const ledger = new Ledger();
  const receivers = await startReceivers(ledger);
  const daemon = await startDaemon({ dataDir, port });
  for (let index = 0; index < WEBHOOKS; index += 1)
    await addWebhook(daemon, receivers, USER, `event.${index}`);
  return { ledger, receivers, daemon };
}

/** Every client publishes every event, in an order of its own, and again what got no answer. */
async function publishFromAll(
  daemonNow: () => TestDaemon,
  ledger: Ledger,
  random: () => number,
  ids: Map<string, Set<string>>,
): Promise<void> {
  const posts = Array.from({ length: EVENTS }, (_, n) =>
    postOf({ userId: USER, eventId: `event.${n % WEBHOOKS}` }, `s${n}`),
  );
  const client = async () => {
    const mine = shuffled(posts, random);
    for (let from = 0; from < EVENTS; from += BATCH) {
      const batch = mine.slice(from, from + BATCH);
      const accepted = await untilAnswered(() => publishBatch(daemonNow(), batch, ledger));
      for (const { event_uid, deliveries } of accepted) {
        const seen = ids.get(event_uid) ?? new Set();
        for (const { id } of deliveries) seen.add(id);
        ids.set(event_uid, seen);
      }
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

/** While the daemon is away, or about to be, the call fails: then it is made again. */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await call();
    } catch (error) {
      // `fetch` throws a TypeError for what the connection did; anything else is an answer that is wrong.
      if (!(error instanceof TypeError) || tries > 200) throw error;
      await sleep(50);
    }
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** Every client, before and after the restart, was told of the same one delivery. */
function expectOneEach(ids: ReadonlyMap<string, ReadonlySet<string>>): void {
  expect(ids.size).toBe(EVENTS);
  expect([...ids].filter(([, deliveries]) => deliveries.size !== 1)).toEqual([]);
}

async function expectConflict(daemon: TestDaemon): Promise<void> {
  const event = { event_id: "event.0", user_id: USER, event_uid: "s0", payload: { other: true } };
  expect((await daemon.call("POST", "/v1/events", event)).json).toMatchObject({
    status: 409,
    code: "uid_conflict",
  });
}

async function countDeliveries(daemon: TestDaemon): Promise<number> {
  let count = 0;
  for (let cursor = ""; ; ) {
    const { json } = await daemon.call("GET", `/v1/deliveries?limit=200${cursor}`);
    count += json.data.length;
    if (json.next_cursor === null) return count;
    cursor = `&cursor=${json.next_cursor}`;
  }
}
