import type { DeadReason } from "../domain/delivery.ts";
import type { JobId, WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { JobStep, LaneChange, Store } from "../store/port.ts";

export interface JobRunnerDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly nextSeq: () => number;
  /** Why a broadcast's delivery to this webhook is dead at once, or null. */
  readonly refusal: (webhookId: WebhookId) => DeadReason | null;
  /** Webhooks of a coming expansion step: read what `refusal` needs. */
  readonly onChanges: (changes: readonly LaneChange[]) => Promise<void>;
  /** Whether these lanes still have much of what earlier steps gave them, and send it. */
  readonly isBehind: (webhookIds: readonly WebhookId[]) => boolean;
  readonly onFatal: (error: unknown) => void;
}

/** Deliveries in one slice: about 5 ms of the director. */
const SLICE_MAX = 500;
/** Between slices of one job, so that live commits come first: a job has at most about half of the director. */
const PAUSE_MS = 5;
/** While the lanes are busy with what they got, or the store takes nothing. */
const WAIT_MS = 100;

/** Runs bulk work, job by job, slice by slice. A job that was running when the process ended goes on where it was. */
export class JobRunner {
  readonly #deps: JobRunnerDeps;
  readonly #queue: JobId[] = [];
  #isRunning = false;
  #isStopped = false;
  #idle: Promise<void> = Promise.resolve();

  constructor(deps: JobRunnerDeps) {
    this.#deps = deps;
  }

  get activeCount(): number {
    return this.#queue.length;
  }

  add(job: Job): void {
    this.#queue.push(job.id);
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    this.#idle = this.#run().catch((error) => this.#deps.onFatal(error));
  }

  /** Resolves when the slice that runs is done. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#idle;
  }

  /** Jobs take turns, a slice each: a small one does not wait for a large one. */
  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const id = this.#queue.shift();
      if (id === undefined) break;
      const waitMs = await this.#turn(id);
      if (waitMs !== null) {
        this.#queue.push(id);
        await this.#pause(waitMs);
      }
    }
    this.#isRunning = false;
  }

  readonly #touched = new Map<JobId, readonly WebhookId[]>();

  /** One slice; how long to wait before the next one, or null when the job has ended. */
  async #turn(id: JobId): Promise<number | null> {
    const touched = this.#touched.get(id) ?? [];
    if (this.#deps.isBehind(touched)) return WAIT_MS;
    let step: JobStep;
    const { store, clock, nextSeq, refusal } = this.#deps;
    try {
      const job = await store.getJob(id);
      if (job?.status !== "running") return this.#ended(id);
      step = await store.stepJob(id, sliceOf(job), { now: clock.now(), nextSeq, refusal });
    } catch (error) {
      if (error instanceof Problem) return WAIT_MS;
      throw error;
    }
    await this.#deps.onChanges(step.changes);
    if (step.job.status !== "running") return this.#ended(id);
    this.#touched.set(
      id,
      step.changes.map((change) => change.webhookId),
    );
    return pauseOf(step.job);
  }

  #ended(id: JobId): null {
    this.#touched.delete(id);
    return null;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.timers.after(ms, resolve);
    });
  }
}

function rateOf(job: Job): number | null {
  return job.spec.kind === "replay" ? job.spec.ratePerSecond : null;
}

/** With a rate, a slice is a tenth of a second's worth. */
function sliceOf(job: Job): number {
  const rate = rateOf(job);
  return rate === null ? SLICE_MAX : Math.max(1, Math.min(SLICE_MAX, Math.floor(rate / 10)));
}

function pauseOf(job: Job): number {
  const rate = rateOf(job);
  return rate === null ? PAUSE_MS : Math.max(PAUSE_MS, (sliceOf(job) * 1000) / rate);
}
