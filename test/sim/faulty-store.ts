import { Problem } from "../../src/domain/problem.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { CommitBatch, Committed, LeaseGrant, Store } from "../../src/store/port.ts";
import type { FakeTime } from "../support/fake-clock.ts";

/** How the store is at the moment. */
export interface StoreMood {
  /** Until a call takes effect, and from then until it is answered, ms: a crash may come in either. */
  readonly beforeMs: () => number;
  readonly afterMs: () => number;
  readonly refuses: "nothing" | "writes" | "everything";
}

export const QUICK: StoreMood = { beforeMs: () => 0, afterMs: () => 0, refuses: "nothing" };

/** What ends the process, as a disk that fails does. It was ordered: no bug. */
export class DiskFailure extends Error {}

export interface StoreHooks {
  /** A commit was made, and is answered. `begun`: the order number of its call. */
  onCommitted(batch: CommitBatch, committed: Committed, begun: number): void;
  onCommitBegun(batch: CommitBatch, begun: number, begunMono: number): void;
  onLeased(grants: readonly LeaseGrant[], begun: number, begunMono: number): void;
  /** A webhook is about to be changed, or was. */
  onWebhook(webhook: Webhook): void;
}

const WRITES: readonly (keyof Store)[] = [
  "commit",
  "putSetting",
  "stepJob",
  "expire",
  "revive",
  "makeDue",
  "kill",
  "insertWebhook",
  "updateWebhook",
  "insertJob",
  "cancelJob",
  "prune",
];
const PRUNE_EVERY_MS = 60_000;

/**
 * A store that is slow, refuses, or fails, in front of a real one. Calls take effect in the order in which
 * they were made, as the port has it, and are answered in it, leases aside. A crash leaves each of them undone, or done and never answered.
 */
export class FaultyStore {
  readonly store: Store;
  mood: StoreMood = QUICK;
  /** The next commit ends the process, before or after it took effect. */
  failsNext: "before" | "after" | null = null;
  /** Rises with every call and with every answer: what was decided before what. */
  order: number;
  /** Calls that were not answered yet. */
  waiting = 0;
  /** Calls that the real store works at. */
  working = 0;
  readonly #inner: Store;
  readonly #time: FakeTime;
  readonly #hooks: StoreHooks;
  #isCut = false;
  #effectAt = 0;
  #answerAt = 0;
  #prunedAt = 0;

  constructor(inner: Store, time: FakeTime, hooks: StoreHooks, order: number) {
    this.order = order;
    this.#inner = inner;
    this.#time = time;
    this.#hooks = hooks;
    const methods = new Map<string, unknown>([
      ["stats", () => inner.stats()],
      ["reusableBytes", () => inner.reusableBytes()],
    ]);
    this.store = new Proxy(inner, {
      get: (_, name) => {
        const method = name as keyof Store;
        const known = methods.get(method) ?? ((...args: unknown[]) => this.#call(method, args));
        methods.set(method, known);
        return known;
      },
    });
  }

  /** The process is gone: no call is answered any more. */
  cut(): void {
    this.#isCut = true;
    this.waiting = 0;
    this.working = 0;
  }

  async #call(method: keyof Store, args: readonly unknown[]): Promise<unknown> {
    if (this.#isCut) return NEVER;
    if (method === "prune" && !this.#isTimeToPrune()) return { deleted: 0, hasMore: false };
    this.order += 1;
    this.waiting += 1;
    const begun = this.order;
    const begunMono = this.#time.mono();
    if (method === "commit") this.#hooks.onCommitBegun(args[0] as CommitBatch, begun, begunMono);
    if (method === "updateWebhook") this.#hooks.onWebhook(args[0] as Webhook);
    try {
      return await this.#made(method, args, begun, begunMono);
    } catch (error) {
      if (this.#isCut) return NEVER;
      throw error;
    } finally {
      if (!this.#isCut) this.waiting -= 1;
    }
  }

  async #made(method: keyof Store, args: readonly unknown[], begun: number, begunMono: number) {
    this.#effectAt = Math.max(this.#effectAt, this.#time.mono() + this.mood.beforeMs());
    await this.#until(this.#effectAt);
    if (this.#isCut) return NEVER;
    this.#refuse(method);
    if (method === "commit") this.#fail("before");
    const value = await this.#work(method, args);
    // What is only in memory is answered at once; what is to be durable waits for the disk, one after the other.
    if (method !== "lease") {
      this.#answerAt = Math.max(this.#answerAt, this.#time.mono() + this.mood.afterMs());
      await this.#until(this.#answerAt);
    }
    if (this.#isCut) return NEVER;
    if (method === "commit") this.#fail("after");
    this.order += 1;
    if (method === "commit") this.#hooks.onCommitted(args[0] as CommitBatch, value as Committed, begun);
    if (method === "updateWebhook") this.#hooks.onWebhook(args[0] as Webhook);
    if (method === "lease") this.#hooks.onLeased(value as readonly LeaseGrant[], begun, begunMono);
    return value;
  }

  async #work(method: keyof Store, args: readonly unknown[]): Promise<unknown> {
    this.working += 1;
    try {
      const call = this.#inner[method] as (...given: readonly unknown[]) => unknown;
      return await call.apply(this.#inner, args as unknown[]);
    } finally {
      if (!this.#isCut) this.working -= 1;
    }
  }

  /** Nothing passes but where time must. */
  async #until(mono: number): Promise<void> {
    const ms = mono - this.#time.mono();
    if (ms > 0) await new Promise<void>((resolve) => this.#time.after(ms, resolve));
  }

  #refuse(method: keyof Store): void {
    const { refuses } = this.mood;
    if (refuses === "everything" && method !== "close") {
      throw new Problem("store_unavailable", "the store does not answer");
    }
    if (refuses === "writes" && WRITES.includes(method)) throw new Problem("disk_full", "the disk is full");
  }

  #fail(when: "before" | "after"): void {
    if (this.failsNext !== when) return;
    this.failsNext = null;
    throw new DiskFailure(`the disk failed ${when} a commit`);
  }

  /** Looking through all deliveries every second is what a simulation of hours would spend its time on. */
  #isTimeToPrune(): boolean {
    const mono = this.#time.mono();
    if (mono < this.#prunedAt + PRUNE_EVERY_MS) return false;
    this.#prunedAt = mono;
    return true;
  }
}

const NEVER = new Promise<never>(() => undefined);
