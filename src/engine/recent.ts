/** How a lane has fared in the last five minutes: counts per minute and a coarse histogram of durations. */
const MINUTES = 5;
const MINUTE_MS = 60_000;
/** Buckets of durations: each a factor of 1.5 wide, from 1 ms to about 40 s. */
const BUCKETS = 27;
const GROWTH = 1.5;
const LOG_GROWTH = Math.log(GROWTH);
const FIELDS = 2 + BUCKETS;

const NOTHING = new Uint32Array(0);

export interface RecentSummary {
  readonly successRate: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** 580 bytes a lane, from its first attempt on; old minutes are cleared when a new one begins. */
export class Recent {
  #cells = NOTHING;
  #minute = 0;

  record(isSuccess: boolean, durationMs: number, nowMono: number): void {
    if (this.#cells === NOTHING) this.#cells = new Uint32Array(MINUTES * FIELDS);
    this.#advance(nowMono);
    const base = (this.#minute % MINUTES) * FIELDS;
    this.#add(base + (isSuccess ? 0 : 1));
    this.#add(base + 2 + bucketOf(durationMs));
  }

  summary(nowMono: number): RecentSummary {
    this.#advance(nowMono);
    const sums = new Array<number>(FIELDS).fill(0);
    this.#cells.forEach((count, index) => {
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

  #add(at: number): void {
    this.#cells[at] = (this.#cells[at] ?? 0) + 1;
  }

  #advance(nowMono: number): void {
    const minute = Math.floor(nowMono / MINUTE_MS);
    const passed = Math.min(MINUTES, minute - this.#minute);
    for (let step = 0; step < passed; step += 1) {
      const base = ((minute - step) % MINUTES) * FIELDS;
      this.#cells.fill(0, base, base + FIELDS);
    }
    if (passed > 0) this.#minute = minute;
  }
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
