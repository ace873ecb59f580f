import { Resolver } from "node:dns";
import { LRUCache } from "lru-cache";
import type { Clock } from "../lib/clock.ts";
import type { Deadlines, Watched } from "./deadlines.ts";
import { SendFailure } from "./failure.ts";

/** Names kept: one per callback host in use. The least recently used goes. */
const CACHE_ENTRIES_MAX = 10_000;
/** Lookups in flight, two queries each; more fail as `dns`. Bounds what dead name servers can pile up. */
const LOOKUPS_MAX = 1_024;
/** Addresses of one name that are dialled. All that came are checked. */
const ADDRESSES_MAX = 16;
/**
 * A TTL of 0 would let a name cost a query per connection; a long one would outlive a move of the receiver.
 */
const TTL_MIN_MS = 5_000;
const TTL_MAX_MS = 60_000;
const NEGATIVE_TTL_MS = 5_000;
const LOOKUP_MS = 2_000;
/** c-ares waits this long, then twice this long for its second try: 1.8 s, inside `LOOKUP_MS`. */
const QUERY_MS = 600;
const QUERY_TRIES = 2;

export type ResolveCallback = (failure: SendFailure | null, addresses: readonly string[]) => void;

interface Answer {
  readonly addresses: readonly string[];
  readonly failure: SendFailure | null;
  readonly expiresAtMono: number;
}

/**
 * Names to addresses, by c-ares and never by `dns.lookup`: that one runs on the thread pool, where eight dead
 * names made an innocent one wait 40 s. Asks for fully qualified names (no search domains), A and AAAA at
 * once. Lookups of one name share. Checks nothing: whoever dials does.
 */
export class NameResolver {
  readonly #clock: Clock;
  readonly #deadlines: Deadlines;
  #resolver: Resolver;
  readonly #cache = new LRUCache<string, Answer>({ max: CACHE_ENTRIES_MAX });
  readonly #lookups = new Map<string, Lookup>();

  /** `servers`: addresses with optional ports, as `dns.setServers` takes them; none: those of the system. */
  constructor(clock: Clock, deadlines: Deadlines, servers: readonly string[]) {
    this.#clock = clock;
    this.#deadlines = deadlines;
    this.#resolver = resolverOf(servers);
  }

  /** From the next name on: what runs goes on with the servers before (c-ares takes no others meanwhile). */
  setServers(servers: readonly string[]): void {
    this.#resolver = resolverOf(servers);
    this.#cache.clear();
    for (const lookup of this.#lookups.values()) lookup.isOutdated = true;
  }

  /**
   * Calls back exactly once, at once for a cached name, at the latest after `LOOKUP_MS`; not at all after
   * `stop`.
   */
  resolve(name: string, callback: ResolveCallback): void {
    const cached = this.#cache.get(name);
    if (cached !== undefined && cached.expiresAtMono > this.#clock.mono()) {
      callback(cached.failure, cached.addresses);
      return;
    }
    const running = this.#lookups.get(name);
    if (running !== undefined) {
      running.waiting.push(callback);
    } else if (this.#lookups.size >= LOOKUPS_MAX) {
      callback(new SendFailure("dns", `${name}: more than ${LOOKUPS_MAX} lookups are running`), []);
    } else {
      this.#start(name, callback);
    }
  }

  stop(): void {
    this.#lookups.clear();
    this.#resolver.cancel();
  }

  #start(name: string, callback: ResolveCallback): void {
    const lookup = new Lookup(name, this.#clock.mono() + LOOKUP_MS, (ended) => this.#end(ended));
    lookup.waiting.push(callback);
    this.#lookups.set(name, lookup);
    this.#deadlines.add(lookup);
    this.#resolver.resolve4(`${name}.`, { ttl: true }, (error, records) => lookup.add(error, records));
    this.#resolver.resolve6(`${name}.`, { ttl: true }, (error, records) => lookup.add(error, records));
  }

  #end(lookup: Lookup): void {
    this.#deadlines.remove(lookup);
    if (this.#lookups.get(lookup.name) !== lookup) return;
    this.#lookups.delete(lookup.name);
    const addresses = lookup.addresses;
    const failure = addresses.length > 0 ? null : new SendFailure("dns", `${lookup.name}: ${lookup.error}`);
    const ttlMs = failure === null ? lookup.ttlMs : NEGATIVE_TTL_MS;
    if (!lookup.isOutdated) {
      this.#cache.set(lookup.name, { addresses, failure, expiresAtMono: this.#clock.mono() + ttlMs });
    }
    for (const callback of lookup.waiting) callback(failure, addresses);
  }
}

function resolverOf(servers: readonly string[]): Resolver {
  const resolver = new Resolver({ timeout: QUERY_MS, tries: QUERY_TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  return resolver;
}

/**
 * One name's two queries. With the deadline, what came by then is taken: a server may leave AAAA unanswered.
 */
class Lookup implements Watched {
  watchIndex = -1;
  readonly name: string;
  readonly waiting: ResolveCallback[] = [];
  readonly addresses: string[] = [];
  ttlMs = TTL_MAX_MS;
  error = "no answer";
  /** Others are asked by now: the answer is for those who wait, and not kept. */
  isOutdated = false;
  readonly #deadlineMono: number;
  readonly #onEnd: (lookup: Lookup) => void;
  #open = 2;

  constructor(name: string, deadlineMono: number, onEnd: (lookup: Lookup) => void) {
    this.name = name;
    this.#deadlineMono = deadlineMono;
    this.#onEnd = onEnd;
  }

  add(error: Error | null, records: readonly { address: string; ttl: number }[] | undefined): void {
    if (this.#open === 0) return;
    if (error !== null) this.error = error.message;
    for (const { address, ttl } of records ?? []) {
      this.addresses.push(address);
      this.ttlMs = Math.max(TTL_MIN_MS, Math.min(this.ttlMs, ttl * 1_000));
    }
    this.#open -= 1;
    if (this.#open === 0) this.#onEnd(this);
  }

  check(nowMono: number): void {
    if (nowMono < this.#deadlineMono || this.#open === 0) return;
    this.#open = 0;
    this.#onEnd(this);
  }
}

/** The addresses to dial, out of all that were found and vetted. */
export function dialled(addresses: readonly string[]): readonly string[] {
  return addresses.length > ADDRESSES_MAX ? addresses.slice(0, ADDRESSES_MAX) : addresses;
}
