/** Wall-clock and monotonic time, passed in so that tests and the simulation can drive both. */
export interface Clock {
  /** Wall clock, epoch milliseconds. May jump either way. */
  now(): number;
  /** Monotonic milliseconds from an arbitrary start. Never goes back. */
  mono(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  mono: () => performance.now(),
};
