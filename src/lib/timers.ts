/** Waiting, passed in so that the simulation can drive it. */
export interface Timers {
  /** Calls back once, after `ms`. Returns how to call it off. */
  after(ms: number, callback: () => void): () => void;
  /** Calls back in a turn of its own, after what has arrived meanwhile was taken in. */
  soon(callback: () => void): void;
}

export const systemTimers: Timers = {
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  soon(callback) {
    setImmediate(callback);
  },
};
