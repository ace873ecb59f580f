import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Gathered, Gatherer } from "../../src/tui/gather.ts";
import { settledBody } from "../support/api-bodies.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("however fast rows come, they are shown ten times a second, and all of them", () => {
  const shown: Gathered[] = [];
  const gatherer = new Gatherer((gathered) => shown.push(gathered));
  for (let ms = 0; ms < 1_000; ms += 1) {
    for (let row = 0; row < 12; row += 1) gatherer.row(settledBody());
    vi.advanceTimersByTime(1);
  }
  vi.runAllTimers();
  expect(shown.length).toBeLessThanOrEqual(10);
  expect(shown.flatMap(({ rows }) => rows)).toHaveLength(12_000);
});

test("rows after the last counts are told apart from those that the counts have", () => {
  const shown: Gathered[] = [];
  const gatherer = new Gatherer((gathered) => shown.push(gathered));
  const counts = { attempts: 1, success: 0, retrying: 1, dead: 0 };
  gatherer.row(settledBody());
  gatherer.counts(counts);
  gatherer.row(settledBody());
  gatherer.counts(counts);
  gatherer.row(settledBody());
  gatherer.skipped(2);
  gatherer.flush();
  expect(shown).toMatchObject([
    { counts: { attempts: 2, success: 0, retrying: 2, dead: 0 }, uncountedFrom: 2, skipped: 2 },
  ]);
  gatherer.flush();
  vi.runAllTimers();
  expect(shown).toHaveLength(1);
});
