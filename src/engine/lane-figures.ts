import { KeyedHeap } from "../lib/keyed-heap.ts";
import { heldUntil, type Lane, NEVER } from "./lane.ts";

/**
 * What the metrics tell of all lanes together, kept as lanes change: a scrape walks none of them, however many there
 * are. A lane with nothing to tell is in none of these, and costs a few comparisons when it changes.
 */
export class LaneFigures {
  readonly #told = new Set<Lane>();
  readonly #open = new Set<Lane>();
  /** Open, or paused by its user. */
  readonly #shut = new Set<Lane>();
  /** Those of the others that wait for their receivers (`heldUntil`), by when that ends. */
  readonly #held = new KeyedHeap<Lane>();
  /** Those in which something waits, by when the first of it is due. */
  readonly #waiting = new KeyedHeap<Lane>();

  /** Call after anything about the lane has changed. */
  note(lane: Lane, now: number): void {
    const { isOpen } = lane.breaker;
    const isShut = isOpen || lane.webhook.isPaused;
    const isHeld = !isShut && heldUntil(lane) > now;
    const dueAt = Math.min(lane.pendingDueAt, lane.retryingDueAt);
    if (!isShut && !isHeld && dueAt === NEVER) {
      this.drop(lane);
      return;
    }
    this.#told.add(lane);
    if (isOpen) this.#open.add(lane);
    else this.#open.delete(lane);
    if (isShut) this.#shut.add(lane);
    else this.#shut.delete(lane);
    if (isHeld) this.#held.set(lane, heldUntil(lane));
    else this.#held.delete(lane);
    if (dueAt < NEVER) this.#waiting.set(lane, dueAt);
    else this.#waiting.delete(lane);
  }

  /** It is forgotten, or has nothing to tell. */
  drop(lane: Lane): void {
    if (!this.#told.delete(lane)) return;
    this.#open.delete(lane);
    this.#shut.delete(lane);
    this.#held.delete(lane);
    this.#waiting.delete(lane);
  }

  get open(): number {
    return this.#open.size;
  }

  /** Lanes that send nothing now, whatever waits in them. */
  parked(now: number): number {
    while (this.#held.firstKey <= now) this.#held.pop();
    return this.#shut.size + this.#held.size;
  }

  /** NEVER: nothing waits. */
  get oldestDueAt(): number {
    return this.#waiting.firstKey;
  }
}
