import { onTestFinished } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { Attempt } from "../../src/domain/delivery.ts";
import { Director } from "../../src/engine/director.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { steadyClock } from "../../src/lib/steady-clock.ts";
import { systemTimers } from "../../src/lib/timers.ts";
import type { Outcome, Sender, SendOrder, Target } from "../../src/sender/port.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { temporaryDirectory } from "../support/world.ts";
import { apiOver } from "./world.ts";

/** An API over the real director and SQLite; only the sender is made up: it answers as the callback's path says. */
export async function setupDirector() {
  const clock = steadyClock(systemClock);
  const dataDir = temporaryDirectory();
  const config = loadConfig({ env: {}, flags: { dev: true, data_dir: dataDir, listen: "127.0.0.1:0" } });
  const store = createSqliteStore({ dataDir, dedupeWindowMs: config.limits.dedupeWindowMs, clock });
  const receiver = { status: 200, received: [] as SendOrder[] };
  const sender = createSender(receiver, clock.now, (outcomes) => director.takeOutcomes(outcomes));
  const failure: { error: unknown } = { error: null };
  const director: Director = new Director({
    config,
    store,
    senders: [sender],
    clock,
    timers: systemTimers,
    random: Math.random,
    freeBytes: () => Number.MAX_SAFE_INTEGER,
    log: { attempts: () => undefined, warn: () => undefined },
    onFatal: (error) => {
      failure.error = error;
    },
  });
  onTestFinished(async () => {
    await director.stop();
    if (failure.error !== null) throw failure.error;
  });
  await director.start();
  return { ...(await apiOver(director, clock, config)), director, receiver };
}

/** Paths with a status in them answer it; others what the receiver answers now. */
function createSender(
  receiver: { status: number; received: SendOrder[] },
  now: () => number,
  report: (outcomes: readonly Outcome[]) => void,
): Sender {
  const targets = new Map<number, Target>();
  return {
    putTarget: (target) => void targets.set(target.webhookId, target),
    dropTarget: (webhookId) => void targets.delete(webhookId),
    send(orders) {
      receiver.received.push(...orders);
      const outcomes = orders.map((order) => {
        const [, path] = /\/(\d{3})$/.exec(targets.get(order.webhookId)?.callbackUrl ?? "") ?? [];
        const attempt = attemptOf(order, Number(path ?? receiver.status), now());
        return {
          deliveryId: order.deliveryId,
          token: order.token,
          webhookId: order.webhookId,
          attempt,
          retryAfterMs: null,
        };
      });
      setImmediate(report, outcomes);
    },
    stop: async () => undefined,
  };
}

function attemptOf(order: SendOrder, statusCode: number, startedAt: number): Attempt {
  const verdict = statusCode < 300 ? "success" : statusCode < 500 ? "permanent" : "retry";
  const excerpt = Buffer.from(`answer ${statusCode}`);
  return { number: order.attemptNumber, startedAt, durationMs: 1, verdict, statusCode, error: null, excerpt };
}
