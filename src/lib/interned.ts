/** Beyond so many distinct texts it begins anew: each then costs one string more. */
const TEXTS_MAX = 10_000;

/**
 * One string for all equal texts. What is decoded from bytes is a new string each time; where it lives on in thousands of
 * rows (a user, a kind of event, a content type), those would hold thousands of copies, for the collector to look at.
 */
export class Interned {
  readonly #texts = new Map<string, string>();

  of(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }
}

/** Beyond so many distinct ones it begins anew. */
const BYTES_ENTRIES_MAX = 1_000;
/** What is longer is hardly ever the same twice. */
const SHORT_BYTES_MAX = 64;

/** One array for all short ones that are equal, made from views of what is used again: nobody may write to it. */
export class InternedBytes {
  readonly #known = new Map<string, Uint8Array>();

  of(bytes: Buffer): Uint8Array {
    if (bytes.length > SHORT_BYTES_MAX) return Uint8Array.from(bytes);
    const text = bytes.toString("latin1");
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= BYTES_ENTRIES_MAX) this.#known.clear();
    const own = Uint8Array.from(bytes);
    this.#known.set(text, own);
    return own;
  }
}

/**
 * What mostly is the same as the time before (a content type, a receiver's `ok`): that is given again, and nothing is made of
 * the bytes that say so.
 */
export class Repeated<V> {
  readonly #make: (bytes: Buffer) => V;
  #bytes: Uint8Array | null = null;
  #value: V | undefined;

  /** `make`: from a view of the message, which it must not keep. */
  constructor(make: (bytes: Buffer) => V) {
    this.#make = make;
  }

  /** Of what lies between the two places. */
  of(buffer: Buffer, start: number, end: number): V {
    if (this.#bytes !== null && isEqual(this.#bytes, buffer, start, end)) return this.#value as V;
    const bytes = buffer.subarray(start, end);
    const value = this.#make(bytes);
    if (bytes.length <= SHORT_BYTES_MAX) {
      this.#bytes = Uint8Array.from(bytes);
      this.#value = value;
    }
    return value;
  }
}

/** By hand: for the few bytes that these are, a call costs more. */
function isEqual(bytes: Uint8Array, buffer: Buffer, start: number, end: number): boolean {
  if (bytes.length !== end - start) return false;
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== buffer[start + at]) return false;
  return true;
}
