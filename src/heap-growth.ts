import { setFlagsFromString } from "node:v8";
import type { Clock } from "./lib/clock.ts";
import type { Timers } from "./lib/timers.ts";

const LOOK_MS = 2_000;
/** Events a second from which on heaps may grow further, and below which they may not. */
const BUSY_RATE = 20_000;
const CALM_RATE = 15_000;
/** What is added to a heap before its old objects are collected again, in percent of what lives in it; bin/hookd begins so. */
const USUAL_PERCENT = 50;
const BUSY_PERCENT = 100;

export interface HeapGrowthDeps {
  /** Events taken in since the start. */
  readonly accepted: () => number;
  readonly clock: Pick<Clock, "mono">;
  readonly timers: Pick<Timers, "after">;
  /** For tests: how V8 is told. */
  readonly setFlag?: (flag: string) => void;
}

/**
 * Keeps heaps small (bin/hookd) up to a rate at which nothing is short, and gives memory for time beyond it: at 27,000
 * events a second the old objects of all threads are collected half as often, for some 50 MB
 * (docs/decisions/0026-heaps-grow-with-the-rate.md). V8 looks the flag up at the end of each collection, in every thread.
 * Returns how to end it.
 */
export function growHeapsWithRate(deps: HeapGrowthDeps): () => void {
  const { accepted, clock, timers, setFlag = setFlagsFromString } = deps;
  let before = { accepted: accepted(), mono: clock.mono() };
  let isBusy = false;
  let cancel = timers.after(LOOK_MS, look);
  function look(): void {
    const now = { accepted: accepted(), mono: clock.mono() };
    const rate = (1_000 * (now.accepted - before.accepted)) / Math.max(1, now.mono - before.mono);
    before = now;
    if (isBusy ? rate < CALM_RATE : rate >= BUSY_RATE) {
      isBusy = !isBusy;
      setFlag(`--heap-growing-percent=${isBusy ? BUSY_PERCENT : USUAL_PERCENT}`);
    }
    cancel = timers.after(LOOK_MS, look);
  }
  return () => cancel();
}
