/** Seeded choices: the same seed makes the same ones in the same order. */
export class Dice {
  /** [0, 1). */
  readonly random: () => number;

  constructor(random: () => number) {
    this.random = random;
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }

  /** One of them, each as often as its weight says. */
  weighed<T>(all: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.random() * all.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, choice] of all) {
      left -= weight;
      if (left < 0) return choice;
    }
    return (all.at(-1) as readonly [number, T])[1];
  }
}
