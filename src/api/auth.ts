import { timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { KeyId } from "../domain/ids.ts";
import type { ApiKey, Scope } from "../domain/key.ts";
import { hashKey, isKeyText } from "../domain/key-text.ts";
import { Problem } from "../domain/problem.ts";
import type { Engine } from "../engine/port.ts";
import type { Clock } from "../lib/clock.ts";
import { createBuckets } from "./buckets.ts";

/**
 * Who calls. A key is looked up by the hash of its text, and remembered for a second by the raw header, so that the
 * publish path hashes nothing:
 *
 *   unknown --found in the store--> fresh (0.5 s) --> ageing (0.5 s, looked up again behind the answer) --> stale
 *
 * A stale entry authenticates nobody: the next call waits for the store. That is what makes a key revoked on another
 * node, or by another process, end within a second; one revoked here ends at once (`forget`).
 */
const FRESH_MS = 500;
const KEPT_MS = 1_000;
/** Keys remembered. Beyond that, each call of a forgotten key costs one look into the store. */
const ENTRIES_MAX = 10_000;
/** Wrong keys that an address may try at once, and how fast it gets more tries. */
const FAILURES = { burst: 20, perSecond: 0.2, entriesMax: 10_000 } as const;
/**
 * Looks into the store at the same time for an address that has no tries left. Behind a proxy all callers have one address:
 * good keys get in all the same. Nobody guesses 190 bits; what has to be bounded is the work.
 */
const LOOKUPS_WITHOUT_TRIES_MAX = 8;

export interface Authenticator {
  /** The key of a raw Authorization header, where it is known without asking the store; otherwise null. */
  known(header: string | undefined): ApiKey | null;
  /** Rejects with unauthorized or too_many_failures. */
  authenticate(header: string | undefined, address: string): Promise<ApiKey>;
  /** Whether a key that was good still is. Not for guesses: they would not be counted. */
  isStillGood(header: string): Promise<boolean>;
  /** A key was deleted: it authenticates nobody from now on. */
  forget(id: KeyId): void;
}

interface Entry {
  readonly key: ApiKey;
  /** When the look into the store began that confirmed it. */
  readonly atMono: number;
  isRefreshing: boolean;
}

export function createAuthenticator(engine: Pick<Engine, "findKey">, clock: Clock): Authenticator {
  const entries = new LRUCache<string, Entry>({ max: ENTRIES_MAX });
  const lookups = new Map<string, Promise<ApiKey | null>>();
  const failures = createBuckets(FAILURES, clock);
  /** Lookups for addresses that have no tries left, by address. */
  const lookupsWithoutTries = new Map<string, number>();
  let deletions = 0;

  function known(header: string | undefined): ApiKey | null {
    if (header === undefined) return null;
    const entry = entries.get(header);
    if (entry === undefined) return null;
    const ageMs = clock.mono() - entry.atMono;
    if (ageMs >= KEPT_MS || isExpired(entry.key)) return null;
    if (ageMs >= FRESH_MS && !entry.isRefreshing) refresh(header, entry);
    return entry.key;
  }

  /** Behind an answer: where the store does not answer now, the entry goes stale and the next caller hears of it. */
  function refresh(header: string, entry: Entry): void {
    entry.isRefreshing = true;
    lookUp(header).then(
      () => undefined,
      () => undefined,
    );
  }

  /** One look into the store for all who wait for the same key. */
  function lookUp(header: string): Promise<ApiKey | null> {
    const running = lookups.get(header);
    if (running !== undefined) return running;
    const lookup = readKey(header).finally(() => {
      if (lookups.get(header) === lookup) lookups.delete(header);
    });
    lookups.set(header, lookup);
    return lookup;
  }

  /** Null also where too many are under way. */
  async function lookUpWithoutTries(header: string, from: string): Promise<ApiKey | null> {
    const running = lookupsWithoutTries.get(from) ?? 0;
    if (running >= LOOKUPS_WITHOUT_TRIES_MAX) return null;
    lookupsWithoutTries.set(from, running + 1);
    try {
      return await lookUp(header);
    } finally {
      const left = (lookupsWithoutTries.get(from) ?? 1) - 1;
      if (left === 0) lookupsWithoutTries.delete(from);
      else lookupsWithoutTries.set(from, left);
    }
  }

  async function readKey(header: string): Promise<ApiKey | null> {
    const atMono = clock.mono();
    const deletionsBefore = deletions;
    const hash = hashKey(header.slice(BEARER_LENGTH));
    const key = await engine.findKey(hash);
    if (key === null || !timingSafeEqual(key.hash, hash)) {
      entries.delete(header);
      return null;
    }
    if (deletions === deletionsBefore) entries.set(header, { key, atMono, isRefreshing: false });
    return key;
  }

  async function authenticate(header: string | undefined, address: string): Promise<ApiKey> {
    const key = known(header);
    if (key !== null) return key;
    const text = bearerText(header);
    // A key that was good a moment ago is looked up again at once even from an address that guesses at others.
    const wasGood = header !== undefined && entries.has(header);
    const from = addressGroup(address);
    const waitMs = wasGood ? 0 : failures.wait(from);
    const canBeGood = header !== undefined && isKeyText(text);
    const look = waitMs > 0 ? lookUpWithoutTries : lookUp;
    const found = canBeGood ? await look(header, from) : null;
    if (found === null) {
      if (waitMs > 0) throw tooManyFailures(waitMs);
      // Charged when it has failed, not before: many good keys may come from one address at the same time.
      failures.charge(from, 1);
      throw unauthorized("the API key is not known; it was mistyped or revoked");
    }
    if (isExpired(found)) throw unauthorized("the API key has expired; make a new one");
    return found;
  }

  async function isStillGood(header: string): Promise<boolean> {
    const key = known(header) ?? (await lookUp(header));
    return key !== null && !isExpired(key);
  }

  function isExpired(key: ApiKey): boolean {
    return key.expiresAt !== null && key.expiresAt <= clock.now();
  }

  function forget(id: KeyId): void {
    deletions += 1;
    lookups.clear();
    for (const [header, entry] of entries.entries()) if (entry.key.id === id) entries.delete(header);
  }

  return { known, authenticate, isStillGood, forget };
}

/** Rejects a key that lacks a scope. Admin keys have all; `admin` is theirs alone. */
export function checkScope(key: ApiKey, scope: Scope | "admin"): void {
  if (key.userId === null) return;
  if (scope === "admin") {
    throw new Problem("forbidden", `this takes an admin key; this one is of the user ${key.userId}`, {
      details: { scope },
    });
  }
  if (key.scopes.includes(scope)) return;
  throw new Problem(
    "forbidden",
    `the API key lacks the scope ${scope}; it has ${key.scopes.join(", ") || "none"}`,
    {
      details: { scope },
    },
  );
}

const BEARER_LENGTH = "Bearer ".length;

function bearerText(header: string | undefined): string {
  if (header === undefined || header === "") {
    throw unauthorized("an API key is needed: send the header Authorization: Bearer hk_...");
  }
  if (header.slice(0, BEARER_LENGTH).toLowerCase() !== "bearer ") {
    throw unauthorized("the Authorization header must read: Bearer hk_...");
  }
  return header.slice(BEARER_LENGTH);
}

function unauthorized(detail: string): Problem {
  return new Problem("unauthorized", detail);
}

function tooManyFailures(waitMs: number): Problem {
  return new Problem(
    "too_many_failures",
    "too many wrong API keys came from this address; wait before the next try",
    {
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)),
    },
  );
}

/** Whoever has one IPv6 address has its /64: it counts as one. */
function addressGroup(address: string): string {
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  const [head = "", tail = ""] = address.split("::");
  const front = head.split(":").filter((group) => group !== "");
  const back = tail.split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => "0");
  return [...front, ...zeros, ...back].slice(0, 4).join(":");
}
