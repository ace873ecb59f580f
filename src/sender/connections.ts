import { Connection } from "./connection.ts";
import type { Dialer, Endpoint } from "./connector.ts";
import { IdleList } from "./idle-list.ts";
import { RequestWriter } from "./request-writer.ts";

/**
 * An idle connection is closed after this, or a second before the time the receiver named in `Keep-Alive`.
 */
const IDLE_MS = 30_000;
/**
 * ...and after this where another one of its origin is idle already. What a burst opened beside the one or two that an
 * origin needs is 5 KB each in the heap, for the collector to look at too.
 */
const EXTRA_IDLE_MS = 5_000;
const IDLE_MARGIN_MS = 1_000;
/** How often idle connections are looked at, and what "lately" means for the peak. */
export const SWEEP_MS = 1_000;
/** Surplus connections closed in one sweep: thousands at once would hold up what is in flight. */
const SURPLUS_PER_SWEEP_MAX = 256;
/** For the same reason those whose time is over are closed so many in a turn, at some 45 us each. */
const EXPIRED_PER_TURN_MAX = 32;

/**
 * The connections of all origins. Taking never waits: with none idle a new one is opened, for lanes bound
 * concurrency upstream. Idle ones of an origin are a stack, so that few stay busy and the rest time out; over
 * all origins the longest idle one is closed when there are too many, of those that are not the only idle one of their origin
 * as long as there are any: the next attempt to an origin whose only one was closed for the sake of another's fifth has to
 * open one, which makes the next fifth. A sender with 10,000 origins did nothing else for as long as the load lasted.
 *
 * Too many are more than `idleMax`, if all open ones together are also more than were taken at once lately
 * (in this second or the one before). Without that second half, load that swings between 2,000 and 4,096 in
 * flight closed and opened thousands of connections a second, 40 % of the time of a sender; with it, what was
 * open a moment ago stays open. It costs no file: open connections are at most those taken and `idleMax`, or
 * as many as were taken anyway. With `idleMax` 0 none is kept.
 */
export class Connections {
  isClosed = false;
  /** May be changed: the next sweep closes what is too many. */
  idleMax: number;
  readonly #dialer: Dialer;
  readonly #writer = new RequestWriter();
  readonly #idleByOrigin = new Map<string, Connection[]>();
  /** The first idle one of each origin. */
  readonly #idle = new IdleList();
  /** Those that became idle beside it: they are closed sooner, and first where there are too many. */
  readonly #extra = new IdleList();
  /** Idle ones and taken ones: it changes only when one is opened or closed. */
  readonly #all = new Set<Connection>();
  /** The most that were taken at once, since the last sweep and between the two before. */
  #peak = 0;
  #peakBefore = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #onIdleLost = (connection: Connection): void => this.#closeIdle(connection);

  constructor(dialer: Dialer, idleMax: number) {
    this.#dialer = dialer;
    this.idleMax = idleMax;
  }

  get idleCount(): number {
    return this.#idle.size + this.#extra.size;
  }

  get takenCount(): number {
    return this.#all.size - this.idleCount;
  }

  /** Origins with idle connections: nothing is kept for the others. */
  get originCount(): number {
    return this.#idleByOrigin.size;
  }

  /** The connection that became idle last, or a new one. What is over waits for the sweep: it may be thousands. */
  take(endpoint: Endpoint): Connection {
    const { origin } = endpoint;
    const stack = this.#idleByOrigin.get(origin);
    const connection = stack && usable(stack, this.#dialer.options.clock.mono());
    if (connection === undefined) return this.open(endpoint);
    if (connection === stack?.at(-1)) stack.pop();
    else stack?.shift();
    if (stack?.length === 0) this.#idleByOrigin.delete(origin);
    this.#listOf(connection).remove(connection);
    this.#notePeak();
    return connection;
  }

  /** A new one, whatever is idle. */
  open(endpoint: Endpoint): Connection {
    const connection = new Connection(endpoint, this.#dialer, this.#writer, this.#onIdleLost);
    this.#all.add(connection);
    this.#notePeak();
    if (this.#hasSurplus()) this.#closeOldest();
    this.#timer ??= setInterval(() => this.sweep(), SWEEP_MS).unref();
    return connection;
  }

  /** For a connection whose response was read to its end: it becomes idle, or is closed. */
  release(connection: Connection): void {
    const seconds = connection.keepAliveSeconds;
    const stack = this.#idleByOrigin.get(connection.endpoint.origin);
    const nowMono = this.#dialer.options.clock.mono();
    connection.isExtra = stack !== undefined && usable(stack, nowMono) !== undefined;
    const idleMaxMs = connection.isExtra ? EXTRA_IDLE_MS : IDLE_MS;
    const idleMs = seconds === null ? idleMaxMs : Math.min(idleMaxMs, seconds * 1_000 - IDLE_MARGIN_MS);
    if (this.idleMax === 0 || idleMs <= 0 || connection.isRetired || !connection.isReusable) {
      this.discard(connection);
      return;
    }
    connection.idleUntilMono = nowMono + idleMs;
    this.#listOf(connection).add(connection);
    if (stack === undefined) this.#idleByOrigin.set(connection.endpoint.origin, [connection]);
    else stack.push(connection);
    if (this.#hasSurplus()) this.#closeOldest();
  }

  /** For a taken connection that is not fit for another request. */
  discard(connection: Connection): void {
    this.#all.delete(connection);
    void connection.close();
  }

  /** Those that are open now serve what they are taken for, and no further attempt. */
  retire(): void {
    for (const connection of this.#all) connection.isRetired = true;
    while (this.idleCount > 0) this.#closeOldest();
  }

  /** Closes what has been idle for too long, and gives surplus back. Called by its own timer. */
  sweep(): void {
    const nowMono = this.#dialer.options.clock.mono();
    this.#peakBefore = this.#peak;
    this.#peak = this.takenCount;
    const expired: Connection[] = [];
    for (const list of [this.#extra, this.#idle]) {
      for (let connection = list.oldest; connection !== null; connection = connection.idleAfter) {
        if (connection.idleUntilMono <= nowMono) expired.push(connection);
      }
    }
    this.#closeExpired(expired, 0, nowMono);
    for (let count = 0; count < SURPLUS_PER_SWEEP_MAX && this.#hasSurplus(); count += 1) this.#closeOldest();
    if (this.#all.size === 0) this.#stopTimer();
  }

  /** For good: nothing may be taken or opened afterwards. */
  async closeAll(): Promise<void> {
    this.isClosed = true;
    this.#stopTimer();
    const all = [...this.#all];
    for (const connection of all) this.#listOf(connection).remove(connection);
    this.#all.clear();
    this.#idleByOrigin.clear();
    await Promise.all(all.map((connection) => connection.close()));
  }

  #notePeak(): void {
    if (this.takenCount > this.#peak) this.#peak = this.takenCount;
  }

  #hasSurplus(): boolean {
    return this.idleCount > this.idleMax && this.#all.size > Math.max(this.#peak, this.#peakBefore);
  }

  /** From that place on, turn by turn: what was idle then may be closed by now. */
  #closeExpired(expired: readonly Connection[], from: number, nowMono: number): void {
    for (const connection of expired.slice(from, from + EXPIRED_PER_TURN_MAX)) {
      if (connection.isIdle && connection.idleUntilMono <= nowMono) this.#closeIdle(connection);
    }
    const next = from + EXPIRED_PER_TURN_MAX;
    if (next < expired.length) setImmediate(() => this.#closeExpired(expired, next, nowMono));
  }

  #closeOldest(): void {
    const oldest = this.#extra.oldest ?? this.#idle.oldest;
    if (oldest !== null) this.#closeIdle(oldest);
  }

  #closeIdle(connection: Connection): void {
    this.#listOf(connection).remove(connection);
    this.#all.delete(connection);
    const stack = this.#idleByOrigin.get(connection.endpoint.origin);
    // The longest idle one is mostly the first of its stack.
    const index = stack?.indexOf(connection) ?? -1;
    if (index >= 0) stack?.splice(index, 1);
    if (stack?.length === 0) this.#idleByOrigin.delete(connection.endpoint.origin);
    void connection.close();
  }

  #listOf(connection: Connection): IdleList {
    return connection.isExtra ? this.#extra : this.#idle;
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** The newest of an origin's idle ones; where that is over all but the first are, which is kept for longer. */
function usable(stack: readonly Connection[], nowMono: number): Connection | undefined {
  const newest = stack.at(-1);
  if (newest !== undefined && newest.idleUntilMono > nowMono) return newest;
  const first = stack[0];
  return first !== undefined && first.idleUntilMono > nowMono ? first : undefined;
}
