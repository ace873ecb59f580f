import { expect, test } from "vitest";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { SettledAttempt, Watched, WatchFilter } from "../../src/engine/port.ts";
import { Watches } from "../../src/engine/watches.ts";

const ALL: WatchFilter = {
  userId: null,
  webhookId: null,
  eventId: null,
  statuses: null,
  rowsPerSecond: null,
};

/** Watches whose time passes when the test says so. */
function setup() {
  const due: (() => void)[] = [];
  const timers = {
    after(_ms: number, callback: () => void) {
      due.push(callback);
      return () => void due.splice(due.indexOf(callback), 1);
    },
    soon: (callback: () => void) => callback(),
  };
  let state = 1;
  const random = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const watches = new Watches(timers, random);
  const told: Watched[] = [];
  return {
    watches,
    told,
    due,
    watch: (filter: Partial<WatchFilter>) => watches.add({ ...ALL, ...filter }, (one) => told.push(one)),
    pass: () => {
      for (const callback of [...due]) callback();
    },
  };
}

function attempt(id: number, fields: Partial<SettledAttempt> = {}): SettledAttempt {
  return {
    deliveryId: id as DeliveryId,
    webhookId: 7 as WebhookId,
    userId: "acme",
    eventId: "user.created",
    eventUid: "u",
    attempt: {
      number: 1,
      startedAt: 0,
      durationMs: 1,
      verdict: "success",
      statusCode: 200,
      error: null,
      excerpt: null,
    },
    status: "success",
    reason: null,
    nextRetryAt: null,
    ...fields,
  };
}

test.each([
  [{}, [1, 2, 3, 4]],
  [{ userId: "beta" }, [2]],
  [{ webhookId: 8 as WebhookId }, [3]],
  [{ eventId: "other" }, [4]],
  [{ statuses: ["dead", "retrying"] as const }, [3, 4]],
])("the filter %j lets through %j, and counts no others", (filter, expected) => {
  const { watches, watch, told, pass } = setup();
  watch(filter);
  watches.settled([
    attempt(1),
    attempt(2, { userId: "beta" }),
    attempt(3, { webhookId: 8 as WebhookId, status: "dead" }),
    attempt(4, { eventId: "other", status: "retrying" }),
  ]);
  pass();
  expect(told.flatMap(({ attempts }) => attempts.map(({ deliveryId }) => deliveryId))).toEqual(expected);
  expect(told[0]?.counts.attempts).toBe(expected.length);
});

test("a sample has no more rows than were asked for, from all of the time, in order; counts are exact", () => {
  const { watches, watch, told, pass } = setup();
  watch({ rowsPerSecond: 200 });
  for (let id = 0; id < 900; id += 1) watches.settled([attempt(id, id % 3 === 0 ? { status: "dead" } : {})]);
  pass();
  const ids = told.flatMap(({ attempts }) => attempts.map(({ deliveryId }) => Number(deliveryId)));
  expect(ids).toHaveLength(10);
  expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  expect(Math.max(...ids)).toBeGreaterThan(450);
  expect(told[0]?.counts).toEqual({ attempts: 900, success: 600, retrying: 0, dead: 300 });
});

test("without a sample everything is told, in parts that are bounded", () => {
  const { watches, watch, told, pass } = setup();
  watch({});
  for (let id = 0; id < 2_500; id += 1) watches.settled([attempt(id)]);
  pass();
  expect(told.map(({ attempts }) => attempts.length)).toEqual([1_000, 1_000, 500]);
});

test("who has stopped watching is told nothing, and leaves no timer", () => {
  const { watches, watch, told, due, pass } = setup();
  const end = watch({});
  watches.settled([attempt(1)]);
  end();
  expect(due).toEqual([]);
  watches.settled([attempt(2)]);
  pass();
  expect(told).toEqual([]);
});
