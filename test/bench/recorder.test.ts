import { describe, expect, it } from "vitest";
import { Recorder } from "../../src/bench/recorder.ts";
import { SAMPLE_WORDS, type Samples } from "../../src/bench/samples.ts";
import { benchWorld } from "./world.ts";

const EPOCH = 1_000_000;

function samplesOf(rows: readonly (readonly [seq: number, ms: number, status: number])[]): Samples {
  const words = new Uint32Array(rows.length * SAMPLE_WORDS);
  rows.forEach(([seq, ms, status], index) => {
    words.set([seq, ms * 1_000, status], index * SAMPLE_WORDS);
  });
  return { words, count: rows.length };
}

/** Event n is due n * 100 ms after the epoch. */
function setup() {
  const { ledger } = benchWorld(100);
  for (let seq = 0; seq < 100; seq += 1) ledger.offered(seq, EPOCH + seq * 100);
  return new Recorder(ledger, EPOCH);
}

const window = { from: 0, to: 100, fromMono: EPOCH + 1_000, toMono: EPOCH + 2_000 };

describe("the recorder", () => {
  it("leaves the warm-up out of latencies: what counts is when an event was due", () => {
    const recorder = setup();
    const watch = recorder.watch(window);
    // Due at 0.5 s, 1.0 s, 1.9 s and 2.0 s.
    recorder.addAnswers(samplesOf([5, 10, 19, 20].map((seq) => [seq, 7, 202] as const)));
    recorder.addReceipts(samplesOf([5, 10, 19, 20].map((seq) => [seq, 9, 0] as const)));
    const { accept, receive, accepted } = watch.figures();
    expect(accepted).toBe(2);
    expect([accept.count, receive.count]).toEqual([2, 2]);
    expect(accept.p50).toBeCloseTo(7, 1);
    expect(receive.p50).toBeCloseTo(9, 1);
  });

  it("counts rates by when things happened: what came late is in the second in which it came", () => {
    const recorder = setup();
    const watch = recorder.watch(window);
    recorder.addReceipts(
      samplesOf([
        [5, 600, 0],
        [19, 600, 0],
      ]),
    );
    expect(watch.figures().deliveredPerSecond).toBe(1);
    expect(recorder.seconds().map(({ delivered }) => delivered)).toEqual([0, 1, 1]);
  });

  it("keeps refusals apart by status, and what was never answered", () => {
    const recorder = setup();
    const watch = recorder.watch(window);
    recorder.addAnswers(
      samplesOf([
        [10, 1, 429],
        [11, 2, 503],
        [12, 3, 503],
        [13, 4, 0],
      ]),
    );
    expect(watch.figures()).toMatchObject({
      accepted: 0,
      refused: { "429": 1, "503": 2, "no answer": 1 },
      refuse: { "503": { count: 2 } },
    });
    expect(recorder).toMatchObject({ accepted: 0, refused: 3, unknown: 1 });
  });

  it("watches only the events that it is asked for", () => {
    const recorder = setup();
    const odd = recorder.watch({ ...window, filter: (seq) => seq % 2 === 1 });
    const range = recorder.watch({ ...window, from: 12, to: 14 });
    recorder.addAnswers(samplesOf([10, 11, 12, 13, 15].map((seq) => [seq, 1, 202] as const)));
    expect([odd.figures().accepted, range.figures().accepted]).toEqual([3, 2]);
  });

  it("gives percentiles second by second", () => {
    const recorder = setup();
    recorder.addAnswers(samplesOf([0, 1, 2].map((seq) => [seq, 10 + seq, 202] as const)));
    recorder.addAnswers(samplesOf([[20, 50, 202]]));
    const seconds = recorder.seconds();
    expect(seconds.map(({ accepted }) => accepted)).toEqual([3, 0, 1]);
    expect(seconds[0]?.acceptP50Ms).toBeCloseTo(11, 1);
    expect(seconds[2]?.acceptP99Ms).toBeCloseTo(50, 0);
  });
});
