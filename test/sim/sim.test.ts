import { expect, test } from "vitest";
import { explain, findingOf, type ManyOptions, simulateMany } from "./many.ts";
import { outage, problemsOf } from "./outage.ts";
import { PLANTS, plantOf } from "./plants.ts";
import { ENDS, GOES_THROUGH_ENOUGH, LEAST } from "./run.ts";

/** The long form, as `npm run sim` has it (`npm run gates`); otherwise a short one. HOOKD_SEED=n runs that seed alone. */
const IS_GATES = (process.env.HOOKD_GATES ?? "") !== "";
const SEEDS = IS_GATES ? 500 : 30;
const HOURS = IS_GATES ? 1 : 0.5;
const SEEDS_SQLITE = IS_GATES ? 20 : 2;
const SEEDS_PLANTED = 50;
const OUTAGE = IS_GATES ? { webhooks: 10_000, minutes: 60 } : { webhooks: 1_000, minutes: 10 };
const LONG_MS = IS_GATES ? 1_800_000 : 120_000;

const given = process.env.HOOKD_SEED;
const SOUND: ManyOptions = {
  firstSeed: given === undefined ? 1 : Number(given),
  seeds: given === undefined ? SEEDS : 1,
  hours: HOURS,
  store: "memory",
  plant: null,
};

async function expectSound(options: ManyOptions): Promise<void> {
  const { failed, least } = await simulateMany(options);
  expect(failed.map((report) => explain(report, options)).join("\n\n")).toBe("");
  expect(least.deliveries).toBeGreaterThanOrEqual(LEAST.deliveries);
  expect(least.crashes).toBeGreaterThanOrEqual(LEAST.crashes);
  expect(least.behaviourChanges).toBeGreaterThanOrEqual(LEAST.behaviourChanges);
}

test(
  "whatever happens, every accepted delivery is kept, at its time, within its limits, and ends",
  () => expectSound(SOUND),
  LONG_MS,
);

test(
  "the same holds on SQLite, where a crash leaves the files as a kill does",
  () => expectSound({ ...SOUND, store: "sqlite", seeds: Math.min(SOUND.seeds, SEEDS_SQLITE) }),
  LONG_MS,
);

test.each(PLANTS.map(({ name }) => name))(
  "the simulation finds the planted bug %s, by an invariant that it is to break",
  async (plant) => {
    const { finding } = await simulateMany({ ...SOUND, firstSeed: 1, seeds: SEEDS_PLANTED, plant });
    expect(plantOf(plant).foundBy).toContain(finding?.violation.invariant);
  },
  LONG_MS,
);

test("a plant is not found by what it is not to break, by an error, nor by a run that starves", () => {
  const violations = ["everything drains", ENDS, GOES_THROUGH_ENOUGH].map((invariant) => ({
    invariant,
    what: "",
  }));
  expect(
    findingOf({ foundBy: ["memory is bounded", ENDS, GOES_THROUGH_ENOUGH] }, { seed: 1, violations }),
  ).toBe(null);
  expect(findingOf({ foundBy: ["everything drains"] }, { seed: 1, violations })).toEqual({
    seed: 1,
    violation: violations[0],
  });
});

test(
  "the same seed is the same simulation",
  async () => {
    const steps = async () => {
      const lines: string[] = [];
      await simulateMany({ ...SOUND, seeds: 1, trace: (line) => void lines.push(line) });
      return lines;
    };
    const first = await steps();
    expect(first.length).toBeGreaterThan(LEAST.crashes);
    expect(await steps()).toEqual(first);
  },
  LONG_MS,
);

test.each([0, 30])(
  "an outage of all receivers, with hookd down for %i s in it, leaves parked lanes quiet and ends without a loss",
  async (downSeconds) => {
    const report = await outage({ ...OUTAGE, downSeconds, seed: 1 });
    expect(problemsOf(report)).toEqual([]);
  },
  LONG_MS,
);
