import type { Timers } from "../lib/timers.ts";
import type { SettledAttempt, Watched, WatchFilter } from "./port.ts";

/** Attempts are told together, so often: each telling crosses threads. */
const TELL_EVERY_MS = 50;
/** And sooner when so many wait. */
const WAITING_MAX = 1_000;

interface Watch {
  readonly filter: WatchFilter;
  readonly tell: (watched: Watched) => void;
  /** Rows that one telling may have. */
  readonly rowsMax: number;
  attempts: SettledAttempt[];
  counts: Counts;
  cancelTimer: (() => void) | null;
}

interface Counts {
  attempts: number;
  success: number;
  retrying: number;
  dead: number;
}

/**
 * Who watches attempts as they settle. Filters and samples are applied here, where the attempts are, so that a watcher
 * costs a look at each attempt and no more than the rows that it asked for. Counts are of all that a filter lets through.
 */
export class Watches {
  readonly #timers: Timers;
  readonly #random: () => number;
  readonly #watches = new Set<Watch>();

  constructor(timers: Timers, random: () => number) {
    this.#timers = timers;
    this.#random = random;
  }

  /** Until the returned function is called. */
  add(filter: WatchFilter, tell: (watched: Watched) => void): () => void {
    const perTelling = ((filter.rowsPerSecond ?? Number.POSITIVE_INFINITY) * TELL_EVERY_MS) / 1_000;
    const rowsMax = Math.max(1, Math.floor(perTelling));
    const watch = { filter, tell, rowsMax, attempts: [], counts: none(), cancelTimer: null };
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      this.#stopTimer(watch);
    };
  }

  settled(attempts: readonly SettledAttempt[]): void {
    for (const watch of this.#watches) {
      for (const attempt of attempts) if (accepts(watch.filter, attempt)) this.#take(watch, attempt);
    }
  }

  #take(watch: Watch, attempt: SettledAttempt): void {
    const { attempts, counts } = watch;
    count(counts, attempt);
    if (attempts.length < watch.rowsMax) attempts.push(attempt);
    else this.#sample(watch, attempt);
    if (attempts.length >= WAITING_MAX) this.#tell(watch);
    else watch.cancelTimer ??= this.#timers.after(TELL_EVERY_MS, () => this.#tell(watch));
  }

  /** Each attempt since the last telling is as likely as any other to be among the rows. */
  #sample({ attempts, counts }: Watch, attempt: SettledAttempt): void {
    const place = Math.floor(this.#random() * counts.attempts);
    if (place >= attempts.length) return;
    attempts.splice(place, 1);
    attempts.push(attempt);
  }

  #tell(watch: Watch): void {
    this.#stopTimer(watch);
    const { attempts, counts } = watch;
    watch.attempts = [];
    watch.counts = none();
    watch.tell({ attempts, counts });
  }

  #stopTimer(watch: Watch): void {
    watch.cancelTimer?.();
    watch.cancelTimer = null;
  }
}

function accepts(filter: WatchFilter, attempt: SettledAttempt): boolean {
  return (
    (filter.userId === null || attempt.userId === filter.userId) &&
    (filter.webhookId === null || attempt.webhookId === filter.webhookId) &&
    (filter.eventId === null || attempt.eventId === filter.eventId) &&
    (filter.statuses === null || filter.statuses.includes(attempt.status))
  );
}

function none(): Counts {
  return { attempts: 0, success: 0, retrying: 0, dead: 0 };
}

function count(counts: Counts, { status }: SettledAttempt): void {
  counts.attempts += 1;
  if (status === "success" || status === "retrying" || status === "dead") counts[status] += 1;
}
