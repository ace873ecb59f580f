/** Neighbours share a page; one that stands alone has as many places for itself. */
const PAGE = 32;

interface Page<V> {
  readonly places: (V | undefined)[];
  count: number;
}

/**
 * A Map of ids that are given one after the other, in pages of neighbours. In a Map of hundreds of thousands each look-up
 * misses the processor's cache three times, and each time that it is full of what was deleted, all of it is written anew.
 */
export class IdMap<K extends number, V extends object> {
  readonly #pages = new Map<number, Page<V>>();
  #size = 0;
  /** The one that was looked at last: neighbours come together. */
  #lastNumber = Number.NaN;
  #lastPage: Page<V> | undefined;

  get size(): number {
    return this.#size;
  }

  get(id: K): V | undefined {
    const number = Math.floor(id / PAGE);
    return this.#pageOf(number)?.places[id - number * PAGE];
  }

  has(id: K): boolean {
    return this.get(id) !== undefined;
  }

  set(id: K, value: V): void {
    const number = Math.floor(id / PAGE);
    const page = this.#pageOf(number) ?? this.#newPage(number);
    const place = id - number * PAGE;
    if (page.places[place] === undefined) {
      page.count += 1;
      this.#size += 1;
    }
    page.places[place] = value;
  }

  delete(id: K): void {
    const number = Math.floor(id / PAGE);
    const page = this.#pageOf(number);
    const place = id - number * PAGE;
    if (page?.places[place] === undefined) return;
    page.places[place] = undefined;
    page.count -= 1;
    this.#size -= 1;
    if (page.count > 0) return;
    this.#pages.delete(number);
    this.#lastNumber = Number.NaN;
    this.#lastPage = undefined;
  }

  /** In no order to rely on. */
  *values(): Generator<V, void> {
    for (const { places } of this.#pages.values())
      for (const value of places) if (value !== undefined) yield value;
  }

  #pageOf(number: number): Page<V> | undefined {
    if (number === this.#lastNumber) return this.#lastPage;
    const page = this.#pages.get(number);
    if (page === undefined) return undefined;
    this.#lastNumber = number;
    this.#lastPage = page;
    return page;
  }

  #newPage(number: number): Page<V> {
    const page: Page<V> = { places: new Array<V | undefined>(PAGE).fill(undefined), count: 0 };
    this.#pages.set(number, page);
    return page;
  }
}
