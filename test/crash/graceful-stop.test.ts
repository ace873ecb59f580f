import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { startDaemon } from "../support/daemon.ts";
import { Ledger, lineOf } from "../support/ledger.ts";
import { Publisher } from "../support/publisher.ts";
import { temporaryDirectory } from "../support/world.ts";
import {
  addWebhook,
  checkIntegrity,
  fixedPort,
  IS_GATES,
  postOf,
  randomFrom,
  restartDaemon,
  seedOf,
  startReceivers,
  untilIdle,
} from "./world.ts";

const STOPS = IS_GATES ? 30 : 3;
const PER_SECOND = 2_000;
const IN_FLIGHT_MAX = 100;
const WEBHOOKS = 20;
const DRAIN_MS = 10_000;
const STOP_AFTER_MAX_MS = 1_500;

test(`${STOPS} times SIGTERM under load: it ends within its drain time, and nothing is lost or sent twice`, {
  timeout: 30_000 + STOPS * 20_000,
}, async () => {
  const random = randomFrom(seedOf("graceful stop"));
  const dataDir = temporaryDirectory();
  const port = await fixedPort(random);
  const ledger = new Ledger();
  const receivers = await startReceivers(ledger);
  const options = { dataDir, port, env: { HOOKD_DELIVERY_DRAIN: `${DRAIN_MS}ms` } };
  let daemon = await startDaemon(options);
  for (let index = 0; index < WEBHOOKS; index += 1) await addWebhook(daemon, receivers, "acme", `e.${index}`);
  const publisher = new Publisher({
    server: daemon.server,
    key: daemon.key,
    perSecond: PER_SECOND,
    inFlightMax: IN_FLIGHT_MAX,
    ledger,
    make: (n) => postOf({ userId: "acme", eventId: `e.${n % WEBHOOKS}` }, `g${n}`),
  });
  publisher.start();
  for (let number = 1; number <= STOPS; number += 1) {
    await sleep(100 + random() * STOP_AFTER_MAX_MS);
    const begun = performance.now();
    const code = await daemon.stop();
    const stopMs = performance.now() - begun;
    console.log(`stop ${number}: code ${code} after ${stopMs.toFixed(0)} ms; ${lineOf(ledger.report())}`);
    expect(code, daemon.log().slice(-2_000)).toBe(0);
    expect(stopMs).toBeLessThan(DRAIN_MS + 5_000);
    checkIntegrity(dataDir);
    daemon = await restartDaemon(options);
  }
  await publisher.finish(30_000);
  await untilIdle(daemon, 30_000);
  expect(await daemon.stop()).toBe(0);
  const report = ledger.report();
  console.log(`end: ${lineOf(report)}; ${publisher.refused} refused, ${publisher.broken} broken`);
  expect(report).toMatchObject({ lost: [], unexpected: [], recovered: [], duplicates: [] });
  expect(publisher.problems.slice(0, 10)).toEqual([]);
  expect(receivers.mixedUp).toEqual([]);
});

test("a client that never ends its request does not keep hookd from ending", {
  timeout: 60_000,
}, async () => {
  const daemon = await startDaemon({ env: { HOOKD_DELIVERY_DRAIN: `${DRAIN_MS}ms` } });
  const socket = connect(Number(new URL(daemon.server).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write(`POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${daemon.key}\r\n`);
  socket.write('content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"event_id":');
  await daemon.call("GET", "/v1/webhooks");
  const begun = performance.now();
  expect(await daemon.stop()).toBe(0);
  expect(performance.now() - begun).toBeLessThan(DRAIN_MS);
  socket.destroy();
});
