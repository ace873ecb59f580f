import type { SettledBody } from "../http-api.ts";
import { safeText } from "../lib/safe-text.ts";
import { type Api, messageOf, type WatchQuery } from "./api.ts";
import { readDetail } from "./detail.ts";
import { Gatherer } from "./gather.ts";
import { parseInert } from "./inert.ts";
import type { Key } from "./keys.ts";
import type { Ending, Screen } from "./screen.ts";
import { startSeconds } from "./seconds.ts";
import { createStore, type Store } from "./store.ts";
import { type Asked, tailKey } from "./tail-keys.ts";
import { tailLines } from "./tail-lines.ts";
import { FIRST_STATE, type TailAction, type TailState, tailReducer } from "./tail-state.ts";
import { watchAttempts } from "./watch.ts";

const SECOND_MS = 1_000;

export interface TailOptions {
  readonly query: WatchQuery;
  /** The query in words; empty for all attempts. */
  readonly scope: string;
  /** Esc leads somewhere. */
  readonly hasBack: boolean;
  /** Puts a text on the clipboard. */
  copy(text: string): void;
}

type TailStore = Store<TailState, TailAction>;

/** The live view: attempts as they settle. Starts at once; a first connection that fails ends it with its error. */
export function createTailScreen(api: Api, options: TailOptions): Screen {
  const store = createStore(tailReducer, FIRST_STATE);
  const { state, dispatch } = store;
  const ending = Promise.withResolvers<Ending>();
  const stopping = new AbortController();
  const gatherer = new Gatherer((gathered) => dispatch({ kind: "gathered", gathered }));

  function obey(asked: Asked): void {
    if (asked.kind === "end") {
      if (asked.ending !== "back" || options.hasBack) ending.resolve(asked.ending);
    } else if (asked.kind === "copy") {
      options.copy(asked.id);
      dispatch({ kind: "notice", text: `copied ${asked.id}, if this terminal takes OSC 52`, ink: "green" });
    } else if (asked.kind === "retry") void retry(api, store, asked.id);
    else {
      dispatch(asked);
      if (asked.kind === "inspect") void refresh(api, store, asked.id);
    }
  }

  watch(api, store, gatherer, options.query, stopping.signal).catch(ending.reject);
  const seconds = startSeconds(api, (health) => dispatch({ kind: "health", health }));
  const timer = setInterval(() => {
    dispatch({ kind: "second" });
    const { pane, detail } = state();
    // What is open may go on while somebody looks.
    if (pane === "detail" && detail?.delivery?.completed_at === null) void refresh(api, store, detail.id);
  }, SECOND_MS);

  return {
    subscribe: store.subscribe,
    version: store.version,
    resize: (size) => dispatch({ kind: "size", size }),
    lines: (now) => tailLines(state(), { server: api.server, ...options }, now),
    press(key: Key) {
      for (const asked of tailKey(state(), key)) obey(asked);
    },
    ended: ending.promise,
    stop() {
      stopping.abort();
      seconds.stop();
      clearInterval(timer);
      gatherer.stop();
    },
  };
}

async function watch(
  api: Api,
  { dispatch }: TailStore,
  gatherer: Gatherer,
  query: WatchQuery,
  signal: AbortSignal,
): Promise<void> {
  let wasLost = false;
  for await (const watched of watchAttempts(api, { query, signal })) {
    switch (watched.kind) {
      case "attempt":
        gatherer.row(parseInert<SettledBody>(watched.json));
        break;
      case "counts":
        gatherer.counts(watched.counts);
        break;
      case "skipped":
        gatherer.skipped(watched.count);
        break;
      case "lost": {
        wasLost = true;
        gatherer.flush();
        const retryAt = Date.now() + watched.waitMs;
        dispatch({ kind: "connection", connection: { kind: "lost", why: safeText(watched.why), retryAt } });
        break;
      }
      case "open":
        dispatch({ kind: "connection", connection: { kind: "live" } });
        if (wasLost) dispatch({ kind: "notice", text: AGAIN, ink: "yellow" });
    }
  }
}

const AGAIN = "Connected again. What settled in between has no row here: see hookd deliveries list";

async function refresh(api: Api, { state, dispatch }: TailStore, id: string): Promise<void> {
  try {
    dispatch({ kind: "detail", detail: await readDetail(api, id) });
  } catch (error) {
    // What was known of it stays.
    const { delivery = null, webhook = null, pause = null } = state().detail ?? {};
    const detail = { id, delivery, webhook, pause, error: safeText(messageOf(error)) };
    dispatch({ kind: "detail", detail });
  }
}

async function retry(api: Api, store: TailStore, id: string): Promise<void> {
  const { state, dispatch } = store;
  try {
    const { is_leased } = await api.retry(id);
    dispatch({ kind: "notice", text: `${id} is ${is_leased ? "being tried" : "due now"}`, ink: "green" });
  } catch (error) {
    dispatch({ kind: "notice", text: safeText(messageOf(error)), ink: "red" });
  }
  if (state().detail?.id === id) await refresh(api, store, id);
}
