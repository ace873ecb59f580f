import type { DeadReason } from "../domain/delivery.ts";
import type { JobId, WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { JobStep, Store } from "../store/port.ts";
import type { Counters } from "./counters.ts";
import type { Death } from "./death.ts";
import type { LaneChanges } from "./lane-changes.ts";

export interface JobRunnerDeps {
  readonly store: Store;
  readonly lanes: LaneChanges;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly nextSeq: () => number;
  readonly onFatal: (error: unknown) => void;
}

/** A running job, as it waits for its turn. */
interface Waiting {
  readonly id: JobId;
  readonly fromMono: number;
  /** Lanes that its last slice gave work to, where they are to be waited for. */
  readonly touched: readonly WebhookId[];
  /** It is not for one webhook alone. */
  readonly isWide: boolean;
  /** Since when it could go on but for the length of the queue for slots. */
  readonly heldSinceMono: number | null;
}

/** Deliveries that one slice ends or deletes: some 2 ms of the director. */
const SLICE_MAX = 100;
/** Deliveries that one slice makes: they are sent at once, and whoever publishes meanwhile waits behind them... */
const MADE_MAX = 25;
/**
 * ...so while somebody does, or has within so long, these are fewer. 100,000 take 160 s instead of 40, and the others' p99 is
 * some 1.2 times what it is without; with 8 they took 80 s, and it was 1.6 times.
 */
const MADE_BESIDE_OTHERS_MAX = 4;
const OTHERS_MS = 1_000;
/** Rest after a slice, in times of what it took, and at least so long: jobs have a quarter of the director at most. */
const REST = 3;
const PAUSE_MS = 5;
/**
 * With more lanes than this waiting for a slot, jobs make no more work for the moment: a broadcast gives each of its users
 * a place in the queue, before which whoever publishes next would have to wait. After so long they go on all the same.
 */
const READY_MAX = 64;
const READY_WAIT_MAX_MS = 500;
/** While a job's lanes are busy with what they got, or the store takes nothing. */
const WAIT_MS = 100;

/** Runs bulk work, slice by slice. A job that was running when the process ended goes on where it was. */
export class JobRunner {
  readonly #deps: JobRunnerDeps;
  #queue: Waiting[] = [];
  #isRunning = false;
  #isStepping = false;
  #isStopped = false;
  /** Events taken in until others were looked for, and when that number last differed. */
  #accepted = 0;
  #othersMono = Number.NEGATIVE_INFINITY;
  #idle: Promise<void> = Promise.resolve();
  #endPause: () => void = () => {};

  constructor(deps: JobRunnerDeps) {
    this.#deps = deps;
  }

  get activeCount(): number {
    return this.#queue.length + (this.#isStepping ? 1 : 0);
  }

  add(job: Job): void {
    this.#queue.push({ id: job.id, fromMono: 0, touched: [], isWide: false, heldSinceMono: null });
    this.#endPause();
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    this.#accepted = this.#deps.counters.accepted;
    this.#idle = this.#run().catch((error) => this.#deps.onFatal(error));
  }

  /** Resolves when the slice that runs is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#endPause();
    await this.#idle;
  }

  /** Jobs take turns, a slice each: a small one does not wait for a large one, nor for one with a rate. */
  async #run(): Promise<void> {
    while (!this.#isStopped && this.#queue.length > 0) {
      const now = this.#deps.clock.mono();
      const waiting = this.#queue.find(({ fromMono }) => fromMono <= now);
      if (!waiting) {
        await this.#pause(Math.min(...this.#queue.map(({ fromMono }) => fromMono)) - now);
        continue;
      }
      this.#queue = this.#queue.filter((other) => other !== waiting);
      this.#isStepping = true;
      const next = await this.#turn(waiting);
      this.#isStepping = false;
      if (next) this.#queue.push(next);
      await this.#pause(PAUSE_MS);
    }
    this.#isRunning = false;
  }

  /** One slice. When its next turn is; null when the job has ended. */
  async #turn(waiting: Waiting): Promise<Waiting | null> {
    const { store, clock, nextSeq, lanes, counters } = this.#deps;
    const begunMono = clock.mono();
    const later = { ...waiting, fromMono: begunMono + WAIT_MS };
    if (lanes.areBehind(waiting.touched, waiting.isWide)) return later;
    const heldSinceMono = waiting.heldSinceMono ?? begunMono;
    if (lanes.waitingCount > READY_MAX && begunMono - heldSinceMono < READY_WAIT_MAX_MS) {
      return { ...waiting, heldSinceMono, fromMono: begunMono + PAUSE_MS };
    }
    const madeMax = this.#arePublishing(begunMono) ? MADE_BESIDE_OTHERS_MAX : MADE_MAX;
    const deaths: Death[] = [];
    const refusal = (webhookId: WebhookId): DeadReason | null => {
      const reason = lanes.refusalOf(webhookId);
      if (reason !== null) deaths.push({ webhookId, reason, count: 1, delivery: null });
      return reason;
    };
    let step: JobStep;
    try {
      const job = await store.getJob(waiting.id);
      if (job?.status !== "running") return null;
      step = await lanes.run(
        () => store.stepJob(job.id, sliceOf(job, madeMax), { now: clock.now(), nextSeq, refusal }),
        ({ changes }) => changes,
      );
    } catch (error) {
      if (error instanceof Problem) return later;
      throw error;
    }
    if (step.job.spec.kind === "end") {
      for (const { webhookId, died } of step.changes) {
        deaths.push({ webhookId, reason: "disabled", count: died, delivery: null });
      }
    }
    for (const death of deaths) counters.died(death);
    if (step.job.status !== "running") return null;
    // Of a replay: a broadcast gives each lane one, and those that a job ends deliveries of need not be waited for.
    const { spec } = step.job;
    const touched = spec.kind === "replay" ? step.changes.map(({ webhookId }) => webhookId) : [];
    const isWide = spec.kind === "replay" && spec.select.webhookId === undefined;
    const endedMono = clock.mono();
    const restMs = Math.max(pauseOf(step.job, madeMax), (endedMono - begunMono) * REST);
    return { ...waiting, touched, isWide, heldSinceMono: null, fromMono: endedMono + restMs };
  }

  /** Whether somebody publishes beside the jobs. */
  #arePublishing(nowMono: number): boolean {
    const { accepted } = this.#deps.counters;
    if (accepted !== this.#accepted) this.#othersMono = nowMono;
    this.#accepted = accepted;
    return nowMono - this.#othersMono < OTHERS_MS;
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#deps.timers.after(ms, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }
}

function rateOf(job: Job): number | null {
  return job.spec.kind === "replay" ? job.spec.ratePerSecond : null;
}

/** With a rate, a slice is a tenth of a second's worth at most. */
function sliceOf(job: Job, madeMax: number): number {
  const rate = rateOf(job);
  if (rate !== null) return Math.max(1, Math.min(madeMax, Math.floor(rate / 10)));
  const { kind } = job.spec;
  return kind === "replay" || kind === "expand" ? madeMax : SLICE_MAX;
}

function pauseOf(job: Job, madeMax: number): number {
  const rate = rateOf(job);
  return rate === null ? PAUSE_MS : Math.max(PAUSE_MS, (sliceOf(job, madeMax) * 1000) / rate);
}
