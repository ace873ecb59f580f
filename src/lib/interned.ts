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
