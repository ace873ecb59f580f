import { readFileSync, statSync } from "node:fs";
import { deviceNumber } from "./machine.ts";
import { monoMs } from "./mono.ts";

const LOOK_MS = 25;
/** What takes less is the disk at work. */
const STALL_MIN_MS = 50;
/** Of which so many are kept: an hour of nothing but the shortest. */
const SPANS_MAX = 72_000;

/** Times at which the disk had something to do and finished nothing: no commit can be durable meanwhile, whoever makes it. */
export interface DiskStalls {
  readonly count: number;
  readonly seconds: number;
  readonly longestMs: number;
}

/** What the kernel counts of a block device. */
export interface DiskCounters {
  /** Requests that have ended: reads, writes, discards and flushes. */
  readonly ended: number;
  readonly inFlight: number;
}

interface Span {
  readonly fromMono: number;
  ms: number;
}

/** Finds them in counters that are read again and again. */
export class StallFinder {
  readonly #spans: Span[] = [];
  /** Not over yet. */
  #open: Span | null = null;
  #before: (DiskCounters & { readonly atMono: number }) | null = null;

  look(counters: DiskCounters, atMono: number): void {
    const before = this.#before;
    this.#before = { ...counters, atMono };
    // What is on its way now and then, while nothing ended, was on its way all the time.
    if (before === null || before.inFlight === 0 || before.ended !== counters.ended) {
      this.#open = null;
      return;
    }
    this.#open ??= { fromMono: before.atMono, ms: 0 };
    const isKept = this.#open.ms >= STALL_MIN_MS;
    this.#open.ms = atMono - this.#open.fromMono;
    if (!isKept && this.#open.ms >= STALL_MIN_MS && this.#spans.length < SPANS_MAX)
      this.#spans.push(this.#open);
  }

  /** Of those that began between two times, monotonic. */
  between(fromMono: number, toMono: number): DiskStalls {
    const spans = this.#spans.filter((span) => span.fromMono >= fromMono && span.fromMono <= toMono);
    return {
      count: spans.length,
      seconds: spans.reduce((sum, { ms }) => sum + ms, 0) / 1_000,
      longestMs: Math.max(0, ...spans.map(({ ms }) => ms)),
    };
  }
}

/** Looks at the device that a directory lies on. */
export class DiskWatch {
  readonly #finder = new StallFinder();
  readonly #path: string;
  readonly #timer: NodeJS.Timeout | null;

  constructor(directory: string) {
    this.#path = `/sys/dev/block/${deviceNumber(statSync(directory).dev)}/stat`;
    const isKnown = readCounters(this.#path) !== null;
    this.#timer = isKnown ? setInterval(() => this.#look(), LOOK_MS) : null;
  }

  /** Null: nothing is known of this disk (a file system in memory, another system than Linux). */
  between(fromMono: number, toMono: number): DiskStalls | null {
    return this.#timer === null ? null : this.#finder.between(fromMono, toMono);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #look(): void {
    const counters = readCounters(this.#path);
    if (counters !== null) this.#finder.look(counters, monoMs());
  }
}

function readCounters(path: string): DiskCounters | null {
  try {
    return parseCounters(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

/** The kernel's Documentation/block/stat.rst: reads, writes, in flight, discards and flushes are fields 1, 5, 9, 12 and 16. */
export function parseCounters(stat: string): DiskCounters {
  const fields = stat.trim().split(/\s+/).map(Number);
  const field = (number: number) => fields[number - 1] ?? 0;
  return { ended: field(1) + field(5) + field(12) + field(16), inFlight: field(9) };
}
