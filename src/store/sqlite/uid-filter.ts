import type { DedupeKey } from "../../domain/dedupe.ts";

/** 4 MiB: nine bits for each uid of a turn at 14,000 a second, which lets one in thirty by that was never added. */
const WORDS = 2 ** 20;
/** 16 words of 32 bits are a line of the processor's cache: one is all that an answer looks at. */
const BLOCK_WORDS = 16;
const BLOCKS = WORDS / BLOCK_WORDS;
const TWO_32 = 2 ** 32;

/** Whether a uid may have been added: where it was, always; where it was not, seldom. (A blocked Bloom filter.) */
export class UidFilter {
  /** Pages of it that nothing was added to take no memory. */
  readonly #words = new Uint32Array(WORDS);

  add({ uidHigh, uidLow }: DedupeKey): void {
    const words = this.#words;
    const block = (uidLow % BLOCKS) * BLOCK_WORDS;
    const bits = uidHigh >>> 0;
    const rest = (uidHigh / TWO_32) >>> 0;
    set(words, block, bits & 511);
    set(words, block, (bits >>> 9) & 511);
    set(words, block, (bits >>> 18) & 511);
    set(words, block, rest & 511);
  }

  mayHave({ uidHigh, uidLow }: DedupeKey): boolean {
    const words = this.#words;
    const block = (uidLow % BLOCKS) * BLOCK_WORDS;
    const bits = uidHigh >>> 0;
    const rest = (uidHigh / TWO_32) >>> 0;
    return (
      isSet(words, block, bits & 511) &&
      isSet(words, block, (bits >>> 9) & 511) &&
      isSet(words, block, (bits >>> 18) & 511) &&
      isSet(words, block, rest & 511)
    );
  }
}

function set(words: Uint32Array, block: number, bit: number): void {
  const at = block + (bit >>> 5);
  words[at] = (words[at] as number) | (1 << (bit & 31));
}

function isSet(words: Uint32Array, block: number, bit: number): boolean {
  return (((words[block + (bit >>> 5)] as number) >>> (bit & 31)) & 1) === 1;
}

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
