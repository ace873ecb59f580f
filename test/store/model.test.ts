import fc from "fast-check";
import { expect, test } from "vitest";
import { dedupeKey } from "../../src/domain/dedupe.ts";
import { DEAD_REASONS, type DeliveryStatus } from "../../src/domain/delivery.ts";
import {
  type DeliveryId,
  type EventSeq,
  type JobId,
  sequence,
  type WebhookId,
} from "../../src/domain/ids.ts";
import type { Job, JobSpec, Selection } from "../../src/domain/job.ts";
import type { DeliveryFilter } from "../../src/domain/query.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { CommitBatch, NewEvent, Settlement, Store } from "../../src/store/port.ts";
import { memoryAdapter } from "./memory-adapter.ts";
import { type SqliteAdapter, sqliteAdapter } from "./sqlite-adapter.ts";
import { expectSound } from "./tally-check.ts";
import { type Adapter, attempt, FAR, testClock, webhook } from "./world.ts";

/** `MODEL_RUNS=5000` looks longer, `MODEL_SEED=...` repeats a failure, `MODEL_SHRINK=1` makes it small. */
const RUNS = Number(process.env.MODEL_RUNS ?? 120);
const SEED = process.env.MODEL_SEED;
const USERS = ["acme", "globex"];
const EVENTS = ["a.b", "a.c"];
const PATTERNS = ["a.b", "a.*", "*"];

interface Held {
  readonly id: DeliveryId;
  readonly token: number;
  readonly webhookId: WebhookId;
  readonly attemptCount: number;
}

/** Two stores that are told the same, and what a caller of both would know. */
interface Pair {
  readonly memory: Adapter;
  readonly sqlite: SqliteAdapter;
  readonly clock: ReturnType<typeof testClock>;
  ids: ReturnType<typeof sequence>;
  stores: readonly [Store, Store];
  token: number;
  held: Held[];
  known: DeliveryId[];
  webhooks: Webhook[];
  jobs: JobId[];
}

type Command = (pair: Pair) => Promise<void>;

/** Does the same to both, and compares the answers. */
async function both<T>(pair: Pair, ask: (store: Store) => Promise<T>): Promise<T> {
  const [expected, actual] = [await ask(pair.stores[0]), await ask(pair.stores[1])];
  expect(plain(actual)).toEqual(plain(expected));
  return expected;
}

/** Bytes as hex, so that a Buffer equals an array. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

/** A command that prints as what it was made of. */
function command<T>(
  name: string,
  input: fc.Arbitrary<T>,
  run: (input: T) => (pair: Pair) => Promise<void>,
): fc.Arbitrary<Command> {
  return input.map((made) =>
    Object.assign(run(made), { [fc.toStringMethod]: () => `${name}(${JSON.stringify(made)})` }),
  );
}

function pick<T>(list: readonly T[], index: number): T | undefined {
  return list[index % Math.max(1, list.length)];
}

const index = fc.nat({ max: 1_000 });

const commit = command(
  "commit",
  fc.record({
    events: fc.array(
      fc.record({ hooks: fc.array(index, { maxLength: 3 }), event: index, uid: index, flags: index }),
      { maxLength: 6 },
    ),
    outcomes: fc.array(fc.record({ held: index, status: index, delay: index, isStale: fc.nat({ max: 9 }) }), {
      maxLength: 5,
    }),
    lanes: fc.array(fc.record({ hook: index, state: index }), { maxLength: 1 }),
  }),
  (input) => async (pair) => {
    const appends = input.events.flatMap((one) => newEvent(pair, one) ?? []);
    const settlements = input.outcomes.flatMap((one) => outcome(pair, one) ?? []);
    const laneStates = input.lanes.flatMap(({ hook, state }) => {
      const target = pick(pair.webhooks, hook);
      return target ? [{ webhookId: target.id, state: state % 3 === 0 ? null : `state ${state}` }] : [];
    });
    const batch: CommitBatch = { now: pair.clock.at, appends, settlements, laneStates };
    const { appended } = await both(pair, (store) => store.commit(batch));
    const settled = new Set(settlements.map(({ id, token }) => `${id}/${token}`));
    pair.held = pair.held.filter(({ id, token }) => !settled.has(`${id}/${token}`));
    for (const [at, event] of appends.entries()) {
      if (appended[at]?.kind !== "accepted") continue;
      for (const { id, webhookId, token, reason } of event.targets) {
        pair.known.push(id);
        if (token !== 0 && reason === null) pair.held.push({ id, webhookId, token, attemptCount: 0 });
      }
      if (event.expansion) pair.jobs.push(event.expansion.id);
    }
  },
);

function newEvent(
  pair: Pair,
  input: { hooks: number[]; event: number; uid: number; flags: number },
): NewEvent | null {
  const hooks = [...new Set(input.hooks.flatMap((one) => pick(pair.webhooks, one) ?? []))];
  const isExpanded = input.flags % 11 === 0;
  if (hooks.length === 0 && !isExpanded) return null;
  const seq = pair.ids.next(pair.clock.at) as EventSeq;
  const eventId = pick(EVENTS, input.event) ?? "a.b";
  const userId = hooks.length === 1 && !isExpanded ? (hooks[0]?.userId ?? "*") : "*";
  const uid = input.uid % 3 === 0 ? `u-${input.uid % 7}` : null;
  const payload = Buffer.from(`payload ${input.uid % 2}`);
  const contentType = input.flags % 5 === 0 ? "text/plain" : "application/json";
  const spec: JobSpec = { kind: "expand", userId: null, event: seq, eventId };
  return {
    seq,
    userId,
    eventId,
    uid,
    dedupe: uid === null ? null : dedupeKey(userId, uid, eventId, contentType, payload),
    contentType,
    trace:
      input.flags % 7 === 0
        ? { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: 1 }
        : null,
    payload,
    targets: (isExpanded ? [] : hooks).map((hook, at) => {
      pair.token += 1;
      return {
        id: (hooks.length === 1 ? seq : pair.ids.next(pair.clock.at)) as DeliveryId,
        webhookId: hook.id,
        userId: hook.userId,
        token: (input.flags >> at) % 2 === 0 ? 0 : pair.token,
        reason: (input.flags >> at) % 9 === 4 ? "disabled" : null,
      };
    }),
    expansion: isExpanded ? newJob(pair, spec) : null,
  };
}

function outcome(
  pair: Pair,
  input: { held: number; status: number; delay: number; isStale: number },
): Settlement | null {
  const held = pick(pair.held, input.held);
  if (!held) return null;
  const status = pick<DeliveryStatus>(
    ["success", "success", "retrying", "retrying", "dead", "pending"],
    input.status,
  );
  if (!status) return null;
  const isTried = status !== "pending" && !(status === "dead" && input.delay % 3 === 0);
  const attemptCount = held.attemptCount + (isTried ? 1 : 0);
  return {
    id: held.id,
    webhookId: held.webhookId,
    token: input.isStale === 0 ? held.token + 100_000 : held.token,
    status,
    reason: status === "dead" ? (pick(DEAD_REASONS, input.delay) ?? "exhausted") : null,
    dueAt: status === "retrying" || status === "pending" ? pair.clock.at + input.delay * 10 : null,
    attemptCount,
    attempt: isTried ? attempt(attemptCount, status, pair.clock.at) : null,
    settledAt: pair.clock.at,
  };
}

const lease = command(
  "lease",
  fc.record({ hook: index, isRetrying: fc.boolean(), limit: fc.integer({ min: 1, max: 5 }), ahead: index }),
  (input) => async (pair) => {
    const hook = pick(pair.webhooks, input.hook);
    if (!hook) return;
    const status = input.isRetrying ? "retrying" : "pending";
    const dueBy = input.ahead % 4 === 0 ? FAR : pair.clock.at + input.ahead;
    const firstToken = pair.token + 1;
    pair.token += input.limit;
    const want = {
      webhookId: hook.id,
      status,
      limit: input.limit,
      dueBy,
      firstToken,
    } as const;
    const grants = await both(pair, (store) => store.lease([want]));
    for (const { id, webhookId, token, attemptCount } of grants[0]?.leased ?? []) {
      pair.held.push({ id, webhookId, token, attemptCount });
    }
  },
);

const release = command(
  "release",
  fc.array(index, { minLength: 1, maxLength: 4 }),
  (picks) => async (pair) => {
    const given = new Set(picks.flatMap((one) => pick(pair.held, one) ?? []));
    await both(pair, (store) => store.release([...given]));
    pair.held = pair.held.filter((one) => !given.has(one));
  },
);

const reopen = command("reopen", fc.boolean(), (isCrash) => async (pair) => {
  const { memory, sqlite, clock } = pair;
  if (isCrash) {
    pair.stores = [memory.crash(clock), sqlite.crash(clock)];
  } else {
    await both(pair, (store) => store.close());
    pair.stores = [memory.create(clock), sqlite.create(clock)];
  }
  pair.held = [];
  await both(pair, async (store) => {
    const { lanes, runningJobs } = await store.open();
    return { lanes: [...lanes].sort((a, b) => a.webhookId - b.webhookId), runningJobs };
  });
  expectSound(sqlite.db);
});

const maintain = command("maintain", fc.nat({ max: 3 }), (slices) => async (pair) => {
  for (let n = 0; n < slices; n += 1) await pair.stores[1].maintain();
});

const wait = command("wait", fc.constantFrom(1, 40, 900, 5_000), (ms) => async (pair) => {
  pair.clock.at += ms;
});

const single = command(
  "single",
  fc.record({ which: fc.constantFrom("revive", "makeDue", "kill", "get", "expire"), delivery: index }),
  ({ which, delivery }) =>
    async (pair) => {
      const id = pick(pair.known, delivery) ?? (1 as DeliveryId);
      const now = pair.clock.at;
      if (which === "revive") await both(pair, (store) => store.revive(id, now));
      if (which === "makeDue") await both(pair, (store) => store.makeDue(id, now));
      if (which === "kill") await both(pair, (store) => store.kill(id, "cancelled", now));
      if (which === "get") {
        await both(pair, (store) => store.getDelivery(id));
        await both(pair, (store) => store.getEvent(id as unknown as EventSeq, 2));
      }
      const hook = pick(pair.webhooks, delivery);
      if (which === "expire" && hook) {
        await both(pair, (store) => store.expire(hook.id, now - 2_000, 1 + (delivery % 3), now));
      }
    },
);

const filter: fc.Arbitrary<DeliveryFilter & { hook?: number }> = fc.record(
  {
    userId: fc.constantFrom(...USERS),
    hook: index,
    eventId: fc.constantFrom(...EVENTS),
    statuses: fc.constantFrom<DeliveryStatus[]>(["dead"], ["retrying", "dead"], ["success"], ["pending"]),
    reason: fc.constantFrom("cancelled", "disabled"),
  },
  { requiredKeys: [] },
);

function resolved(pair: Pair, { hook, ...rest }: DeliveryFilter & { hook?: number }): DeliveryFilter {
  const target = hook === undefined ? undefined : pick(pair.webhooks, hook);
  return target ? { ...rest, webhookId: target.id } : rest;
}

const list = command(
  "list",
  fc.tuple(filter, fc.integer({ min: 1, max: 7 })),
  ([input, limit]) =>
    async (pair) => {
      await both(pair, (store) => everything(store, resolved(pair, input), limit));
    },
);

async function everything(store: Store, wanted: DeliveryFilter, limit: number) {
  const items = [];
  let before: number | null = null;
  do {
    const page = await store.listDeliveries(wanted, { limit, before });
    items.push(...page.items);
    before = page.next;
  } while (before !== null);
  return items;
}

const groups = command("groups", fc.tuple(filter, fc.boolean()), ([input, isTimed]) => async (pair) => {
  const wanted = { ...resolved(pair, input), ...(isTimed ? { since: pair.clock.at - 3_000 } : {}) };
  await both(pair, async (store) => {
    const found = await store.deadGroups(wanted, ["webhook", "reason", "event", "user"]);
    return found.map((one) => JSON.stringify(plain(one))).sort();
  });
});

const hook = command(
  "hook",
  fc.record({ user: index, event: index, change: index }),
  (input) => async (pair) => {
    const userId = pick(USERS, input.user) ?? "acme";
    const eventId = pick(PATTERNS, input.event) ?? "a.b";
    const old = pick(pair.webhooks, input.change);
    if (input.change % 3 === 0 || !old) {
      const made = webhook(pair.ids.next(pair.clock.at) as WebhookId, pair.clock.at, { userId, eventId });
      if (await both(pair, (store) => store.insertWebhook(made))) pair.webhooks.push(made);
    } else {
      const deletedAt = input.change % 7 === 0 ? pair.clock.at : old.deletedAt;
      const changed = { ...old, isActive: input.change % 2 === 0, deletedAt, version: old.version + 1 };
      if (await both(pair, (store) => store.updateWebhook(changed))) {
        pair.webhooks = pair.webhooks.map((one) => (one === old ? changed : one));
      }
    }
    await both(pair, (store) => store.routes([{ userId, eventId: "a.b" }]));
    await both(pair, async (store) => (await store.broadcastRoutes("a.b", "", 10)).targets);
  },
);

function newJob(pair: Pair, spec: JobSpec): Job {
  const id = pair.ids.next(pair.clock.at) as JobId;
  const job: Job = {
    id,
    spec,
    status: "running",
    total: null,
    done: 0,
    createdAt: pair.clock.at,
    completedAt: null,
  };
  // What ends from here on ends later than the job was made.
  pair.clock.at += 1;
  return job;
}

const startJob = command(
  "startJob",
  fc.record({
    kind: fc.constantFrom("replay", "purge", "end"),
    filter,
    named: fc.option(fc.array(index), { nil: null }),
  }),
  (input) => async (pair) => {
    const { userId = null, webhookId, eventId, reason, statuses } = resolved(pair, input.filter);
    const select: Selection = {
      ...(webhookId === undefined ? {} : { webhookId }),
      ...(eventId === undefined ? {} : { eventId }),
      ...(reason === undefined ? {} : { reason }),
      ...(statuses === undefined ? {} : { statuses }),
      ...(input.named ? { ids: input.named.flatMap((one) => pick(pair.known, one) ?? []) } : {}),
    };
    const target = webhookId ?? pair.webhooks[0]?.id;
    if (input.kind === "end" && target === undefined) return;
    const job = newJob(
      pair,
      input.kind === "end"
        ? { kind: "end", userId, webhookId: target as WebhookId }
        : input.kind === "purge"
          ? { kind: "purge", userId, select }
          : { kind: "replay", userId, select, ratePerSecond: null },
    );
    pair.clock.at += 1;
    await both(pair, (store) => store.insertJob(job));
    await both(pair, (store) => store.countSelection(job, 1_000));
    pair.jobs.push(job.id);
  },
);

const runJob = command(
  "runJob",
  fc.record({ job: index, isCancelled: fc.nat({ max: 9 }) }),
  (input) => async (pair) => {
    const id = pick(pair.jobs, input.job);
    if (id === undefined) return;
    const now = pair.clock.at;
    if (input.isCancelled === 0) await both(pair, (store) => store.cancelJob(id, now));
    const from = pair.ids.next(now);
    let made = 0;
    await both(pair, async (store) => {
      made = 0;
      const refusal = (webhookId: WebhookId) => (webhookId % 3 === 0 ? ("disabled" as const) : null);
      const nextSeq = () => {
        made += 1;
        return from + made;
      };
      if ((await store.getJob(id)) === null) return null;
      for (;;) {
        const { job } = await store.stepJob(id, 50, { now, nextSeq, refusal });
        if (job.status !== "running") return job;
      }
    });
    for (let n = 1; n <= made; n += 1) pair.known.push((from + n) as DeliveryId);
    pair.ids = sequence(from + made);
  },
);

const prune = command("prune", fc.tuple(index, index), ([success, dead]) => async (pair) => {
  const bounds = { successBefore: pair.clock.at - success * 10, deadBefore: pair.clock.at - dead * 10 };
  await both(pair, async (store) => {
    for (let deleted = 0; ; ) {
      const slice = await store.prune(bounds, 3);
      deleted += slice.deleted;
      if (!slice.hasMore) return deleted;
    }
  });
  const found = await both(pair, (store) => store.getWebhooks(pair.webhooks.map(({ id }) => id)));
  pair.webhooks = pair.webhooks.filter((_, at) => found[at] !== null);
});

const anyCommand = fc.oneof(
  { weight: 10, arbitrary: commit },
  { weight: 6, arbitrary: lease },
  { weight: 2, arbitrary: release },
  { weight: 2, arbitrary: reopen },
  { weight: 4, arbitrary: maintain },
  { weight: 4, arbitrary: wait },
  { weight: 4, arbitrary: single },
  { weight: 2, arbitrary: list },
  { weight: 1, arbitrary: groups },
  { weight: 2, arbitrary: hook },
  { weight: 2, arbitrary: startJob },
  { weight: 3, arbitrary: runJob },
  { weight: 1, arbitrary: prune },
);

test(
  "SQLite answers as the memory adapter does, whatever is done in whatever order",
  async () => {
    const commands = fc.array(anyCommand, { minLength: 10, maxLength: 45, size: "max" });
    await fc.assert(
      fc.asyncProperty(commands, async (run) => {
        const clock = testClock();
        const [memory, sqlite] = [memoryAdapter(), sqliteAdapter({ foldSliceRows: 2 })];
        const stores = [memory.create(clock), sqlite.create(clock)] as const;
        const ids = sequence(0);
        const pair: Pair = {
          memory,
          sqlite,
          clock,
          ids,
          stores,
          token: 0,
          held: [],
          known: [],
          webhooks: [],
          jobs: [],
        };
        try {
          await Promise.all(stores.map((store) => store.open()));
          for (const [user, event] of [
            [0, 0],
            [0, 1],
            [1, 1],
            [1, 2],
          ] as const) {
            const changes = { userId: USERS[user]!, eventId: PATTERNS[event]! };
            const made = webhook(pair.ids.next(clock.at) as WebhookId, clock.at, changes);
            await both(pair, (store) => store.insertWebhook(made));
            pair.webhooks.push(made);
          }
          for (const command of run) await command(pair);
          await both(pair, (store) => everything(store, {}, 5));
          for (const id of new Set(pair.known)) await both(pair, (store) => store.getDelivery(id));
          expectSound(pair.sqlite.db);
        } finally {
          await sqlite.cleanup();
        }
      }),
      {
        numRuns: RUNS,
        endOnFailure: process.env.MODEL_SHRINK !== "1",
        ...(SEED === undefined ? {} : { seed: Number(SEED) }),
      },
    );
  },
  20_000 + RUNS * 500,
);
