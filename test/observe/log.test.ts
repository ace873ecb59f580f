import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { SettledAttempt } from "../../src/engine/port.ts";
import { attemptLog } from "../../src/observe/attempt-log.ts";
import { createLog } from "../../src/observe/log.ts";
import { temporaryDirectory } from "../support/world.ts";

function setup(sample: number, random: () => number = () => 0.5) {
  const file = join(temporaryDirectory(), "log");
  const log = createLog("info", "1.2.3", file);
  const attempts = attemptLog(
    log,
    () => sample,
    random,
    () => ({ a: 1, b: 2 }),
  );
  const lines = () =>
    readFileSync(file, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  return { file, log, attempts, lines };
}

function settled(status: "success" | "dead"): SettledAttempt {
  return {
    deliveryId: 5 as DeliveryId,
    webhookId: 6 as WebhookId,
    userId: "acme",
    eventId: "order.paid",
    eventUid: "e1",
    status,
    reason: status === "dead" ? "exhausted" : null,
    nextRetryAt: null,
    attempt: {
      number: 3,
      startedAt: 0,
      durationMs: 12.4,
      verdict: status === "success" ? "success" : "retry",
      statusCode: status === "success" ? 200 : 500,
      error: null,
      excerpt: Buffer.from("the receiver's own words"),
    },
  };
}

test("a secret or a key is masked wherever it stands in a line", () => {
  const { log, file } = setup(1);
  log.error(
    { secret: "plain", note: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" },
    "key hk_0123456789abcdefghij was given",
  );
  const text = readFileSync(file, "utf8");
  expect(text).not.toMatch(/MfKQ9r8G|0123456789abcdef|plain/);
  expect(text).toContain("whsec_***");
});

test("every failed attempt is one wide line without the receiver's words", () => {
  const { attempts, lines, file } = setup(0);
  attempts.attempts([settled("dead")]);
  expect(lines()).toMatchObject([
    {
      msg: "attempt",
      user_id: "acme",
      event_id: "order.paid",
      attempt: 3,
      response_code: 500,
      reason: "exhausted",
    },
  ]);
  expect(readFileSync(file, "utf8")).not.toContain("own words");
});

test("successes are sampled", () => {
  const draws = [0.2, 0.8, 0.29];
  const { attempts, lines } = setup(0.3, () => draws.shift() ?? 1);
  attempts.attempts([settled("success"), settled("success"), settled("success")]);
  expect(lines()).toHaveLength(2);
});
