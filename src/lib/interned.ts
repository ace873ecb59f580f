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
const INTERNED_BYTES_MAX = 64;

/** One array for all short ones that are equal, made from views of what is used again: nobody may write to it. */
export class InternedBytes {
  readonly #known = new Map<string, Uint8Array>();

  of(bytes: Buffer): Uint8Array {
    if (bytes.length > INTERNED_BYTES_MAX) return Uint8Array.from(bytes);
    const text = bytes.toString("latin1");
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    if (this.#known.size >= BYTES_ENTRIES_MAX) this.#known.clear();
    const own = Uint8Array.from(bytes);
    this.#known.set(text, own);
    return own;
  }
}
