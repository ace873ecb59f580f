import type { Archive } from "../archive/port.ts";
import type { Config } from "../config/config.ts";
import type { EndedDelivery } from "../domain/delivery.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { PruneBounds, Store } from "../store/port.ts";
import type { CarefulClock } from "./careful-clock.ts";
import type { Counters } from "./counters.ts";

export interface RetentionDeps {
  readonly config: Config;
  readonly store: Store;
  /** What is deleted goes there first; null: nowhere. */
  readonly archive: Archive | null;
  readonly clock: Clock;
  readonly careful: CarefulClock;
  readonly timers: Timers;
  readonly counters: Counters;
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
  readonly onFatal: (error: unknown) => void;
}

const LOOK_EVERY_MS = 1_000;
/** Between tries while the archive cannot be written. */
const ARCHIVE_RETRY_MS = 5_000;
/**
 * The bounds move in steps of a 32nd of the retention, a minute at most: what a webhook has in a step lies together, and
 * goes at the cost of few pages.
 */
const STEPS = 32;
const STEP_MAX_MS = 60_000;
/** A slice is to hold up a commit for no longer; its size follows from how long the last ones took. */
const SLICE_MS = 4;
const SLICE_ROWS_MIN = 64;
const SLICE_ROWS_FIRST = 500;
const SLICE_ROWS_MAX = 8_192;
/** Rest after a slice, in times of what it took: a quarter of the thread at most, and half when a round takes too long. */
const REST = 3;
const REST_BEHIND = 1;

/**
 * Deletes what is old, in slices between commits.
 *
 *   resting --a second; a bound has moved--> deleting --nothing more--> resting
 *   deleting --the archive or the store takes nothing--> resting: nothing is deleted that is not kept, and it is tried again
 */
export class Retention {
  readonly #deps: RetentionDeps;
  #cancel: (() => void) | null = null;
  #wake: (() => void) | null = null;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();
  #rows = SLICE_ROWS_FIRST;
  #done: PruneBounds = { successBefore: 0, deadBefore: 0 };
  #roundBegunMono = 0;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#rest(LOOK_EVERY_MS);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancel?.();
    this.#wake?.();
    await this.#running;
  }

  #rest(ms: number): void {
    if (this.#isStopped) return;
    this.#cancel = this.#deps.timers.after(ms, () => {
      this.#running = this.#round().then(
        (restMs) => this.#rest(restMs),
        (error) => this.#deps.onFatal(error),
      );
    });
  }

  /** Deletes up to the bounds of now. How long to rest. */
  async #round(): Promise<number> {
    const { careful, config, clock } = this.#deps;
    const now = careful.now();
    const bounds = {
      successBefore: stepped(now, config.retention.successMs),
      deadBefore: stepped(now, config.retention.deadMs),
    };
    this.#roundBegunMono = clock.mono();
    try {
      if (hasMoved(bounds, this.#done)) {
        await this.#slices(() => this.#prune(bounds));
        if (!this.#isStopped) this.#done = bounds;
      }
      await this.#slices(() => this.#forget(now - config.limits.dedupeWindowMs));
    } catch (error) {
      if (error instanceof ArchiveRefusal) return this.#refused(error);
      // A store that takes nothing at the moment is the pipeline's to notice.
      if (!(error instanceof Problem)) throw error;
    }
    return LOOK_EVERY_MS;
  }

  async #slices(slice: () => Promise<Slice>): Promise<void> {
    while (!this.#isStopped) {
      const { tookMs, awayMs, hasMore } = await slice();
      if (!hasMore) return;
      const isBehind = this.#deps.clock.mono() - this.#roundBegunMono > this.#stepMs;
      await this.#breathe(tookMs * (isBehind ? REST_BEHIND : REST) - awayMs);
    }
  }

  async #prune(bounds: PruneBounds): Promise<Slice> {
    const { store, archive, clock, counters } = this.#deps;
    const begun = clock.mono();
    let awayMs = 0;
    const keep = async (ended: readonly EndedDelivery[]) => {
      const given = clock.mono();
      await this.#keep(ended);
      awayMs = clock.mono() - given;
    };
    const { deleted, hasMore } = await store.prune(bounds, this.#rows, archive ? keep : undefined);
    counters.pruned += deleted;
    const tookMs = clock.mono() - begun - awayMs;
    if (hasMore) this.#fit(tookMs);
    return { tookMs, awayMs, hasMore };
  }

  async #forget(before: number): Promise<Slice> {
    const { store, clock } = this.#deps;
    const begun = clock.mono();
    const hasMore = await store.forgetUids(before);
    return { tookMs: clock.mono() - begun, awayMs: 0, hasMore };
  }

  async #keep(ended: readonly EndedDelivery[]): Promise<void> {
    const { archive, counters, log } = this.#deps;
    try {
      await archive?.append(ended);
    } catch (error) {
      throw new ArchiveRefusal("the archive cannot be written", { cause: error });
    }
    counters.archived += ended.length;
    if (!counters.isArchiveFailing) return;
    counters.isArchiveFailing = false;
    log.warn("the archive can be written again: old deliveries are deleted", {});
  }

  #refused(error: ArchiveRefusal): number {
    const { counters, log } = this.#deps;
    if (!counters.isArchiveFailing) {
      const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
      log.warn("the archive cannot be written: nothing old is deleted until it can", { cause });
    }
    counters.isArchiveFailing = true;
    return ARCHIVE_RETRY_MS;
  }

  #fit(tookMs: number): void {
    if (tookMs > SLICE_MS)
      this.#rows = Math.max(SLICE_ROWS_MIN, Math.round((this.#rows * SLICE_MS) / tookMs));
    else if (tookMs < SLICE_MS / 2) this.#rows = Math.min(SLICE_ROWS_MAX, Math.ceil(this.#rows * 1.25));
  }

  get #stepMs(): number {
    return stepOf(this.#deps.config.retention.successMs);
  }

  /** Lets commits go first. */
  #breathe(ms: number): Promise<void> {
    const { timers } = this.#deps;
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (ms < 1) timers.soon(resolve);
      else this.#cancel = timers.after(ms, resolve);
    });
  }
}

interface Slice {
  /** How long it held the thread, and how long it waited for the archive meanwhile. */
  readonly tookMs: number;
  readonly awayMs: number;
  readonly hasMore: boolean;
}

class ArchiveRefusal extends Error {}

function stepOf(retentionMs: number): number {
  return Math.min(STEP_MAX_MS, Math.max(1, Math.floor(retentionMs / STEPS)));
}

function stepped(now: number, retentionMs: number): number {
  const step = stepOf(retentionMs);
  return Math.floor((now - retentionMs) / step) * step;
}

function hasMoved(bounds: PruneBounds, done: PruneBounds): boolean {
  return bounds.successBefore !== done.successBefore || bounds.deadBefore !== done.deadBefore;
}
