import { setTimeout as sleep } from "node:timers/promises";
import type { StreamCountsBody } from "../http-api.ts";
import { type Api, isPassing, messageOf, type WatchQuery } from "./api.ts";
import { readServerEvents, type ServerEvent } from "./server-events.ts";

/**
 * Attempts as they settle, for as long as somebody watches:
 *
 *   open --> attempts, counts, skipped --connection ends--> lost --waits--> open
 *
 * A first connection that fails, and a refusal that waiting does not cure (a revoked key), are thrown.
 */
export type Watched =
  | { readonly kind: "open" }
  /** JSON of a SettledBody, as it came. */
  | { readonly kind: "attempt"; readonly json: string }
  | { readonly kind: "skipped"; readonly count: number }
  | { readonly kind: "counts"; readonly counts: StreamCountsBody }
  | { readonly kind: "lost"; readonly why: string; readonly waitMs: number; readonly tries: number };

const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 10_000;
/** hookd sends something every 15 s; a connection that is silent for longer than two of those is dead. */
const SILENCE_MS_MAX = 40_000;

export interface WatchOptions {
  readonly query: WatchQuery;
  readonly signal: AbortSignal;
  readonly random?: () => number;
  readonly waitMsMin?: number;
  readonly silenceMsMax?: number;
}

export async function* watchAttempts(
  api: Pick<Api, "openStream">,
  options: WatchOptions,
): AsyncGenerator<Watched> {
  const { signal, random = Math.random, waitMsMin = WAIT_MS_MIN } = options;
  let wasOpen = false;
  for (let tries = 1; ; tries += 1) {
    let why = "hookd closed the stream";
    try {
      for await (const watched of oneConnection(api, options)) {
        if (watched.kind === "open") tries = 0;
        wasOpen = true;
        yield watched;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!wasOpen || !isPassing(error)) throw error;
      why = messageOf(error);
    }
    if (signal.aborted) return;
    // Many that lost the same daemon should not come back in the same moment.
    const waitMs = Math.min(WAIT_MS_MAX, waitMsMin * 2 ** tries) * (0.5 + random() / 2);
    yield { kind: "lost", why, waitMs, tries };
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
  }
}

async function* oneConnection(
  api: Pick<Api, "openStream">,
  { query, signal, silenceMsMax = SILENCE_MS_MAX }: WatchOptions,
): AsyncGenerator<Watched> {
  const silence = new AbortController();
  const chunks = await api.openStream(query, AbortSignal.any([signal, silence.signal]));
  yield { kind: "open" };
  const timer = setTimeout(() => silence.abort(), silenceMsMax);
  try {
    for await (const event of readServerEvents(chunks)) {
      timer.refresh();
      const watched = event === null ? null : watchedOf(event);
      if (watched !== null) yield watched;
    }
  } catch (error) {
    if (!silence.signal.aborted) throw error;
    // Ended from here, and to be tried again like any other end.
  } finally {
    clearTimeout(timer);
  }
}

/** Null: an event of a newer hookd. */
function watchedOf({ name, data }: ServerEvent): Watched | null {
  if (name === "attempt") return { kind: "attempt", json: data };
  if (name === "skipped") return { kind: "skipped", count: (JSON.parse(data) as { count: number }).count };
  if (name === "counts") return { kind: "counts", counts: JSON.parse(data) as StreamCountsBody };
  return null;
}
