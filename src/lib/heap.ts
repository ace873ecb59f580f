/** A binary min-heap of things by a number. Equal keys come out in any order. */
export class Heap<T> {
  readonly #keys: number[] = [];
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The smallest key, or infinity when empty. */
  get firstKey(): number {
    return this.#keys[0] ?? Number.POSITIVE_INFINITY;
  }

  push(key: number, item: T): void {
    let at = this.#items.length;
    this.#keys.push(key);
    this.#items.push(item);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#keyAt(parent) <= key) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Takes out the item with the smallest key; undefined when empty. */
  pop(): T | undefined {
    const first = this.#items[0];
    const lastKey = this.#keys.pop();
    const last = this.#items.pop();
    if (lastKey === undefined || last === undefined || this.#items.length === 0) return first;
    this.#keys[0] = lastKey;
    this.#items[0] = last;
    this.#sink(0);
    return first;
  }

  #sink(from: number): void {
    let at = from;
    for (;;) {
      const left = at * 2 + 1;
      const right = left + 1;
      let smallest = at;
      if (left < this.#items.length && this.#keyAt(left) < this.#keyAt(smallest)) smallest = left;
      if (right < this.#items.length && this.#keyAt(right) < this.#keyAt(smallest)) smallest = right;
      if (smallest === at) return;
      this.#swap(at, smallest);
      at = smallest;
    }
  }

  #keyAt(at: number): number {
    return this.#keys[at] ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const key = this.#keyAt(a);
    this.#keys[a] = this.#keyAt(b);
    this.#keys[b] = key;
    const item = this.#items[a] as T;
    this.#items[a] = this.#items[b] as T;
    this.#items[b] = item;
  }
}
