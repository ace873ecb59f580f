/**
 * A binary min-heap in which a thing is once, with a number that may be changed, and from which it can be taken from any
 * place: each in logarithmic time. Equal numbers come out in any order.
 */
export class KeyedHeap<T> {
  readonly #items: T[] = [];
  readonly #keys: number[] = [];
  readonly #places = new Map<T, number>();

  get size(): number {
    return this.#items.length;
  }

  /** The smallest key, or infinity when empty. */
  get firstKey(): number {
    return this.#keys[0] ?? Number.POSITIVE_INFINITY;
  }

  /** Puts it in, or changes its key. */
  set(item: T, key: number): void {
    const place = this.#places.get(item);
    if (place === undefined) {
      this.#put(this.#items.length, item, key);
      this.#rise(this.#items.length - 1);
    } else if (this.#keys[place] !== key) {
      this.#keys[place] = key;
      this.#settle(place);
    }
  }

  delete(item: T): void {
    const place = this.#places.get(item);
    if (place === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop() as T;
    const lastKey = this.#keys.pop() as number;
    if (place === this.#items.length) return;
    this.#put(place, last, lastKey);
    this.#settle(place);
  }

  /** Takes out one with the smallest key; undefined when empty. */
  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.delete(first);
    return first;
  }

  #settle(place: number): void {
    if (this.#rise(place) === place) this.#sink(place);
  }

  /** Where it came to. */
  #rise(from: number): number {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keyAt(parent) <= this.#keyAt(at)) break;
      this.#swap(at, parent);
      at = parent;
    }
    return at;
  }

  #sink(from: number): void {
    let at = from;
    for (;;) {
      const left = at * 2 + 1;
      const right = left + 1;
      let smallest = at;
      if (this.#keyAt(left) < this.#keyAt(smallest)) smallest = left;
      if (this.#keyAt(right) < this.#keyAt(smallest)) smallest = right;
      if (smallest === at) return;
      this.#swap(at, smallest);
      at = smallest;
    }
  }

  #keyAt(at: number): number {
    return this.#keys[at] ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [item, key] = [this.#items[a] as T, this.#keyAt(a)];
    this.#put(a, this.#items[b] as T, this.#keyAt(b));
    this.#put(b, item, key);
  }

  #put(place: number, item: T, key: number): void {
    this.#items[place] = item;
    this.#keys[place] = key;
    this.#places.set(item, place);
  }
}
