/** A number for each key. Those at 0 take no room, and are not among the `size`. */
export class Sums<K> {
  readonly #sums = new Map<K, number>();

  /** Keys that are not at 0. */
  get size(): number {
    return this.#sums.size;
  }

  of(key: K): number {
    return this.#sums.get(key) ?? 0;
  }

  add(key: K, change: number): void {
    const sum = this.of(key) + change;
    if (sum === 0) this.#sums.delete(key);
    else this.#sums.set(key, sum);
  }
}
