import { setTimeout as sleep } from "node:timers/promises";
import type { DeadGroupBody } from "../http-api.ts";
import { safeText } from "../lib/safe-text.ts";
import { type Api, messageOf, type Selection } from "./api.ts";
import { readDetail } from "./detail.ts";
import { type DlqAsked, dlqKey } from "./dlq-keys.ts";
import { dlqLines } from "./dlq-lines.ts";
import {
  type DlqAction,
  type DlqState,
  dlqReducer,
  FIRST_DLQ_STATE,
  filterOf,
  type Pending,
  type Verb,
} from "./dlq-state.ts";
import { numberText } from "./health-line.ts";
import type { Key } from "./keys.ts";
import type { Ending, Screen } from "./screen.ts";
import { createStore, type Store } from "./store.ts";

const SECOND_MS = 1_000;
const LOOK_EVERY_MS = 200;
/** Webhooks of groups that are asked what they are called. */
const NAMES_MAX = 50;

type DlqStore = Store<DlqState, DlqAction>;

/** The dead, to look at, replay and purge. Starts at once; a first reading that fails ends it with its error. */
export function createDlqScreen(api: Api, options: { copy(text: string): void }): Screen {
  const store = createStore(dlqReducer, FIRST_DLQ_STATE);
  const { state, dispatch } = store;
  const ending = Promise.withResolvers<Ending>();
  const stopping = new AbortController();

  /** What fails is told, and changes nothing. */
  function attempt(work: Promise<void>): void {
    work.catch((error: unknown) => {
      dispatch({ kind: "progress", text: null });
      dispatch({ kind: "notice", text: safeText(messageOf(error)), ink: "red" });
    });
  }

  function obey(asked: DlqAsked): void {
    if (asked.kind === "end") ending.resolve(asked.ending);
    else if (asked.kind === "copy") {
      options.copy(asked.id);
      dispatch({ kind: "notice", text: `copied ${asked.id}, if this terminal takes OSC 52`, ink: "green" });
    } else if (asked.kind === "read groups") attempt(readGroups(api, store));
    else if (asked.kind === "read deliveries") attempt(readDeliveries(api, store, asked.group));
    else if (asked.kind === "count") attempt(count(api, store, asked.verb, asked.selections));
    else if (asked.kind === "start") attempt(work(api, store, asked.pending, stopping.signal));
    else {
      dispatch(asked);
      if (asked.kind === "inspect") attempt(inspect(api, store, asked.id));
    }
  }

  readGroups(api, store).catch(ending.reject);
  const timer = setInterval(() => dispatch({ kind: "second" }), SECOND_MS);

  return {
    subscribe: store.subscribe,
    version: store.version,
    resize: (size) => dispatch({ kind: "size", size }),
    lines: (now) => dlqLines(state(), api.server, now),
    press(key: Key) {
      for (const asked of dlqKey(state(), key, Date.now())) obey(asked);
    },
    ended: ending.promise,
    stop() {
      stopping.abort();
      clearInterval(timer);
    },
  };
}

async function readGroups(api: Api, { state, dispatch }: DlqStore): Promise<void> {
  const { grouping } = state();
  const groups = [...(await api.deadGroups(grouping))].sort((a, b) => b.count - a.count);
  if (state().grouping !== grouping) return;
  dispatch({ kind: "groups", groups });
  const ids = [...new Set(groups.flatMap(({ webhook_id }) => webhook_id ?? []))].slice(0, NAMES_MAX);
  for (const id of ids.filter((one) => !state().names.has(one))) {
    const webhook = await api.webhook(id).catch(() => null);
    const name = webhook === null ? "deleted" : `${webhook.event_id}  ${webhook.callback_url}`;
    dispatch({ kind: "name", id, name });
  }
}

async function readDeliveries(api: Api, { state, dispatch }: DlqStore, group: DeadGroupBody): Promise<void> {
  const { data, next_cursor } = await api.dead(filterOf(group));
  if (state().group !== group) return;
  dispatch({ kind: "deliveries", deliveries: data, isPartial: next_cursor !== null });
}

async function inspect(api: Api, { dispatch }: DlqStore, id: string): Promise<void> {
  dispatch({ kind: "detail", detail: await readDetail(api, id) });
}

/** How many it would be, before anything is done. */
async function count(
  api: Api,
  { dispatch }: DlqStore,
  verb: Verb,
  selections: readonly Selection[],
): Promise<void> {
  let sum = 0;
  let isExact = true;
  for (const selection of selections) {
    const counted = await api.countDead(verb, selection);
    sum += counted.count;
    isExact &&= counted.is_exact;
  }
  if (sum === 0) dispatch({ kind: "notice", text: "Nothing of it is dead any more.", ink: "yellow" });
  else dispatch({ kind: "pending", pending: { verb, selections, count: sum, isExact } });
}

/** A job for each selection, one after the other; then the list as it is now. */
async function work(api: Api, store: DlqStore, pending: Pending, signal: AbortSignal): Promise<void> {
  const { state, dispatch } = store;
  const doing = pending.verb === "replay" ? "Replaying" : "Deleting";
  let before = 0;
  for (const selection of pending.selections) {
    const { job_id } = await api.startDead(pending.verb, selection);
    while (true) {
      const job = await api.job(job_id);
      const done = numberText(before + job.done);
      dispatch({ kind: "progress", text: `${doing}: ${done} of ${numberText(pending.count)} (${job_id})` });
      if (job.status !== "running") {
        before += job.done;
        break;
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
      // The job goes on without its watcher.
      if (signal.aborted) return;
    }
  }
  dispatch({ kind: "progress", text: null });
  const text = `${pending.verb === "replay" ? "Replayed" : "Deleted"} ${numberText(before)}.`;
  dispatch({ kind: "mark", keys: [...state().marks] });
  const { group } = state();
  await (group === null ? readGroups(api, store) : readDeliveries(api, store, group));
  dispatch({ kind: "notice", text, ink: "green" });
}
