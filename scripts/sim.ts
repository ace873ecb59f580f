// npm run sim: the real director on a fake clock, against everything that can go wrong, from a seed. `--help`
// tells more.
import { parseArgs } from "node:util";
import { explain, type ManyOptions, simulateMany } from "../test/sim/many.ts";
import { type OutageReport, outage, problemsOf } from "../test/sim/outage.ts";
import { PLANTS, plantOf } from "../test/sim/plants.ts";
import { LEAST } from "../test/sim/run.ts";
import { assertNode } from "./run.ts";

const SEEDS = 500;
const SEEDS_PLANTED = 50;
/** The first two are what opens every breaker, and the crash comes half-way. */
const MINUTES_MIN = 6;

const HELP = `The real director, lanes and retries on a fake clock, with seeded receivers, crashes, clock jumps and
store errors. After every step the invariants are checked: nothing accepted is lost, nothing is sent early,
twice at once, beyond its limits, or after its end.

  npm run sim                                        seeds 1 to ${SEEDS}
  npm run sim -- --seed 17 --seeds 1 --trace         one seed, step by step
  npm run sim -- --plant slot-leak                   does it find that bug? exit code 0 when it does
  npm run sim -- --store sqlite --seeds 20           on the real store
  npm run sim -- --scenario outage                   10,000 receivers down for an hour, and a crash in it

  --seed N         first seed (1)
  --seeds K        how many (${SEEDS}; ${SEEDS_PLANTED} with --plant)
  --hours H        simulated for each seed, before it heals and drains (1)
  --store NAME     memory (default) or sqlite
  --plant NAME     plants a bug, and looks for it: by an invariant that it is to break
  --list-plants    which bugs there are, and what is to find them
  --trace          prints every step

With --scenario outage:
  --webhooks N     receivers that are down (10000)
  --minutes M      for so long, ${MINUTES_MIN} at least (60)
  --down S         seconds that hookd is down after the crash, half-way (0)
  --seed N         what chance begins with (1)

An option that would be ignored is refused.`;

const OPTIONS = {
  seed: { type: "string" },
  seeds: { type: "string" },
  hours: { type: "string" },
  store: { type: "string" },
  plant: { type: "string" },
  "list-plants": { type: "boolean" },
  scenario: { type: "string" },
  webhooks: { type: "string" },
  minutes: { type: "string" },
  down: { type: "string" },
  trace: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** What each way to run it takes. */
const TAKEN = {
  "--list-plants": ["list-plants"],
  "--scenario": ["scenario", "webhooks", "minutes", "down", "seed"],
  "a run of seeds": ["seed", "seeds", "hours", "store", "plant", "trace"],
} as const;

type Values = ReturnType<typeof parse>;

/** What was asked for cannot be: exit code 2. */
class Misuse extends Error {}

assertNode();
try {
  process.exitCode = await main(parse());
} catch (error) {
  if (!(error instanceof Misuse)) throw error;
  console.error(`${error.message}: see npm run sim -- --help`);
  process.exitCode = 2;
}

function parse() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : String(error));
  }
}

async function main(values: Values): Promise<number> {
  if (values.help) return say(HELP, 0);
  if (values["list-plants"]) {
    refuseOthers(values, "--list-plants");
    return say(listOfPlants(), 0);
  }
  if (values.scenario !== undefined) return runScenario(values.scenario, values);
  refuseOthers(values, "a run of seeds");
  const { store = "memory" } = values;
  if (store !== "memory" && store !== "sqlite") throw new Misuse(`there is no store ${store}`);
  const plant = values.plant ?? null;
  if (plant !== null && !PLANTS.some(({ name }) => name === plant))
    throw new Misuse(`there is no plant ${plant}`);
  if (plant !== null && (plantOf(plant).store ?? store) !== store)
    throw new Misuse(`${plant} is planted in the memory store: leave out --store ${store}`);
  const options: ManyOptions = {
    firstSeed: wholeOf("seed", values.seed ?? "1"),
    seeds: wholeOf("seeds", values.seeds ?? String(plant === null ? SEEDS : SEEDS_PLANTED)),
    hours: hoursOf(values.hours ?? "1"),
    store,
    plant,
    ...(values.trace && { trace: (line: string) => console.log(line) }),
  };
  return plant === null ? runSound(options) : runPlanted(options, plant);
}

function listOfPlants(): string {
  return PLANTS.map(({ name, what, foundBy }) => `${name}: ${what}\n  by: ${foundBy.join("; or ")}`).join(
    "\n",
  );
}

async function runSound(options: ManyOptions): Promise<number> {
  const begun = performance.now();
  const { ran, failed, totals, least } = await simulateMany({
    ...options,
    onReport: (report) => {
      if (report.violations.length > 0) console.log(`${explain(report, options)}\n`);
    },
  });
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${ran} seeds: ${ran - failed.length} kept every invariant, ${failed.length} did not. ` +
      `${totals.deliveries} deliveries, ${totals.attempts} attempts, ` +
      `${totals.hours.toFixed(0)} simulated hours in ${seconds.toFixed(1)} s: ${(totals.hours / seconds).toFixed(1)} hours a second`,
  );
  if (failed.length < ran) {
    console.log(
      `every seed had at least ${least.deliveries} deliveries (${LEAST.deliveries} are asked for), ` +
        `${least.crashes} crashes (${LEAST.crashes}), ${least.behaviourChanges} changes of behaviour ` +
        `(${LEAST.behaviourChanges})`,
    );
  }
  return failed.length === 0 ? 0 : 1;
}

async function runPlanted(options: ManyOptions, plant: string): Promise<number> {
  const { ran, failed, finding } = await simulateMany(options);
  if (finding) {
    const { invariant, what } = finding.violation;
    return say(
      `${plant} was found by seed ${finding.seed}, after ${ran} seeds, by: ${invariant}\n  ${what}`,
      0,
    );
  }
  const { foundBy } = plantOf(plant);
  const others = new Set(failed.flatMap(({ violations }) => violations.map(({ invariant }) => invariant)));
  const lines = [
    `${plant} was not found by ${ran} seeds, from ${options.firstSeed} on: none broke ${foundBy.join(", or ")}`,
    ...[...others].map((invariant) => `  broken was: ${invariant}`),
  ];
  return say(lines.join("\n"), 1);
}

async function runScenario(name: string, values: Values): Promise<number> {
  if (name !== "outage") throw new Misuse(`there is no scenario ${name}`);
  refuseOthers(values, "--scenario");
  const minutes = wholeOf("minutes", values.minutes ?? "60", MINUTES_MIN);
  const downSeconds = wholeOf("down", values.down ?? "0", 0);
  // What is judged after the restart is a minute at least.
  const downMax = minutes * 30 - 60;
  if (downSeconds > downMax)
    throw new Misuse(`--down ${downSeconds} is more than ${downMax} of ${minutes} minutes`);
  const report = await outage({
    webhooks: wholeOf("webhooks", values.webhooks ?? "10000"),
    minutes,
    downSeconds,
    seed: wholeOf("seed", values.seed ?? "1"),
  });
  return sayOutage(report);
}

function sayOutage(report: OutageReport): number {
  for (const [name, value] of Object.entries(report)) {
    console.log(`${name}: ${typeof value === "number" ? Number(value.toFixed(3)) : JSON.stringify(value)}`);
  }
  const problems = problemsOf(report);
  for (const problem of problems) console.log(`BROKEN: ${problem}`);
  return problems.length === 0 ? 0 : 1;
}

function say(text: string, code: number): number {
  console.log(text);
  return code;
}

/** What this way to run it would ignore. */
function refuseOthers(values: Values, way: keyof typeof TAKEN): void {
  const taken: readonly string[] = TAKEN[way];
  const ignored = Object.keys(values).filter((name) => !taken.includes(name));
  if (ignored.length === 0) return;
  throw new Misuse(`${ignored.map((name) => `--${name}`).join(", ")} cannot be given with ${way}`);
}

function wholeOf(name: string, text: string, least = 1): number {
  const value = Number(text);
  const isWhole = /^\d+$/.test(text) && Number.isSafeInteger(value);
  if (!isWhole || value < least) throw new Misuse(`--${name} ${text} is no whole number of ${least} or more`);
  return value;
}

function hoursOf(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value === 0) throw new Misuse(`--hours ${text} is no number above 0`);
  return value;
}
