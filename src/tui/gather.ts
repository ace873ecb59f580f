import type { SettledBody, StreamCountsBody } from "../http-api.ts";

/** What comes is shown together, so often: a frame costs the same for one row and for fifty. */
const SHOW_EVERY_MS = 100;

export interface Gathered {
  readonly rows: readonly SettledBody[];
  /** The counts that came, summed; null: none. */
  readonly counts: StreamCountsBody | null;
  /** From this place on rows came after the last counts: those do not have them. */
  readonly uncountedFrom: number;
  readonly skipped: number;
}

/** Keeps what comes from the stream until it is shown. */
export class Gatherer {
  readonly #show: (gathered: Gathered) => void;
  #rows: SettledBody[] = [];
  #counts: StreamCountsBody | null = null;
  #uncountedFrom = 0;
  #skipped = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(show: (gathered: Gathered) => void) {
    this.#show = show;
  }

  row(settled: SettledBody): void {
    this.#rows.push(settled);
    this.#later();
  }

  counts(counts: StreamCountsBody): void {
    this.#counts = this.#counts === null ? counts : sumOf(this.#counts, counts);
    this.#uncountedFrom = this.#rows.length;
    this.#later();
  }

  skipped(count: number): void {
    this.#skipped += count;
    this.#later();
  }

  /** Shows at once what waits. */
  flush(): void {
    if (this.#timer === null) return;
    this.stop();
    const gathered = {
      rows: this.#rows,
      counts: this.#counts,
      uncountedFrom: this.#uncountedFrom,
      skipped: this.#skipped,
    };
    this.#rows = [];
    this.#counts = null;
    this.#uncountedFrom = 0;
    this.#skipped = 0;
    this.#show(gathered);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #later(): void {
    this.#timer ??= setTimeout(() => this.flush(), SHOW_EVERY_MS);
  }
}

export const NO_COUNTS: StreamCountsBody = { attempts: 0, success: 0, retrying: 0, dead: 0 };

export function sumOf(before: StreamCountsBody, more: StreamCountsBody): StreamCountsBody {
  return {
    attempts: before.attempts + more.attempts,
    success: before.success + more.success,
    retrying: before.retrying + more.retrying,
    dead: before.dead + more.dead,
  };
}

export function countsOf(rows: readonly SettledBody[]): StreamCountsBody {
  const count = (status: SettledBody["status"]) => rows.filter((row) => row.status === status).length;
  return {
    attempts: rows.length,
    success: count("success"),
    retrying: count("retrying"),
    dead: count("dead"),
  };
}
