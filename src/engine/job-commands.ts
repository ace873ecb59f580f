import type { EventSeq, JobId } from "../domain/ids.ts";
import type { Job, JobSpec } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { Store } from "../store/port.ts";
import type { JobRunner } from "./job-runner.ts";

export interface JobCommandsDeps {
  readonly store: Store;
  readonly runner: JobRunner;
  readonly clock: Clock;
  readonly nextSeq: () => number;
}

/** Beyond this a count is not exact any more. */
const COUNT_MAX = 100_000;
/** Looks at the log, of 200 found or 1,600 examined, before a job is made without its total: whoever asked for it waits. */
const LOOKS_MAX = 200;

/** Making, counting and cancelling bulk work. */
export class JobCommands {
  readonly #deps: JobCommandsDeps;

  constructor(deps: JobCommandsDeps) {
    this.#deps = deps;
  }

  async count(spec: JobSpec): Promise<{ count: number; isExact: boolean }> {
    const count = await this.#deps.store.countSelection(this.#jobOf(spec, null), COUNT_MAX);
    return { count, isExact: count < COUNT_MAX };
  }

  async create(spec: JobSpec): Promise<Job> {
    const job = await this.store(spec);
    this.start(job);
    return job;
  }

  /** Durable, and not running yet: `start` it, or the next start of hookd does. It covers what is there at the call. */
  async store(spec: JobSpec): Promise<Job> {
    const asked = this.#jobOf(spec, null);
    const count = await this.#deps.store.countSelection(asked, COUNT_MAX, LOOKS_MAX);
    const job = { ...asked, total: count < COUNT_MAX && spec.kind !== "expand" ? count : null };
    await this.#deps.store.insertJob(job);
    return job;
  }

  start(job: Job): void {
    this.#deps.runner.add(job);
  }

  /** For a broadcast: the job and the event commit together; the event's number is set when the batch is built. */
  expansionOf(eventId: string): Job {
    return this.#jobOf({ kind: "expand", userId: null, event: 0 as EventSeq, eventId }, null);
  }

  async cancel(id: JobId): Promise<Job> {
    const isCancelled = await this.#deps.store.cancelJob(id, this.#deps.clock.now());
    const job = await this.#deps.store.getJob(id);
    if (!job) throw new Problem("not_found", "there is no such job");
    if (!isCancelled) throw new Problem("not_retryable", `the job has ended: it is ${job.status}`);
    return job;
  }

  #jobOf(spec: JobSpec, total: number | null): Job {
    const { clock, nextSeq } = this.#deps;
    const now = clock.now();
    return {
      id: nextSeq() as JobId,
      spec,
      status: "running",
      total,
      done: 0,
      createdAt: now,
      completedAt: null,
    };
  }
}
