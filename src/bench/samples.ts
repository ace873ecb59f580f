/**
 * What a thread measured, on its way to the coordinator: three words for each event, so that a hot thread
 * only writes numbers into memory. The coordinator makes histograms of them.
 */
export const SAMPLE_WORDS = 3;

/** Samples until they are sent, at most. A thread also sends them several times a second. */
const SAMPLES_MAX = 8_192;

export interface Samples {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly count: number;
}

export class SampleBuffer {
  #words = new Uint32Array(SAMPLES_MAX * SAMPLE_WORDS);
  #count = 0;
  readonly #send: (samples: Samples) => void;

  constructor(send: (samples: Samples) => void) {
    this.#send = send;
  }

  /** `status`: of the publisher's answer, 0 when there was none; for a receiver 0. */
  add(seq: number, latencyMs: number, status: number): void {
    const at = this.#count * SAMPLE_WORDS;
    this.#words[at] = seq;
    this.#words[at + 1] = Math.max(0, Math.round(latencyMs * 1_000));
    this.#words[at + 2] = status;
    this.#count += 1;
    if (this.#count === SAMPLES_MAX) this.flush();
  }

  flush(): void {
    if (this.#count === 0) return;
    const full = { words: this.#words, count: this.#count };
    this.#words = new Uint32Array(SAMPLES_MAX * SAMPLE_WORDS);
    this.#count = 0;
    this.#send(full);
  }
}
