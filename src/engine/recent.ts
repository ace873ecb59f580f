/** How a lane has fared in the last five minutes: counts per minute and a coarse histogram of durations. */
const MINUTES = 5;
const MINUTE_MS = 60_000;
/** Buckets of durations: each a factor of 1.5 wide, from 1 ms to about 40 s. */
const BUCKETS = 27;
const GROWTH = 1.5;
const LOG_GROWTH = Math.log(GROWTH);
const FIELDS = 2 + BUCKETS;

/** So many attempts are kept as they are before they are counted. */
const FEW_MAX = 16;

export interface RecentSummary {
  readonly successRate: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/**
 * The few attempts of a quiet lane are a list of numbers; with more in five minutes they are counted, in 580 bytes from then on,
 * and old minutes are cleared when a new one begins.
 */
export class Recent {
  /** Minute, bucket and outcome of each in one number, the oldest first, while they are few. */
  #few: number[] = [];
  #cells: Uint32Array | null = null;
  #minute = 0;

  record(isSuccess: boolean, durationMs: number, nowMono: number): void {
    const minute = Math.floor(nowMono / MINUTE_MS);
    const bucket = bucketOf(durationMs);
    if (this.#cells === null) {
      const few = this.#few;
      while (few.length > 0 && minuteOf(few[0] as number) <= minute - MINUTES) few.shift();
      const attempt = (minute * BUCKETS + bucket) * 2 + (isSuccess ? 0 : 1);
      // What is pushed to an empty array gets room for 16 more.
      if (few.length === 0) this.#few = [attempt];
      else few.push(attempt);
      if (few.length > FEW_MAX) this.#cells = this.#countFew();
      return;
    }
    this.#advance(minute);
    count(this.#cells, minute, bucket, isSuccess);
  }

  summary(nowMono: number): RecentSummary {
    const minute = Math.floor(nowMono / MINUTE_MS);
    const sums = new Array<number>(FIELDS).fill(0);
    for (const attempt of this.#few) {
      if (minuteOf(attempt) <= minute - MINUTES) continue;
      for (const field of [outcomeOf(attempt), 2 + bucketIn(attempt)]) sums[field] = (sums[field] ?? 0) + 1;
    }
    this.#advance(minute);
    this.#cells?.forEach((count, index) => {
      sums[index % FIELDS] = (sums[index % FIELDS] ?? 0) + count;
    });
    const [successes = 0, failures = 0, ...durations] = sums;
    const total = successes + failures;
    if (total === 0) return { successRate: null, p50Ms: null, p99Ms: null };
    return {
      successRate: successes / total,
      p50Ms: quantile(durations, total, 0.5),
      p99Ms: quantile(durations, total, 0.99),
    };
  }

  #countFew(): Uint32Array {
    const cells = new Uint32Array(MINUTES * FIELDS);
    for (const attempt of this.#few) {
      this.#minute = minuteOf(attempt);
      count(cells, this.#minute, bucketIn(attempt), outcomeOf(attempt) === 0);
    }
    this.#few = [];
    return cells;
  }

  #advance(minute: number): void {
    const passed = Math.min(MINUTES, minute - this.#minute);
    for (let step = 0; step < passed; step += 1) {
      const base = ((minute - step) % MINUTES) * FIELDS;
      this.#cells?.fill(0, base, base + FIELDS);
    }
    if (passed > 0) this.#minute = minute;
  }
}

function count(cells: Uint32Array, minute: number, bucket: number, isSuccess: boolean): void {
  const base = (minute % MINUTES) * FIELDS;
  const outcome = base + (isSuccess ? 0 : 1);
  const duration = base + 2 + bucket;
  cells[outcome] = (cells[outcome] ?? 0) + 1;
  cells[duration] = (cells[duration] ?? 0) + 1;
}

function minuteOf(attempt: number): number {
  return Math.floor(attempt / (2 * BUCKETS));
}

function bucketIn(attempt: number): number {
  return Math.floor(attempt / 2) % BUCKETS;
}

/** 0: a success, 1: a failure. */
function outcomeOf(attempt: number): number {
  return attempt % 2;
}

function bucketOf(durationMs: number): number {
  if (durationMs <= 1) return 0;
  return Math.min(BUCKETS - 1, Math.ceil(Math.log(durationMs) / LOG_GROWTH));
}

/** Upper bound of the bucket in which the quantile lies, ms. */
function quantile(durations: readonly number[], total: number, q: number): number {
  let seen = 0;
  const wanted = Math.ceil(total * q);
  for (const [index, count] of durations.entries()) {
    seen += count;
    if (seen >= wanted) return Math.round(GROWTH ** index);
  }
  return Math.round(GROWTH ** (BUCKETS - 1));
}
