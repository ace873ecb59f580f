/**
 * While few events wait for their commit a cycle may lease so many deliveries for each event of its commit. What is leased
 * within the second is as cheap as what never waited; left for later it is written, read and written again, which takes so
 * much of the thread that it would not catch up any more with 20,000 events a second.
 */
const PER_EVENT = 3;
/**
 * Where publishers are near being refused taking in goes first, and what cannot be sent yet waits on disk: leases follow each
 * so many events.
 */
const EVENTS_PER_TURN = 2_000;

/** How much a cycle leases: the thread is shared between what comes in and what goes out. */
export class LeasingPace {
  #eventsWithout = 0;

  /**
   * Deliveries that may be leased however long that takes; null: none in this cycle. `committed`: events that it took in;
   * `isPressed`: publishers are, or were when they were last heard of, near being refused.
   */
  share(committed: number, isPressed: boolean): number | null {
    if (committed === 0 || !isPressed) return committed * PER_EVENT;
    this.#eventsWithout += committed;
    if (this.#eventsWithout < EVENTS_PER_TURN) return null;
    this.#eventsWithout = 0;
    return 0;
  }
}
