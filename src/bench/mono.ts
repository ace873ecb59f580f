const TRIES = 20;
const offsetMs = offsetOfThread();

/** Monotonic milliseconds, comparable between the threads of the process. */
export function monoMs(): number {
  return performance.now() + offsetMs;
}

/**
 * hrtime is the same clock in every thread; performance.now() is cheaper, and starts anew in each. Of several
 * readings the one counts between whose halves the least time passed: a thread may be interrupted there.
 */
function offsetOfThread(): number {
  let least = Infinity;
  let offset = 0;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const before = hrtimeMs();
    const now = performance.now();
    const after = hrtimeMs();
    if (after - before >= least) continue;
    least = after - before;
    offset = (before + after) / 2 - now;
  }
  return offset;
}

function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1e6;
}
