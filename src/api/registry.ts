import { LRUCache } from "lru-cache";
import type { WebhookId } from "../domain/ids.ts";
import type { Engine } from "../engine/port.ts";
import type { Clock } from "../lib/clock.ts";
import type { ApiCounters } from "./counters.ts";

/**
 * Which webhooks an event goes to: (user, event) -> webhook ids, asked for with every event, so remembered here. What
 * is not remembered is looked up in the store, all misses of one turn of the event loop in one call.
 *
 *   missing --first asked--> looking --found--> kept for `ttlMs`
 *                              |  \---none----> kept for NONE_KEPT_MS
 *                              +--user invalidated meanwhile--> answered, but not kept
 *
 * A process that changes a webhook invalidates its user at once; the times are for changes made elsewhere. "None" is
 * kept so shortly because it makes events vanish: they are answered with no deliveries, and not stored.
 */
const NONE_KEPT_MS = 1_000;
/** Keys asked for in one call: what a director answers well within a commit. */
const LOOKUP_MAX = 1_000;

export interface Registry {
  /** The targets where they are known now, otherwise null. Synchronous: the publish path. */
  peek(userId: string, eventId: string): readonly WebhookId[] | null;
  /** Asks the store. Rejects as Engine.routes does. */
  lookUp(userId: string, eventId: string): Promise<readonly WebhookId[]>;
  /** Forgets what is known of a user; what is being looked up is not kept. */
  invalidateUser(userId: string): void;
}

interface Entry {
  readonly userId: string;
  readonly targets: readonly WebhookId[];
  readonly endsMono: number;
}

interface Lookup {
  readonly userId: string;
  readonly eventId: string;
  isStale: boolean;
  readonly answer: Promise<readonly WebhookId[]>;
  resolve(targets: readonly WebhookId[]): void;
  reject(error: unknown): void;
}

export interface RegistryOptions {
  readonly ttlMs: number;
  readonly entriesMax: number;
}

export function createRegistry(
  engine: Pick<Engine, "routes">,
  options: RegistryOptions,
  clock: Clock,
  counters: Pick<ApiCounters, "registryHits" | "registryMisses">,
): Registry {
  /** Neither name can hold a space: the pair is one text. */
  const keysOfUser = new Map<string, Set<string>>();
  const entries = new LRUCache<string, Entry>({
    max: options.entriesMax,
    dispose: (entry, key) => unlink(entry, key),
  });
  const lookups = new Map<string, Lookup>();
  let waiting: Lookup[] = [];

  function unlink(entry: Entry, key: string): void {
    const keys = keysOfUser.get(entry.userId);
    if (keys?.delete(key) && keys.size === 0) keysOfUser.delete(entry.userId);
  }

  function keep(userId: string, eventId: string, targets: readonly WebhookId[]): void {
    const key = `${userId} ${eventId}`;
    const keptMs = targets.length === 0 ? Math.min(NONE_KEPT_MS, options.ttlMs) : options.ttlMs;
    entries.set(key, { userId, targets, endsMono: clock.mono() + keptMs });
    // After the set: replacing an entry disposes of the old one, and takes its key out of the user's.
    const keys = keysOfUser.get(userId);
    if (keys === undefined) keysOfUser.set(userId, new Set([key]));
    else keys.add(key);
  }

  function peek(userId: string, eventId: string): readonly WebhookId[] | null {
    const entry = entries.get(`${userId} ${eventId}`);
    if (entry === undefined || entry.endsMono <= clock.mono()) return null;
    counters.registryHits += 1;
    return entry.targets;
  }

  function lookUp(userId: string, eventId: string): Promise<readonly WebhookId[]> {
    const key = `${userId} ${eventId}`;
    const running = lookups.get(key);
    if (running !== undefined) return running.answer;
    counters.registryMisses += 1;
    const { promise, resolve, reject } = Promise.withResolvers<readonly WebhookId[]>();
    const lookup: Lookup = { userId, eventId, isStale: false, answer: promise, resolve, reject };
    lookups.set(key, lookup);
    waiting.push(lookup);
    if (waiting.length === 1) setImmediate(ask);
    return promise;
  }

  function ask(): void {
    const asked = waiting;
    waiting = [];
    for (let start = 0; start < asked.length; start += LOOKUP_MAX)
      askFor(asked.slice(start, start + LOOKUP_MAX));
  }

  function askFor(asked: readonly Lookup[]): void {
    engine.routes(asked.map(({ userId, eventId }) => ({ userId, eventId }))).then(
      (answers) => {
        asked.forEach((lookup, index) => {
          const targets = answers[index] ?? [];
          finish(lookup);
          if (!lookup.isStale) keep(lookup.userId, lookup.eventId, targets);
          lookup.resolve(targets);
        });
      },
      (error) => {
        for (const lookup of asked) {
          finish(lookup);
          lookup.reject(error);
        }
      },
    );
  }

  function finish(lookup: Lookup): void {
    const key = `${lookup.userId} ${lookup.eventId}`;
    if (lookups.get(key) === lookup) lookups.delete(key);
  }

  /** Whoever asks from now on must not be answered by a look that began before the change. */
  function abandon(userId: string): void {
    for (const [key, lookup] of lookups) {
      if (lookup.userId !== userId) continue;
      lookup.isStale = true;
      lookups.delete(key);
    }
  }

  return {
    peek,
    lookUp,
    invalidateUser(userId) {
      for (const key of [...(keysOfUser.get(userId) ?? [])]) entries.delete(key);
      abandon(userId);
    },
  };
}
