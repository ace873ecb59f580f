/** Waiting, passed in so that the simulation can drive it. */
export interface Timers {
  /** Calls back once, after `ms`. Returns how to call it off. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back in a turn of its own, after what has arrived meanwhile was taken in. */
  soon(callback: () => void): void;
}

/** setTimeout takes 32 bits: what is longer would fire at once. Callers look again when they wake. */
const WAIT_MAX_MS = 2 ** 31 - 1;

export const systemTimers: Timers = {
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, WAIT_MAX_MS));
    return () => clearTimeout(timer);
  },
  soon(callback) {
    setImmediate(callback);
  },
};
