import { setTimeout as sleep } from "node:timers/promises";
import type { SettledBody } from "../http-api.ts";
import { safeText } from "../lib/safe-text.ts";
import { type Api, isPassing, messageOf, type WebhookQuery } from "./api.ts";
import { parseInert } from "./inert.ts";
import type { Key } from "./keys.ts";
import type { Size } from "./line.ts";
import { RateMeter } from "./rate-meter.ts";
import type { Ending, Screen } from "./screen.ts";
import { startSeconds } from "./seconds.ts";
import { createStore, type Store } from "./store.ts";
import { createTailScreen } from "./tail-screen.ts";
import { type TopAsked, topKey } from "./top-keys.ts";
import { topLines } from "./top-lines.ts";
import { FIRST_TOP_STATE, type TopAction, type TopState, topReducer } from "./top-state.ts";
import type { Sort } from "./trouble.ts";
import { watchAttempts } from "./watch.ts";
import { allWebhooks } from "./webhook-list.ts";

const SECOND_MS = 1_000;
/** Between two readings of all webhooks: so many times what one took, that it costs the daemon a fifth at most. */
const READING_SHARE = 4;
/** Rows of which rates are estimated; up to so many attempts a second they are exact. */
const SAMPLE_PER_SECOND = 500;
/** Of the live view of one webhook. */
const ROWS_PER_SECOND = 200;

export interface TopOptions {
  readonly query: WebhookQuery;
  readonly sort: Sort;
  copy(text: string): void;
}

type TopStore = Store<TopState, TopAction>;

/** Webhooks by trouble, with the live view of one on top of it. Starts at once; a first reading that fails ends it. */
export function createTopScreen(api: Api, options: TopOptions): Screen {
  const store = createStore(topReducer, { ...FIRST_TOP_STATE, sort: options.sort });
  const { state, dispatch } = store;
  const ending = Promise.withResolvers<Ending>();
  const stopping = new AbortController();
  const above = createAbove(store, ending.resolve);

  function obey(asked: TopAsked): void {
    if (asked.kind === "end") ending.resolve(asked.ending);
    else if (asked.kind === "copy") {
      options.copy(asked.id);
      dispatch({ kind: "notice", text: `copied ${asked.id}, if this terminal takes OSC 52`, ink: "green" });
    } else if (asked.kind === "watch") {
      const query = { webhook_id: asked.id, rows_per_second: ROWS_PER_SECOND };
      const event = state().webhooks?.find(({ id }) => id === asked.id)?.event_id ?? "";
      const scope = `webhook ${asked.id} ${event}`;
      above.open(createTailScreen(api, { query, scope, hasBack: true, copy: options.copy }));
    } else dispatch(asked);
  }

  read(api, store, options.query, () => above.screen() !== null, stopping.signal).catch(ending.reject);
  const meter = measure(api, options.query, stopping.signal);
  const seconds = startSeconds(api, (health) => dispatch({ kind: "health", health }));
  const timer = setInterval(() => {
    dispatch({ kind: "rates", rates: meter.second() });
    dispatch({ kind: "second" });
  }, SECOND_MS);

  return {
    subscribe: above.subscribe,
    version: above.version,
    resize: above.resize,
    lines: (now) => above.screen()?.lines(now) ?? topLines(state(), api.server, now),
    press(key: Key) {
      const screen = above.screen();
      if (screen !== null) screen.press(key);
      else for (const asked of topKey(state(), key, Date.now())) obey(asked);
    },
    ended: ending.promise,
    stop() {
      stopping.abort();
      above.screen()?.stop();
      seconds.stop();
      clearInterval(timer);
    },
  };
}

/** The screen that lies above this one, if any: it is shown in its place, until it is left. */
function createAbove({ state, dispatch, subscribe }: TopStore, end: (ending: Ending) => void) {
  let screen: Screen | null = null;
  let version = 0;
  const listeners = new Set<() => void>();
  const changed = (): void => {
    version += 1;
    for (const listener of listeners) listener();
  };
  subscribe(changed);

  function close(opened: Screen): void {
    opened.stop();
    screen = null;
    changed();
  }

  return {
    screen: () => screen,
    version: () => version,
    subscribe(listener: () => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    resize(size: Size): void {
      dispatch({ kind: "size", size });
      screen?.resize(size);
    },
    open(opened: Screen): void {
      screen = opened;
      opened.resize(state().size);
      opened.subscribe(changed);
      opened.ended.then(
        (ending) => (ending === "back" ? close(opened) : end(ending)),
        (error) => {
          close(opened);
          dispatch({ kind: "notice", text: safeText(messageOf(error)), ink: "red" });
        },
      );
      changed();
    },
  };
}

/** Reads the webhooks again and again, but for while nobody sees them. */
async function read(
  api: Api,
  { state, dispatch }: TopStore,
  query: WebhookQuery,
  isHidden: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const beganAtMono = performance.now();
    try {
      if (!isHidden()) dispatch({ kind: "webhooks", ...(await allWebhooks(api, query)) });
    } catch (error) {
      if (state().webhooks === null || !isPassing(error)) throw error;
      dispatch({ kind: "lost", why: safeText(messageOf(error)) });
    }
    const waitMs = Math.max(SECOND_MS, READING_SHARE * (performance.now() - beganAtMono));
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
  }
}

/** Counts what the stream says. Rates are of no use where it cannot be had, and no reason to end. */
function measure(api: Api, { user_id, event_id }: WebhookQuery, signal: AbortSignal): RateMeter {
  const meter = new RateMeter();
  const query = { user_id, event_id, rows_per_second: SAMPLE_PER_SECOND };
  const watch = async (): Promise<void> => {
    for await (const watched of watchAttempts(api, { query, signal })) {
      if (watched.kind === "attempt") meter.row(parseInert<SettledBody>(watched.json).webhook_id);
      else if (watched.kind === "counts") meter.counted(watched.counts.attempts);
    }
  };
  watch().catch(() => undefined);
  return meter;
}
