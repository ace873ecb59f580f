/** A cycle leases for so long at least, where no commit tells how long it may... */
const LEASING_MS = 3;
/**
 * ...and while few events wait for their commit, for up to so many times what its commit took. What is leased within the
 * second is as cheap as what never waited; left for later it is written, read and written again, which takes so much of the
 * thread that it would never catch up with 20,000 events a second.
 */
const PER_COMMITTING = 3;
/** With so many waiting publishers are near being refused: taking in goes first, what cannot be sent yet waits on disk... */
const PRESSED_EVENTS = 8_000;
/** ...and one commit in so many is followed by leases. */
const PRESSED_COMMITS = 12;

/** How long a cycle may lease: it shares the thread between what comes in and what goes out. */
export class LeasingPace {
  #commitsWithout = 0;

  /** In ms; 0: not in this cycle. `committingMs`: what its commit took; null: it made none. `waiting`: events that wait for the next. */
  maxMs(committingMs: number | null, waiting: number): number {
    const isPressed = committingMs !== null && waiting >= PRESSED_EVENTS;
    this.#commitsWithout += 1;
    if (isPressed && this.#commitsWithout < PRESSED_COMMITS) return 0;
    this.#commitsWithout = 0;
    return isPressed ? LEASING_MS : Math.max(LEASING_MS, (committingMs ?? 0) * PER_COMMITTING);
  }
}
