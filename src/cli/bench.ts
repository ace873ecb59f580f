import { type Command, InvalidArgumentError, Option } from "commander";
import { type BenchOptions, MAX_CONNECTIONS, PLANNED_MAX } from "../bench/plan.ts";
import type { BenchResult } from "../bench/result.ts";
import { ownCommand } from "../lib/embedded.ts";
import { parseSize } from "../lib/units.ts";
import { VERSION } from "../version.ts";
import { addCommand, type Call, run } from "./command.ts";
import { Failure } from "./failure.ts";
import { durationOption, shareOption, wholeNumber } from "./options.ts";
import { createProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** What makes the load. A scenario brings its own, so there they are refused rather than ignored. */
const LOAD_DEFAULTS = {
  rate: 12_000,
  duration: 30_000,
  warmUp: 5_000,
  webhooks: 1_000,
  origins: 1,
  users: 100,
  latency: 0,
  failing: 0,
  hanging: 0,
  payload: 1_024,
  batch: 1,
  connections: 256,
  drainMax: 120_000,
} as const;
const MAX_DEFAULTS = { duration: 60_000, connections: MAX_CONNECTIONS } as const;
type LoadOptions = { readonly [K in keyof typeof LOAD_DEFAULTS]: number };

interface Options extends Partial<LoadOptions> {
  readonly max?: boolean;
  readonly scenario?: string;
  readonly scale?: number;
  readonly calibrate?: number;
  readonly report?: string;
  readonly save?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly plantLoss?: number;
}

const PAYLOAD_MAX = 256 * 1_024;
const CALIBRATE_MS = 5_000;
/** Ended by Ctrl-C. */
const STOPPED = 130;

export function addBenchCommand(program: Command): void {
  const command = addCommand(
    program,
    "bench",
    "Measure hookd on this machine: load, receivers, and a ledger of every event",
    [
      "hookd bench --rate 12000 --duration 60s --origins 1000 --report bench.html",
      "hookd bench --max",
      "hookd bench --scenario isolation",
    ],
  )
    .option("--rate <events>", "events offered a second (12000)", wholeNumber(1, 200_000))
    .option("--duration <time>", "how long is measured (30s)", positiveDuration)
    .option("--warm-up <time>", "load before that, in the ledger but not in the rates (5s)", timeOption)
    .option("--webhooks <count>", "webhooks that the events go to, in turn (1000)", wholeNumber(1, 1_000_000))
    .option("--origins <count>", "hosts that the webhooks are spread over (1)", wholeNumber(1, 1_000_000))
    .option("--users <count>", "users that the webhooks belong to (100)", wholeNumber(1, 1_000_000))
    .option("--latency <time>", "how long receivers take to answer (0)", latencyOption)
    .option("--failing <share>", "share of the webhooks whose receivers answer 500 (0%)", shareOption)
    .option("--hanging <share>", "share of the webhooks whose receivers never answer (0%)", shareOption)
    .option("--payload <size>", "payload of an event (1KiB)", payloadOption)
    .option("--batch <events>", "events of a request; due with its last one (1)", wholeNumber(1, 1_000))
    .option(
      "--connections <count>",
      "connections that publish (256, with --max 1024)",
      wholeNumber(1, 10_000),
    )
    .option("--drain-max <time>", "how long deliveries may take after the load (120s)", positiveDuration)
    .option("--max", "find the highest rate that lasts for --duration (60s)")
    .option("--scenario <name>", "one of those below, instead of a load of your own")
    .option(
      "--scale <factor>",
      "for a trial: a scenario's times and numbers by this, 0.001 to 1",
      scaleOption,
    )
    .option("--calibrate <time>", "of each bare loop, before and after; 0: none (5s)", timeOption)
    .option("--report <file>", "write a page with figures and charts (HTML)")
    .option("--save <dir>", "write <name>.json there")
    .option("--data-dir <dir>", "where the daemon writes, to choose the disk; must be empty, and is removed")
    .option("--json", "print the whole result as JSON")
    .option("--quiet", "no progress")
    .addOption(new Option("--plant-loss <webhook>").argParser(wholeNumber(0, 1_000_000)).hideHelp());
  command.action(run<[], Options>(bench)).addHelpText("after", scenarioHelp);
}

/** Known here, so that help does not load what the scenarios need; a test holds the names against them. */
export const SCENARIO_SUMMARIES: Readonly<Record<string, string>> = {
  steady: "12,000 events/s for a minute: all delivered, at once, in bounded memory",
  max: "the highest rate that lasts, against a bare client and a bare server",
  batch: "batches of 100 flat out, against single events",
  isolation: "hanging and failing receivers are not felt by the others",
  flood: "one user floods, one lane is full: the others are served as before",
  outage: "receivers down for a minute, a crash in the middle: parked, then drained, nothing lost",
  backlog: "5 million waiting: intake, memory and restart as with none, and drained at speed",
  peak: "60,000 events/s for two minutes: accepted or refused, nothing lost, then calm again",
  hot: "one webhook with a 50 ms receiver takes 2,000 events/s",
  broadcast: "one event for 100,000 webhooks: each gets it once, the others do not feel it",
  registry: "a million webhooks: registering, restart, load that no cache likes and one that it does",
  retention: "30 min with pruning at work: latency, memory and disk stay flat",
  readers: "50 clients read lists and the stream: publishing is as fast as without",
  tail: "CPU an event with and without `hookd deliveries tail`, nine pairs in turn",
  "slow-disk": "a disk that takes 2 s to sync: refused with Retry-After, nothing lost, goes on by itself",
  "full-disk": "a disk that fills up, to the last block: refused with Retry-After, resumes (needs root)",
};

function scenarioHelp(): string {
  const lines = Object.entries(SCENARIO_SUMMARIES).map(([name, summary]) => `  ${name.padEnd(11)}${summary}`);
  return `\nScenarios (exit 1 when a bar is missed):\n${lines.join("\n")}\n`;
}

async function bench({ options, terminal }: Call<[], Options>): Promise<void> {
  const play = await playOf(options);
  const { exitCodeOf, printResult, saveResult, writeReport } = await import("./bench-output.ts");
  const { DataDirInUse } = await import("../bench/workspace.ts");
  const progress = createProgress(terminal);
  const signal = stopSignal();
  const onProgress = options.quiet === true ? () => {} : (text: string) => progress.update(text);
  let result: BenchResult;
  try {
    result = await play(benchOptions(options, terminal, signal, onProgress));
  } catch (error) {
    progress.end();
    if (signal.aborted) process.exit(STOPPED);
    if (!(error instanceof DataDirInUse)) throw error;
    throw new Failure(error.message, { hint: "name an empty directory, or one that is not there yet" });
  }
  progress.end();
  if (options.json === true) terminal.json(JSON.stringify(result));
  else printResult(terminal, result);
  if (options.save !== undefined) saveResult(options.save, result);
  if (options.report !== undefined) await writeReport(options.report, result);
  process.exitCode = exitCodeOf(result);
}

/** What runs: a load of one's own, or a scenario. Refuses what does not go together. */
async function playOf(options: Options): Promise<(given: BenchOptions) => Promise<BenchResult>> {
  const given = Object.keys(LOAD_DEFAULTS).filter((name) => options[name as keyof LoadOptions] !== undefined);
  if (options.scenario === undefined) {
    if (options.scale !== undefined) throw usage("--scale is for a --scenario");
    if (options.max === true && options.rate !== undefined)
      throw usage("--max finds the rate: leave out --rate");
    const load = { ...LOAD_DEFAULTS, ...options };
    const { failing, hanging, rate, batch, duration, warmUp } = load;
    if (failing + hanging > 1) throw usage("--failing and --hanging are more than all webhooks together");
    if (options.max === true && failing + hanging > 0)
      throw usage("--max looks for what is all delivered: leave out --failing and --hanging");
    for (const name of ["failing", "hanging"] as const) {
      if (load[name] > 0 && Math.round(load[name] * load.webhooks) === 0)
        throw usage(`--${name}: that share of ${load.webhooks} webhooks is none of them`);
    }
    if (load.origins > load.webhooks)
      throw usage(`${load.origins} origins need as many --webhooks: there are ${load.webhooks}`);
    if (batch > rate) throw usage(`a batch of ${batch} takes more than a second to fill at ${rate} events/s`);
    if ((rate * (duration + warmUp)) / 1_000 > PLANNED_MAX)
      throw usage(
        `that is more than ${PLANNED_MAX} events: the ledger has no room for them`,
        "choose a shorter --duration",
      );
    const { runBench } = await import("../bench/run.ts");
    return runBench;
  }
  const { SCENARIOS } = await import("../bench/scenarios.ts");
  const { playScenario } = await import("../bench/stage.ts");
  const scenario = SCENARIOS.find(({ name }) => name === options.scenario);
  if (scenario === undefined) {
    throw usage(
      `there is no scenario ${options.scenario}`,
      `known are ${Object.keys(SCENARIO_SUMMARIES).join(", ")}`,
    );
  }
  if (scenario.name === "max" && options.calibrate === 0)
    throw usage("the scenario max is judged against the bare loops: leave out --calibrate 0");
  const wrong = given.find((name) => !scenario.takes.some((taken) => taken === name));
  if (wrong !== undefined || options.max === true) {
    const option =
      wrong === undefined ? "--max" : `--${wrong.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}`;
    throw usage(`the scenario ${scenario.name} has a load of its own: leave out ${option}`);
  }
  return (benchOptions) => playScenario(scenario, benchOptions, options.scale ?? 1);
}

function benchOptions(
  options: Options,
  terminal: Terminal,
  signal: AbortSignal,
  onProgress: (text: string) => void,
): BenchOptions {
  const isMax = options.max === true;
  const load = { ...LOAD_DEFAULTS, ...(isMax ? MAX_DEFAULTS : {}), ...options };
  return {
    plan: {
      ratePerSecond: load.rate,
      durationMs: load.duration,
      warmUpMs: load.warmUp,
      webhooks: load.webhooks,
      origins: load.origins,
      users: load.users,
      payloadBytes: load.payload,
      batch: load.batch,
      connections: load.connections,
      latencyMs: load.latency,
      failingShare: load.failing,
      hangingShare: load.hanging,
    },
    rateGiven: options.rate ?? null,
    durationGivenMs: options.duration ?? null,
    isMax,
    drainMaxMs: load.drainMax,
    calibrateMs: options.calibrate ?? CALIBRATE_MS,
    dataDir: options.dataDir ?? null,
    program: { ...ownCommand(), env: withoutSettings(terminal.env) },
    hookd: VERSION,
    signal,
    onProgress,
    swallowedWebhook: options.plantLoss ?? null,
  };
}

/** Aborts with the first SIGINT or SIGTERM. The second ends the process, and with it what was started. */
function stopSignal(): AbortSignal {
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(STOPPED);
    stop.abort(new Failure("stopped"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return stop.signal;
}

function usage(message: string, hint: string | null = null): Failure {
  return new Failure(message, { hint, exitCode: 2 });
}

/** What is set here for a daemon of one's own must not change the one that is measured. */
function withoutSettings(env: Readonly<Record<string, string | undefined>>) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("HOOKD_")));
}

/** As a duration; a bare 0 is one too. */
function timeOption(text: string): number {
  return text === "0" ? 0 : durationOption(text);
}

function positiveDuration(text: string): number {
  const ms = durationOption(text);
  if (ms > 0) return ms;
  throw new InvalidArgumentError("Expected more than nothing, like 30s.");
}

/** Longer than hookd waits for an answer would be another thing: that is what --hanging is for. */
function latencyOption(text: string): number {
  const ms = timeOption(text);
  if (ms <= 14_000) return ms;
  throw new InvalidArgumentError("Expected 14s at most: hookd gives up after 15s. Or see --hanging.");
}

function scaleOption(text: string): number {
  const scale = /^\d{1,3}(\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (scale >= 0.001 && scale <= 1) return scale;
  throw new InvalidArgumentError("Expected a factor from 0.001 to 1, like 0.1.");
}

function payloadOption(text: string): number {
  const bytes = parseSize(text);
  // The shortest holds the event's number and its webhook's.
  if (bytes !== null && bytes >= 64 && bytes <= PAYLOAD_MAX) return bytes;
  throw new InvalidArgumentError("Expected a size from 64B to 256KiB, like 1KiB.");
}
