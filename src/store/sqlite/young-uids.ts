import type { DedupeKey } from "../../domain/dedupe.ts";
import { UidFilter } from "./uid-filter.ts";

/** What goes round a tree and empties it. */
export interface Round {
  /** How often it has been at the end. */
  readonly laps: number;
  /** Where it is since. */
  readonly at: number;
}

/**
 * Whether a uid may lie in trees that rounds empty one into the next. It is told each uid that is added to the first of
 * them. Once a round has gone over all of the first tree, and after that one over all of the next, what was added before
 * has left them: so two filters take turns, and the older one is forgotten then.
 */
export class YoungUids {
  readonly #rounds: readonly Round[];
  #current = new UidFilter();
  #previous = new UidFilter();
  /** The round that is waited for, and where it has to be again. */
  #waitingFor = 0;
  #until: Round;
  /** False while there may be some that were added before this process began. */
  #isComplete: boolean;

  constructor(rounds: readonly Round[], isEmpty: boolean) {
    this.#rounds = rounds;
    this.#until = this.#lapOf(0);
    this.#isComplete = isEmpty;
  }

  add(key: DedupeKey): void {
    this.#current.add(key);
  }

  mayHave(key: DedupeKey): boolean {
    return !this.#isComplete || this.#current.mayHave(key) || this.#previous.mayHave(key);
  }

  /** To be called when rounds have gone on, and that is committed. */
  moved(): void {
    while (isAsFar(this.#rounds[this.#waitingFor] as Round, this.#until)) {
      this.#waitingFor = (this.#waitingFor + 1) % this.#rounds.length;
      this.#until = this.#lapOf(this.#waitingFor);
      if (this.#waitingFor === 0) this.#turn();
    }
  }

  #turn(): void {
    this.#previous = this.#current;
    this.#current = new UidFilter();
    this.#isComplete = true;
  }

  /** Where a round is when it has gone over everything from now on. */
  #lapOf(index: number): Round {
    const { laps, at } = this.#rounds[index] as Round;
    return { laps: laps + 1, at };
  }
}

function isAsFar(round: Round, until: Round): boolean {
  return round.laps > until.laps || (round.laps === until.laps && round.at >= until.at);
}
