import type { RunFigures } from "./result.ts";

/** The same load on one daemon without something beside it, and with it, a moment apart. */
export interface Pair {
  readonly without: RunFigures;
  readonly withIt: RunFigures;
  /** Both, in the order in which they were made. */
  readonly runs: readonly [RunFigures, RunFigures];
}

export interface Halves {
  without(title: string): Promise<RunFigures>;
  withIt(title: string): Promise<RunFigures>;
}

/** Whichever half is first may have the better moment: they take turns. */
export async function playPairs(count: number, halves: Halves): Promise<readonly Pair[]> {
  const pairs: Pair[] = [];
  for (let number = 1; number <= count; number += 1) {
    const [titleWithout, titleWith] = [`pair ${number}, without`, `pair ${number}, with`];
    if (number % 2 === 0) {
      const without = await halves.without(titleWithout);
      const withIt = await halves.withIt(titleWith);
      pairs.push({ without, withIt, runs: [without, withIt] });
    } else {
      const withIt = await halves.withIt(titleWith);
      const without = await halves.without(titleWithout);
      pairs.push({ without, withIt, runs: [withIt, without] });
    }
  }
  return pairs;
}

/** What a figure is with it, in times of what it is without, pair by pair. */
export function ratiosOf(pairs: readonly Pair[], figureOf: (run: RunFigures) => number): readonly number[] {
  return pairs.map(({ without, withIt }) => figureOf(withIt) / figureOf(without));
}

/** Each pair's figure without it and with it, in ms, for people. */
export function millisOf(pairs: readonly Pair[], figureOf: (run: RunFigures) => number): string {
  const shown = (run: RunFigures) => figureOf(run).toFixed(1);
  return pairs.map(({ without, withIt }) => `${shown(without)} -> ${shown(withIt)} ms`).join(", ");
}

/** A pair in which the disk or the host stood still does not move it. Of an even number, the lower of the middle ones. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
}
