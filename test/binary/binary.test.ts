import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import type { BenchResult } from "../../src/bench/result.ts";
import { VERSION } from "../../src/version.ts";
import { barePlace, builtBinary, type Place, type Running, serving } from "../support/binary.ts";
import { ROOT } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { openTerminal } from "../support/terminal.ts";
import { until } from "../support/world.ts";
import { startCollector } from "../traces/collector.ts";

const BENCH = ["bench", "--rate", "200", "--duration", "5s", "--warm-up", "1s", "--calibrate", "1s"];
/** Loaded before hookd: says what Node was given, and replaces old objects at the end. */
const PROBE = `
console.log("execArgv", process.execArgv.join(" "));
process.on("exit", () => {
  const living = Array.from({ length: 20_000 }, (_, index) => new Array(100).fill(index));
  for (let index = 0; index < 900_000; index += 1) living[index % living.length] = new Array(100).fill(index);
});
`;

// The first of them builds the binary; each starts processes, on a machine that may have other work.
describe("one binary alone in an empty directory, with no environment, no home and no name", {
  timeout: 180_000,
}, () => {
  it("serves, registers, publishes, delivers, shows it in a pipe and a terminal, replays, and measures itself", async () => {
    const place = await barePlace();
    const daemon = place.run(["serve", "--dev", "--listen", "127.0.0.1:0"]);
    const server = await serving(daemon);
    const listener = place.run(["listen", "--port", "0", "--json"]);
    const url = await until("it listens", () => /Listening on (http:\S+)/.exec(listener.stderr())?.[1]);
    const hookd = async (...args: string[]) => {
      const { code, stdout, stderr } = await place.run([...args, "--server", server]).ended;
      expect({ args, code, stderr }).toMatchObject({ code: 0 });
      return stdout;
    };
    const tail = place.run(["deliveries", "tail", "--server", server]);
    await until("tail watches", () => tail.stderr().includes("Watching attempts"));
    const screen = openTerminal(place.command(["deliveries", "tail", "--server", server]));
    await screen.waitFor(/No attempts yet/);
    await hookd("webhooks", "add", "--event", "user.created", "--url", url);
    expect(await hookd("events", "send", "user.created", '{"id": 1.0}', "--wait")).toContain(
      "delivered, 200",
    );
    await hookd("deliveries", "replay", "--event", "user.created", "--yes");
    const bodies = () => linesOf(listener).map((line) => (JSON.parse(line) as { body: string }).body);
    await until("it was delivered twice", () => bodies().length >= 2);
    expect(bodies()).toEqual(['{"id": 1.0}', '{"id": 1.0}']);
    await until("tail has both attempts", () => linesOf(tail).length >= 2);
    for (const [index, line] of linesOf(tail).entries()) {
      expect(line).toMatch(new RegExp(`\tsuccess\tuser\\.created\t.*\tattempt ${index + 1}\t200\t`));
    }
    await screen.waitFor(/attempts 2 {2}success 2 [\s\S]*success +user\.created +200/);
    screen.keys("q");
    await screen.waitFor(/^before\nexit: 0\n/);
    daemon.process.kill("SIGTERM");
    expect(await daemon.ended).toMatchObject({ code: 0 });
    expect(readdirSync(place.directory)).toEqual(["hookd-data"]);
    await measures(place);
  });

  it("sends spans to a collector, with all that it takes inside", async () => {
    const collector = await startCollector();
    const place = await barePlace();
    writeFileSync(join(place.directory, "traced.yaml"), `trace: {endpoint: "${collector.url}", sample: 1}\n`);
    const daemon = place.run(["serve", "--dev", "--listen", "127.0.0.1:0", "--config", "traced.yaml"]);
    const server = await serving(daemon);
    const client = ["--server", server];
    const { url } = await startReceiver();
    await place.run(["webhooks", "add", "--event", "user.created", "--url", url, ...client]).ended;
    await place.run(["events", "send", "user.created", "{}", ...client]).ended;
    await collector.waitFor(2);
    expect(collector.spans.map(({ name }) => name).sort()).toEqual(["accept", "attempt"]);
    expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(1);
    daemon.process.kill("SIGTERM");
    expect(await daemon.ended).toMatchObject({ code: 0 });
  });

  it.each([
    [["--version"], VERSION],
    [["help"], "Webhook delivery that you run yourself"],
    [["help", "bench"], "hookd bench --max"],
    [["config", "print"], "listen:"],
  ] as const)("answers %j", async (args, text) => {
    const { code, stdout, stderr } = await (await barePlace()).run(args).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(text);
  });

  it("gives V8 the settings that bin/hookd gives, and leaves NODE_OPTIONS to other programs", async () => {
    const place = await barePlace();
    writeFileSync(join(place.directory, "probe.cjs"), PROBE);
    const probed = `--node-options=--require ./probe.cjs --trace-gc --trace-parallel-scavenge --no-incremental-marking`;
    const { stdout } = await place.run([probed, "--version"], { NODE_OPTIONS: "--no-such-option" }).ended;
    expect(stdout).toContain("execArgv --max-semi-space-size=8 --v8-pool-size=1 ");
    // What is looked at by each collection is set by the program, first of all: how often the collector then runs, it decides.
    const flags = /^exec "\$node" (--.+?) "\$root/m.exec(readFileSync(join(ROOT, "bin/hookd"), "utf8"))?.[1];
    const set = (flags ?? "").split(" ").filter((flag) => !/^--(max-semi-space|v8-pool)-size=/.test(flag));
    expect(set).toContain("--heap-growing-percent=50");
    const program = readFileSync(await builtBinary());
    for (const flag of set) expect(program.includes(`setFlagsFromString("${flag}")`)).toBe(true);
    // One line a scavenge, as one thread does it.
    const scavenges = stdout.match(/ Scavenge /g)?.length ?? 0;
    expect(stdout.match(/ scavenge\[/g)?.length).toBe(scavenges);
    expect(scavenges).toBeGreaterThan(0);
  });

  it("holds no path of the machine that it was built on", async () => {
    const bytes = readFileSync(await builtBinary());
    expect(bytes.includes(join(ROOT, "src"))).toBe(false);
    expect(bytes.includes(join(ROOT, "node_modules"))).toBe(false);
    expect(bytes.includes(inject("binaryDirectory"))).toBe(false);
  });
});

/** Five seconds of a bench, with a report that needs nothing else. */
async function measures(place: Place): Promise<void> {
  const more = ["--webhooks", "10", "--quiet", "--json", "--report", "page.html"];
  const { code, stdout, stderr } = await place.run([...BENCH, ...more]).ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [run] = (JSON.parse(stdout) as BenchResult).runs;
  expect(run?.ledger).toMatchObject({ accepted: 1_200, delivered: 1_200, lost: 0, wrong: 0, unknown: 0 });
  expect(statSync(join(place.directory, "page.html")).size).toBeGreaterThan(500_000);
}

/** Those that are whole. */
function linesOf(running: Running): string[] {
  return running.stdout().split("\n").slice(0, -1);
}
