import type { DedupeKey } from "../../domain/dedupe.ts";

/** 4 MiB: nine bits for each uid of a turn at 14,000 a second, which lets one in thirty by that was never added. */
const WORDS = 2 ** 20;
/** 16 words of 32 bits are a line of the processor's cache: one is all that an answer looks at. */
const BLOCK_WORDS = 16;
const BLOCKS = WORDS / BLOCK_WORDS;
/** Each takes nine bits of the hash's first half: one of the 512 bits in a block. */
const DIVISORS = [1, 2 ** 9, 2 ** 18, 2 ** 27];

/** Whether a uid may have been added: where it was, always; where it was not, seldom. (A blocked Bloom filter.) */
export class UidFilter {
  /** Pages of it that nothing was added to take no memory. */
  readonly #words = new Uint32Array(WORDS);

  add(key: DedupeKey): void {
    const words = this.#words;
    const block = blockOf(key);
    for (const divisor of DIVISORS) {
      const bit = bitOf(key, divisor);
      const at = block + (bit >>> 5);
      words[at] = (words[at] as number) | (1 << (bit & 31));
    }
  }

  mayHave(key: DedupeKey): boolean {
    const words = this.#words;
    const block = blockOf(key);
    for (const divisor of DIVISORS) {
      const bit = bitOf(key, divisor);
      if ((((words[block + (bit >>> 5)] as number) >>> (bit & 31)) & 1) === 0) return false;
    }
    return true;
  }
}

/** Its first word. */
function blockOf({ uidLow }: DedupeKey): number {
  return (uidLow % BLOCKS) * BLOCK_WORDS;
}

function bitOf({ uidHigh }: DedupeKey, divisor: number): number {
  return Math.floor(uidHigh / divisor) & 511;
}
