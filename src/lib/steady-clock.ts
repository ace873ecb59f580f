import type { Clock } from "./clock.ts";

/** How fast the steady clock comes back to the wall clock after that was set back: a tenth of a second a second. */
const SLEW = 0.1;
/** Differences below this are the wall clock's own corrections, and followed at once. */
const STEP_MS = 250;

export interface SteadyClock extends Clock {
  /** It was as late as this in an earlier life, and goes on from there. */
  resumeFrom(at: number): void;
}

/**
 * A wall clock that never goes back. It follows the wall clock forward, jumps included; when that is set back, this one
 * goes on at nine tenths of monotonic pace until the two meet. So a due time stays as far away as it was when it was
 * set, and ids stay in order.
 */
export function steadyClock(clock: Clock): SteadyClock {
  let lastMono = clock.mono();
  let last = clock.now();
  return {
    mono: () => clock.mono(),
    resumeFrom(at) {
      last = Math.max(last, at);
    },
    now() {
      const mono = clock.mono();
      const wall = clock.now();
      const elapsed = mono - lastMono;
      lastMono = mono;
      const expected = last + elapsed;
      if (wall >= expected - STEP_MS) last = Math.max(last, wall);
      else last = Math.max(wall, expected - elapsed * SLEW, last);
      return Math.floor(last);
    },
  };
}
