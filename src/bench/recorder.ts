import type { Histogram } from "hdr-histogram-js";
import { createHistogram, type Latency, latencyOf } from "./histograms.ts";
import type { Ledger } from "./ledger.ts";
import { SAMPLE_WORDS, type Samples } from "./samples.ts";

const ACCEPTED = 202;
/** Seconds whose histograms are kept, for samples that come late. */
const OPEN_SECONDS = 3;
/** By then the samples of a second have come. */
const SAMPLES_LATE_MS = 500;

/** What happened in one second of the time line. Latencies in ms. */
export interface SecondCounts {
  accepted: number;
  refused: number;
  delivered: number;
  acceptP50Ms: number;
  acceptP99Ms: number;
  receiveP50Ms: number;
  receiveP99Ms: number;
}

/**
 * Events of interest: those with sequence numbers from `from` to before `to`, that were due from `fromMono`
 * to before `toMono`, and that `filter` picks.
 */
export interface WindowSpec {
  readonly from: number;
  readonly to: number;
  readonly fromMono: number;
  readonly toMono: number;
  readonly filter?: ((seq: number) => boolean) | undefined;
}

/** What was measured of a window's events. Rates count what happened in its time, whenever it was due. */
export interface WindowFigures {
  readonly seconds: number;
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly acceptedPerSecond: number;
  readonly deliveredPerSecond: number;
  readonly accept: Latency;
  /** Refusals, by status: how long they took. */
  readonly refuse: Readonly<Record<string, Latency>>;
  readonly receive: Latency;
}

export interface Watch {
  figures(endMono?: number): WindowFigures;
  end(): void;
}

interface Window extends WindowSpec {
  readonly accept: Histogram;
  readonly receive: Histogram;
  readonly refuse: Map<number, Histogram>;
  acceptedInTime: number;
  deliveredInTime: number;
}

interface OpenSecond {
  readonly accept: Histogram;
  readonly receive: Histogram;
}

/** Makes histograms and counts of the samples that the threads send. */
export class Recorder {
  readonly #ledger: Ledger;
  readonly #windows = new Set<Window>();
  readonly #seconds: SecondCounts[] = [];
  readonly #open = new Map<number, OpenSecond>();
  /** Start of the time line. */
  #epochMono: number;
  accepted = 0;
  refused = 0;
  unknown = 0;
  delivered = 0;

  constructor(ledger: Ledger, epochMono: number) {
    this.#ledger = ledger;
    this.#epochMono = epochMono;
  }

  /**
   * Watches events from now on; what came before is not in it. Figures are of what there is so far, with
   * rates over the time until `endMono`, where that is before the window's end.
   */
  watch(spec: WindowSpec): Watch {
    const window: Window = {
      ...spec,
      accept: createHistogram(),
      receive: createHistogram(),
      refuse: new Map(),
      acceptedInTime: 0,
      deliveredInTime: 0,
    };
    this.#windows.add(window);
    return {
      figures: (endMono = Infinity) => figuresOf(window, Math.min(window.toMono, endMono)),
      end: () => this.#windows.delete(window),
    };
  }

  addAnswers({ words, count }: Samples): void {
    for (let at = 0; at < count * SAMPLE_WORDS; at += SAMPLE_WORDS) {
      const seq = words[at] ?? 0;
      const micros = words[at + 1] ?? 0;
      const status = words[at + 2] ?? 0;
      const due = this.#ledger.dueMono(seq);
      const atMono = due + micros / 1_000;
      const second = this.#second(atMono);
      if (status === ACCEPTED) {
        this.accepted += 1;
        this.#count(second).accepted += 1;
        this.#histograms(second).accept.recordValue(micros);
      } else if (status === 0) {
        this.unknown += 1;
      } else {
        this.refused += 1;
        this.#count(second).refused += 1;
      }
      for (const window of this.#windows) addAnswer(window, seq, due, atMono, micros, status);
    }
  }

  addReceipts({ words, count }: Samples): void {
    for (let at = 0; at < count * SAMPLE_WORDS; at += SAMPLE_WORDS) {
      const seq = words[at] ?? 0;
      const micros = words[at + 1] ?? 0;
      const due = this.#ledger.dueMono(seq);
      const atMono = due + micros / 1_000;
      const second = this.#second(atMono);
      this.delivered += 1;
      this.#count(second).delivered += 1;
      this.#histograms(second).receive.recordValue(micros);
      for (const window of this.#windows) addReceipt(window, seq, due, atMono, micros);
    }
  }

  /** Whole seconds of the time line. */
  seconds(): readonly SecondCounts[] {
    for (const second of [...this.#open.keys()]) this.#close(second);
    return this.#seconds;
  }

  /** Of the last second that is over and whose samples have come: for progress. */
  lastSecond(nowMono: number): SecondCounts {
    const second = this.#second(nowMono - SAMPLES_LATE_MS) - 1;
    if (second < 0) return emptySecond();
    if (this.#open.has(second)) this.#summarise(second);
    return this.#count(second);
  }

  #second(atMono: number): number {
    return Math.max(0, Math.floor((atMono - this.#epochMono) / 1_000));
  }

  #count(second: number): SecondCounts {
    while (this.#seconds.length <= second) this.#seconds.push(emptySecond());
    return this.#seconds[second] as SecondCounts;
  }

  #histograms(second: number): OpenSecond {
    const oldest = this.#seconds.length - OPEN_SECONDS;
    // What comes later still belongs to a second that is summed up: it shows in the oldest that is open.
    const target = Math.max(second, oldest, 0);
    let open = this.#open.get(target);
    if (open === undefined) {
      open = { accept: createHistogram(), receive: createHistogram() };
      this.#open.set(target, open);
      for (const other of [...this.#open.keys()]) if (other < oldest) this.#close(other);
    }
    return open;
  }

  #summarise(second: number): void {
    const open = this.#open.get(second);
    if (open === undefined) return;
    const accept = latencyOf(open.accept);
    const receive = latencyOf(open.receive);
    Object.assign(this.#count(second), {
      acceptP50Ms: accept.p50,
      acceptP99Ms: accept.p99,
      receiveP50Ms: receive.p50,
      receiveP99Ms: receive.p99,
    });
  }

  #close(second: number): void {
    this.#summarise(second);
    this.#open.delete(second);
  }
}

function addAnswer(
  window: Window,
  seq: number,
  due: number,
  atMono: number,
  micros: number,
  status: number,
): void {
  if (seq < window.from || seq >= window.to || window.filter?.(seq) === false) return;
  if (status === ACCEPTED && atMono >= window.fromMono && atMono < window.toMono) window.acceptedInTime += 1;
  if (due < window.fromMono || due >= window.toMono) return;
  if (status === ACCEPTED) {
    window.accept.recordValue(micros);
    return;
  }
  let histogram = window.refuse.get(status);
  if (histogram === undefined) {
    histogram = createHistogram();
    window.refuse.set(status, histogram);
  }
  histogram.recordValue(micros);
}

function addReceipt(window: Window, seq: number, due: number, atMono: number, micros: number): void {
  if (seq < window.from || seq >= window.to || window.filter?.(seq) === false) return;
  if (atMono >= window.fromMono && atMono < window.toMono) window.deliveredInTime += 1;
  if (due >= window.fromMono && due < window.toMono) window.receive.recordValue(micros);
}

function figuresOf(window: Window, endMono: number): WindowFigures {
  const seconds = Math.max(0.001, (endMono - window.fromMono) / 1_000);
  const refuse = [...window.refuse].map(
    ([status, histogram]) => [status === 0 ? "no answer" : String(status), latencyOf(histogram)] as const,
  );
  return {
    seconds,
    accepted: window.accept.totalCount,
    refused: Object.fromEntries(refuse.map(([status, { count }]) => [status, count])),
    acceptedPerSecond: window.acceptedInTime / seconds,
    deliveredPerSecond: window.deliveredInTime / seconds,
    accept: latencyOf(window.accept),
    refuse: Object.fromEntries(refuse),
    receive: latencyOf(window.receive),
  };
}

function emptySecond(): SecondCounts {
  return {
    accepted: 0,
    refused: 0,
    delivered: 0,
    acceptP50Ms: 0,
    acceptP99Ms: 0,
    receiveP50Ms: 0,
    receiveP99Ms: 0,
  };
}
