import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { until } from "../support/world.ts";
import { commandIn, commandsOf, examplesIn, helpOf, pathOf } from "./examples.ts";
import { type ExamplesWorld, setup } from "./examples-world.ts";

/** Lines that are not run, with the reason. None is allowed here that no command shows. */
const NOT_RUN: Readonly<Record<string, string>> = {};

/**
 * What is put behind an example so that it stays small: free ports, and loads of a moment. Where an option is there
 * twice the last one counts.
 */
const BOUNDS: readonly (readonly [line: RegExp, more: string])[] = [
  [/^hookd listen/, "--port 0"],
  [/^hookd serve/, "--listen 127.0.0.1:0"],
  [/^hookd bench --rate/, "--rate 50 --duration 1s --warm-up 1s --calibrate 0 --webhooks 5 --origins 2"],
  [/^hookd bench --scenario/, "--scale 0.001 --calibrate 0"],
  [/^hookd bench --max/, "--duration 1s --calibrate 0 --webhooks 5"],
];

interface Lasting {
  readonly line: RegExp;
  readonly isReady: (output: string, world: ExamplesWorld) => boolean;
  readonly signal: NodeJS.Signals;
  readonly code: number;
}

/** Commands that go on until they are stopped: once they are at work they are, and have to end well. */
const LASTING: readonly Lasting[] = [
  {
    line: /^hookd serve/,
    isReady: (output) => output.includes("hookd listens on"),
    signal: "SIGTERM",
    code: 0,
  },
  {
    line: /^hookd listen.*--register/,
    isReady: (output) => output.includes("Registered wh_"),
    signal: "SIGINT",
    code: 130,
  },
  {
    line: /^hookd listen/,
    isReady: (output) => output.includes("Listening on"),
    signal: "SIGINT",
    code: 130,
  },
  {
    line: /^hookd deliveries tail/,
    isReady: (output) => output.includes("Watching attempts"),
    signal: "SIGINT",
    code: 130,
  },
  // A search for the limit, and a scenario, take minutes at full load. That they begin is all that can be asked here.
  { line: /^hookd bench --(?:max|scenario)/, isReady: isBenchRunning, signal: "SIGINT", code: 130 },
];

function isBenchRunning(_: string, { cwd }: ExamplesWorld): boolean {
  return readdirSync(cwd, { recursive: true, encoding: "utf8" })
    .filter((path) => path.startsWith("hookd-bench-") && path.endsWith(".log"))
    .some((path) => readFileSync(join(cwd, path), "utf8").includes("hookd is ready"));
}

const program = await createProgram([]);
const commands = commandsOf(program).map((command) => ({
  path: pathOf(command),
  examples: examplesIn(helpOf(command)),
}));

interface Run {
  readonly child: ChildProcess;
  readonly code: Promise<number | null>;
  output(): string;
}

function start(line: string, cwd: string, env: Record<string, string>): Run {
  const child = spawn("bash", ["-c", line], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
    });
  }
  const code = new Promise<number | null>((resolve) => child.once("close", (status) => resolve(status)));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await code;
  });
  return { child, code, output: () => output };
}

function bounded(line: string): string {
  const more = BOUNDS.filter(([match]) => match.test(line)).map(([, text]) => text);
  return [line, ...more].join(" ");
}

async function runExample(example: string, world: ExamplesWorld): Promise<void> {
  const command = commandIn(example, program);
  const line = await world.place(bounded(example), command);
  const [cwd, env] = [world.cwd, world.envOf(command)];
  const lasting = LASTING.find((one) => one.line.test(example));
  if (lasting === undefined) {
    const run = start(line, cwd, env);
    const code = await run.code;
    expect({ line, code, output: run.output() }).toMatchObject({ code: 0 });
    return;
  }
  // Not by way of the shell: the signal is for hookd.
  const run = start(`exec ${line}`, cwd, env);
  await until(
    `"${line}" is at work`,
    () => lasting.isReady(run.output(), world) || run.child.exitCode !== null,
  );
  expect({ line, code: run.child.exitCode, output: run.output() }).toMatchObject({ code: null });
  run.child.kill(lasting.signal);
  expect({ line, code: await run.code, output: run.output() }).toMatchObject({ code: lasting.code });
}

describe("the examples in the help", () => {
  // In the order in which they stand, in one world: whoever tries them does the same.
  it.each(commands)("of $path run as they stand there", { timeout: 60_000 }, async ({ examples }) => {
    const run = examples.filter((example) => NOT_RUN[example] === undefined);
    expect(run.length).toBeGreaterThan(0);
    const world = await setup(run.map((example) => commandIn(example, program)));
    for (const example of run) await runExample(example, world);
  });

  it("are left out only where they are shown, and a reason is given", () => {
    const shown = commands.flatMap(({ examples }) => examples);
    for (const [line, reason] of Object.entries(NOT_RUN)) {
      expect(shown).toContain(line);
      expect(reason).not.toBe("");
    }
    expect(shown.length).toBeGreaterThan(60);
  });
});
