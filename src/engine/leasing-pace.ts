/**
 * While few events wait for their commit a cycle may lease so many deliveries for each event of its commit. What is leased
 * within the second is as cheap as what never waited; left for later it is written, read and written again, which takes so
 * much of the thread that it would not catch up any more with 20,000 events a second.
 */
const PER_EVENT = 3;
/** With so many waiting publishers are near being refused: taking in goes first, what cannot be sent yet waits on disk... */
const PRESSED_EVENTS = 8_000;
/** ...and one commit in so many is followed by leases. */
const PRESSED_COMMITS = 12;

/** How much a cycle leases: the thread is shared between what comes in and what goes out. */
export class LeasingPace {
  #commitsWithout = 0;

  /**
   * Deliveries that may be leased however long that takes; null: none in this cycle. `committed`: events of its commit, null
   * where it made none; `waiting`: those that wait for the next.
   */
  share(committed: number | null, waiting: number): number | null {
    if (committed === null || waiting < PRESSED_EVENTS) return (committed ?? 0) * PER_EVENT;
    this.#commitsWithout += 1;
    if (this.#commitsWithout < PRESSED_COMMITS) return null;
    this.#commitsWithout = 0;
    return 0;
  }
}
