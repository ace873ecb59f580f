import type { Clock } from "../../src/lib/clock.ts";
import { KeyedHeap } from "../../src/lib/keyed-heap.ts";
import type { Timers } from "../../src/lib/timers.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
  isCancelled: boolean;
}

/** Turns without anything to do after which a world is quiet. One is enough for what only awaits promises. */
const QUIET_TURNS = 2;
const TURNS_MAX = 20_000;
/** A turn that waits for something under way counts as this many. */
const BUSY_TURN = 0.001;
/** Rounds of timers without time passing. */
const FIRINGS_MAX = 10_000;
const START_AT = Date.UTC(2026, 10, 22, 8, 30);

/**
 * Time that stands still until it is moved. Wall clock and monotonic clock go together, unless the wall clock is made
 * to jump. Between two moments everything that can run does, in turns: `soon` callbacks, then what awaited.
 */
export class FakeTime implements Clock, Timers {
  #mono = 1_000;
  #wallAhead = START_AT - 1_000;
  #timers = new KeyedHeap<Timer>();
  #soon: (() => void)[] = [];
  #order = 0;
  readonly #quietTurns: number;
  /** Whether something is under way that goes on without time passing (a store call, say). */
  isBusy: () => boolean = () => false;

  constructor(quietTurns = QUIET_TURNS) {
    this.#quietTurns = quietTurns;
  }

  now(): number {
    return this.#mono + this.#wallAhead;
  }

  mono(): number {
    return this.#mono;
  }

  after(ms: number, callback: () => void): () => void {
    this.#order += 1;
    const timer: Timer = {
      at: this.#mono + Math.max(0, Math.ceil(ms)),
      order: this.#order,
      callback,
      isCancelled: false,
    };
    this.#timers.set(timer, timer.at);
    return () => {
      timer.isCancelled = true;
    };
  }

  soon(callback: () => void): void {
    this.#soon.push(callback);
  }

  /** The wall clock alone is set forward, or back. */
  jump(ms: number): void {
    this.#wallAhead += ms;
  }

  /** So long something holds up the thread: time passes, and no timer fires meanwhile. */
  spend(ms: number): void {
    this.#mono += ms;
  }

  /** Runs all that can run without time passing. */
  async settle(): Promise<void> {
    let quiet = 0;
    let turns = 0;
    while (quiet < this.#quietTurns) {
      // What is under way may wait for a real disk, which takes as many turns as it takes.
      turns += this.isBusy() ? BUSY_TURN : 1;
      if (turns > TURNS_MAX)
        throw new Error(`never quiet: something asks for turn after turn at ${this.now()}`);
      const callbacks = this.#soon;
      this.#soon = [];
      for (const callback of callbacks) callback();
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.#soon.length === 0 && !this.isBusy() ? quiet + 1 : 0;
    }
  }

  /** Moves time on, stopping wherever a timer is due: they fire in order of time, then of their making. */
  async advance(ms: number): Promise<void> {
    const until = this.#mono + ms;
    let firings = 0;
    await this.settle();
    while (this.#timers.firstKey <= until) {
      const due: Timer[] = [];
      const at = this.#timers.firstKey;
      while (this.#timers.firstKey === at) {
        const timer = this.#timers.pop();
        if (timer) due.push(timer);
      }
      firings = at > this.#mono ? 0 : firings + 1;
      if (firings > FIRINGS_MAX)
        throw new Error(`something asks for a timer again and again at ${this.now()}`);
      this.#mono = Math.max(this.#mono, at);
      due.sort((a, b) => a.order - b.order);
      let hasFired = false;
      for (const timer of due) {
        if (timer.isCancelled) continue;
        hasFired = true;
        timer.callback();
      }
      if (hasFired) await this.settle();
    }
    this.#mono = until;
  }

  /** Settles, and passes time where that is needed, until the promise is fulfilled. */
  async until<T>(promise: Promise<T>, withinMs: number): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    const deadline = this.#mono + withinMs;
    await this.settle();
    while (!isDone) {
      const next = this.#timers.firstKey;
      if (next > deadline) throw new Error(`not fulfilled within ${withinMs} ms`);
      await this.advance(next - this.#mono);
    }
    return done;
  }

  /** A crash: nothing that was planned happens. */
  forget(): void {
    this.#timers = new KeyedHeap();
    this.#soon = [];
  }
}

/** mulberry32: 32 bits of state, [0, 1), the same numbers for the same seed everywhere. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
