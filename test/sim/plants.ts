import type { Job, JobSpec } from "../../src/domain/job.ts";
import { Problem } from "../../src/domain/problem.ts";
import { Director } from "../../src/engine/director.ts";
import type { DirectorDeps } from "../../src/engine/director-deps.ts";
import type { Lane } from "../../src/engine/lane.ts";
import type { PublishRequest } from "../../src/engine/port.ts";
import { Schedule } from "../../src/engine/schedule.ts";
import type { Outcome, SendOrder } from "../../src/sender/port.ts";
import { type DeliveryRecord, MemoryDisk } from "../../src/store/memory/disk.ts";
import type { CommitBatch, Committed, LaneChange, Store } from "../../src/store/port.ts";
import { seededRandom } from "../support/fake-clock.ts";

/** A bug at work: what the director is given, and what it hears, altered. */
export interface ActivePlant {
  readonly deps: (deps: DirectorDeps) => DirectorDeps;
  readonly outcomes: (outcomes: readonly Outcome[]) => readonly Outcome[];
  /** Takes it out again. */
  readonly remove: () => void;
}

/** A bug that somebody could write, and that the simulation has to find. */
export interface Plant {
  readonly name: string;
  readonly what: string;
  /** The invariants that it breaks: anything else that goes wrong is no finding. */
  readonly foundBy: readonly string[];
  /** It is in that store: on another one there would be nothing to find. */
  readonly store?: "memory";
  /** `random` is the plant's own. */
  plant(random: () => number): ActivePlant;
}

const PURGED_OPEN = 5;

/** Nothing is planted. */
export const SOUND: ActivePlant = {
  deps: (deps) => deps,
  outcomes: (outcomes) => outcomes,
  remove: () => {},
};

export const PLANTS: readonly Plant[] = [
  {
    name: "stale-token",
    what: "outcomes are settled without a look at the token: a late one of an old lease ends the new one",
    foundBy: ["a slot is in use only while an attempt is in flight", "one attempt of a delivery at a time"],
    plant: () => {
      const tokens = new Map<number, number>();
      return {
        ...SOUND,
        deps: (deps) => ({
          ...deps,
          senders: deps.senders.map((sender) =>
            instead(sender, "send", (send) => (orders: readonly SendOrder[]) => {
              for (const { deliveryId, token } of orders) tokens.set(deliveryId, token);
              send(orders);
            }),
          ),
        }),
        outcomes: (outcomes) =>
          outcomes.map((outcome) => ({
            ...outcome,
            token: tokens.get(outcome.deliveryId) ?? outcome.token,
          })),
      };
    },
  },
  {
    name: "lost-wake-up",
    what: "one in 500 times a lane is not put where it belongs after it changed: nobody wakes it",
    foundBy: ["no lane with due work is forgotten", "everything drains"],
    plant: (random) =>
      patched(
        Schedule.prototype,
        "touch",
        (touch) =>
          function (this: Schedule, lane: Lane, now: number, nowMono: number) {
            if (random() >= 1 / 500) touch.call(this, lane, now, nowMono);
          },
      ),
  },
  {
    name: "retry-after-ignored",
    what: "the Retry-After of an answer is not heard",
    foundBy: ["no attempt before its schedule and Retry-After"],
    plant: () => ({
      ...SOUND,
      outcomes: (outcomes) => outcomes.map((outcome) => ({ ...outcome, retryAfterMs: null })),
    }),
  },
  {
    name: "early-retry",
    what: "jitter goes both ways: a retry may come a tenth before its time",
    foundBy: ["no attempt before its schedule and Retry-After"],
    plant: () => ({
      ...SOUND,
      deps: (deps) => {
        const { policy } = deps.config.retry;
        if (policy.kind !== "list") return deps;
        const delaysMs = policy.delaysMs.map((delayMs) => delayMs * 0.9);
        return {
          ...deps,
          config: { ...deps.config, retry: { ...deps.config.retry, policy: { ...policy, delaysMs } } },
        };
      },
    }),
  },
  {
    name: "forgotten-breaker",
    what: "the state of lanes is not written: a crash closes every breaker",
    foundBy: ["an open breaker lets only probes through"],
    plant: () =>
      onCommit((commit) => (batch) => {
        return commit({ ...batch, laneStates: [] });
      }),
  },
  {
    name: "slot-leak",
    what: "one in 50 retries does not give its slot back",
    foundBy: ["a slot is in use only while an attempt is in flight", "the kept counts are right"],
    plant: (random) =>
      patched(
        Schedule.prototype,
        "end",
        (end) =>
          function (this: Schedule, lane: Lane, isRetry: boolean, now: number, nowMono: number) {
            if (!isRetry || random() >= 1 / 50) end.call(this, lane, isRetry, now, nowMono);
          },
      ),
  },
  {
    name: "half-commit",
    what: "one commit in 50 fails half-way, and all of its events are acknowledged",
    foundBy: ["what was accepted is kept"],
    plant: (random) =>
      onCommit((commit) => async (batch) => {
        const half = batch.appends.length >> 1;
        if (half === 0 || random() >= 1 / 50) return commit(batch);
        const committed = await commit({ ...batch, appends: batch.appends.slice(0, half) });
        const lost = batch.appends.slice(half).map(() => ({ kind: "accepted" as const }));
        return { ...committed, appended: [...committed.appended, ...lost] };
      }),
  },
  {
    name: "ack-before-durable",
    what: "events are acknowledged when the commit is begun, not when it is done",
    foundBy: ["what was accepted is kept"],
    plant: () =>
      onCommit((commit) => async (batch) => {
        const settles = batch.settlements.length > 0 || batch.laneStates.length > 0;
        const isNew = batch.appends.every(({ dedupe }) => dedupe === null);
        const done = commit(batch);
        if (settles || !isNew) return done;
        done.catch(() => undefined);
        return { appended: batch.appends.map(() => ({ kind: "accepted" as const })), stale: [] };
      }),
  },
  {
    name: "refused-but-stored",
    what: "one commit in 50 is made, and reported as refused",
    foundBy: ["nothing is stored but what was asked for", "a refused event is not stored"],
    plant: (random) =>
      onCommit((commit) => async (batch) => {
        const committed = await commit(batch);
        const isLie = batch.appends.length > 0 && random() < 1 / 50;
        if (isLie) throw new Problem("store_unavailable", "the store does not answer");
        return committed;
      }),
  },
  {
    name: "uncapped-retries",
    what: "retries do not mind how many attempts their lane may have in flight",
    foundBy: ["at most the cap in flight for a webhook"],
    plant: () =>
      patched(
        Schedule.prototype,
        "plan",
        (plan) =>
          function (this: Schedule, now: number, nowMono: number) {
            const freed = [...this.lanes.values()].filter((lane) => lane.retrying > 0 && lane.pending === 0);
            const before = freed.map(({ webhook, ramp }) => ({ webhook, limit: ramp.limit }));
            for (const lane of freed) {
              lane.webhook = { ...lane.webhook, concurrencyMax: 1_000, ordering: "none" };
              lane.ramp.limit = 1_000;
              this.touch(lane, now, nowMono);
            }
            const plans = plan.call(this, now, nowMono);
            freed.forEach((lane, index) => {
              const known = before[index]!;
              lane.webhook = known.webhook;
              lane.ramp.limit = known.limit;
            });
            return plans;
          },
      ),
  },
  {
    name: "purge-of-all",
    what: "a purge of one webhook's dead deliveries takes those of all webhooks",
    foundBy: ["what was accepted is kept"],
    plant: () => onJob((spec) => (spec.kind === "purge" ? { ...spec, select: {} } : spec)),
  },
  {
    name: "purge-of-open",
    what: "a purge takes open deliveries too",
    foundBy: ["what was accepted is kept"],
    plant: () => ({
      ...SOUND,
      deps: (deps) => ({ ...deps, store: instead(deps.store, "stepJob", purgingOpen(deps.store)) }),
    }),
  },
  {
    name: "replay-of-delivered",
    what: "a replay of the dead takes successes too",
    foundBy: [
      "no attempt after an end was recorded",
      "a success is repeated only where it could not be recorded",
    ],
    plant: () =>
      onJob((spec) => {
        if (spec.kind !== "replay") return spec;
        return { ...spec, select: { ...spec.select, statuses: ["dead", "success"] } };
      }),
  },
  {
    name: "expansion-skips",
    what: "an expansion skips one webhook in a slice (on the memory store)",
    store: "memory",
    foundBy: ["a broadcast reaches every webhook that it was for"],
    plant: skippingExpansion,
  },
  {
    name: "untold-deliveries",
    what: "one in 50 times when events are published, the answers name no deliveries",
    foundBy: ["a 202 names a delivery for each webhook"],
    plant: (random) =>
      patched(
        Director.prototype,
        "publishMany",
        (publishMany) =>
          async function (this: Director, events: readonly PublishRequest[]) {
            const outcomes = await publishMany.call(this, events);
            if (random() >= 1 / 50) return outcomes;
            return outcomes.map((one) => (one instanceof Problem ? one : { ...one, deliveries: [] }));
          },
      ),
  },
];

/** One in four deliveries of an expansion is not stored, and counted nowhere; the job goes on behind it. */
function skippingExpansion(random: () => number): ActivePlant {
  const skipped = new Set<string>();
  const isExpanding = (disk: MemoryDisk, { event, id }: DeliveryRecord) =>
    !disk.deliveries.has(id) &&
    [...disk.jobs.values()].some(
      ({ job }) => job.status === "running" && job.spec.kind === "expand" && job.spec.event === event,
    );
  const uncounted = (stepJob: Store["stepJob"]): Store["stepJob"] => {
    return async (id, limit, context) => {
      const step = await stepJob(id, limit, context);
      const { spec } = step.job;
      if (spec.kind !== "expand") return step;
      const changes = step.changes.filter(({ webhookId }) => !skipped.has(`${spec.event}/${webhookId}`));
      return { ...step, changes };
    };
  };
  const { remove } = patched(
    MemoryDisk.prototype,
    "put",
    (put) =>
      function (this: MemoryDisk, record) {
        if (isExpanding(this, record) && random() < 1 / 4) skipped.add(`${record.event}/${record.webhookId}`);
        else put.call(this, record);
      },
  );
  return {
    ...SOUND,
    deps: (deps) => ({ ...deps, store: instead(deps.store, "stepJob", uncounted) }),
    remove,
  };
}

/** Ends, as of the time when the purge was made, a few of those that are open; then the purge takes them. */
function purgingOpen(store: Store): (stepJob: Store["stepJob"]) => Store["stepJob"] {
  return (stepJob) => async (id, limit, context) => {
    const { spec, createdAt } = (await store.getJob(id)) as Job;
    const changes: LaneChange[] = [];
    if (spec.kind === "purge" && spec.select.webhookId !== undefined) {
      const filter = { webhookId: spec.select.webhookId, statuses: ["pending", "retrying"] as const };
      const { items } = await store.listDeliveries(filter, { limit: PURGED_OPEN, before: null });
      for (const delivery of items) {
        const change = await store.kill(delivery.id, "cancelled", createdAt);
        if (change) changes.push({ ...change, died: 0 });
      }
    }
    const step = await stepJob(id, limit, context);
    return { ...step, changes: [...changes, ...step.changes] };
  };
}

export function plantOf(name: string): Plant {
  const found = PLANTS.find((plant) => plant.name === name);
  if (!found) throw new Error(`there is no plant ${name}: ${PLANTS.map((plant) => plant.name).join(", ")}`);
  return found;
}

/** Plants it for one run. */
export function planted(plant: Plant | null, seed: number): ActivePlant {
  return plant?.plant(seededRandom(seed)) ?? SOUND;
}

/** The same object, but for one method. */
function instead<T extends object, K extends keyof T>(object: T, name: K, make: (original: T[K]) => T[K]): T {
  const original = object[name];
  const bound = (typeof original === "function" ? original.bind(object) : original) as T[K];
  const other = make(bound);
  return new Proxy(object, {
    get(target, key) {
      if (key === name) return other;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function onCommit(
  make: (commit: Store["commit"]) => (batch: CommitBatch) => Promise<Committed>,
): ActivePlant {
  return { ...SOUND, deps: (deps) => ({ ...deps, store: instead(deps.store, "commit", make) }) };
}

/** Jobs are stored for something else than what was asked for. */
function onJob(make: (spec: JobSpec) => JobSpec): ActivePlant {
  const insertJob = (insert: Store["insertJob"]) => (job: Job) => insert({ ...job, spec: make(job.spec) });
  return { ...SOUND, deps: (deps) => ({ ...deps, store: instead(deps.store, "insertJob", insertJob) }) };
}

/** All objects of a class have the other method, until the plant is removed. */
function patched<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  make: (original: T[K]) => T[K],
): ActivePlant {
  const original = prototype[name];
  Object.assign(prototype, { [name]: make(original) });
  return { ...SOUND, remove: () => void Object.assign(prototype, { [name]: original }) };
}
