import { describe, expect, it } from "vitest";
import { driftOf } from "../../src/bench/calibration.ts";
import { figuresOf } from "../../src/bench/figures.ts";
import { hostCpu, parseStat, sumOfCpu } from "../../src/bench/proc.ts";
import { faultsOf, type RunFigures } from "../../src/bench/result.ts";
import { parseMetrics } from "../../src/bench/sampler.ts";
import { SCENARIOS } from "../../src/bench/scenarios.ts";
import { SCENARIO_SUMMARIES } from "../../src/cli/bench.ts";
import { exitCodeOf, printResult } from "../../src/cli/bench-output.ts";
import { fakeTerminal } from "../cli/support.ts";
import { benchResult, ledgerFigures, runFigures } from "./results.ts";

function resultWith(ledger: Parameters<typeof ledgerFigures>[0]) {
  return benchResult({ runs: [runFigures({ ledger: ledgerFigures(ledger) })] });
}

describe("a result", () => {
  it("is good when nothing was lost, doubled or made up", () => {
    expect(exitCodeOf(benchResult())).toBe(0);
  });

  it.each(["lost", "duplicated", "unexpected", "wrong"] as const)("is bad when one event was %s", (what) => {
    const result = resultWith({ [what]: 1 });
    expect(exitCodeOf(result)).toBe(1);
    expect(result.runs.flatMap(faultsOf)).toEqual([`run: 1 event ${what}`]);
  });

  it("tells how often the disk stood still, where it did", () => {
    const linesOf = (diskStalls: RunFigures["diskStalls"]) =>
      figuresOf(runFigures({ diskStalls })).filter(({ name }) => name === "disk stood still");
    expect(linesOf({ count: 2, seconds: 0.31, longestMs: 250 })).toMatchObject([
      { text: expect.stringContaining("2 times, 0.31 s in all, 250 ms at most") },
    ]);
    expect([...linesOf({ count: 0, seconds: 0, longestMs: 0 }), ...linesOf(null)]).toEqual([]);
  });

  it("excuses second copies after a crash, of what may be in flight, and nothing else", () => {
    expect(exitCodeOf(resultWith({ duplicated: 3, crashes: 1 }))).toBe(0);
    expect(exitCodeOf(resultWith({ duplicated: 4_097, crashes: 1 }))).toBe(1);
    expect(exitCodeOf(resultWith({ duplicated: 4_097, crashes: 2 }))).toBe(0);
    expect(exitCodeOf(resultWith({ lost: 1, crashes: 1 }))).toBe(1);
  });

  it("is bad when a bar was missed, or verdicts come from a noisy machine", () => {
    const verdict = { name: "p99", figure: "60 ms", bar: "at most 50 ms", isMet: false };
    expect(exitCodeOf(benchResult({ verdicts: [verdict] }))).toBe(1);
    expect(exitCodeOf(benchResult({ verdicts: [{ ...verdict, isMet: true }] }))).toBe(0);
    expect(exitCodeOf(benchResult({ verdicts: [{ ...verdict, isMet: true }], isVoid: true }))).toBe(1);
    expect(exitCodeOf(benchResult({ isVoid: true }))).toBe(0);
  });

  it("of a run that was stopped says so, and blames nobody", () => {
    expect(exitCodeOf({ ...resultWith({ lost: 9 }), isPartial: true })).toBe(130);
  });

  it("is printed with its ledger, its verdicts and what speaks against it", () => {
    const { terminal, out } = fakeTerminal();
    const verdicts = [{ name: "p99 accept", figure: "60 ms", bar: "at most 50 ms", isMet: false }];
    printResult(terminal, { ...resultWith({ lost: 2 }), verdicts, isVoid: true, scale: 0.5 });
    const text = out.join("\n");
    expect(text).toContain("lost 2, duplicated 0, unexpected 0, wrong 0");
    expect(text).toContain("p99 accept\t60 ms\tat most 50 ms\tmissed");
    expect(text).toContain("void: noisy machine");
    expect(text).toContain("scaled to 0.5");
    expect(text).toContain("run: 2 events lost");
  });

  it("has a scenario for each that the help tells of", () => {
    expect(SCENARIOS.map(({ name }) => name)).toEqual(Object.keys(SCENARIO_SUMMARIES));
  });
});

describe("what the system tells", () => {
  it("reads CPU time behind a thread's name, whatever is in the name", () => {
    const fields = `S 1 1 1 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 11 0`;
    expect(parseStat(`42 (a) b (c)) ${fields}`)).toEqual({ name: "a) b (c)", seconds: 3 });
  });

  it("reads metrics with and without labels", () => {
    const metrics = parseMetrics('# HELP a b\na 1\nb{reason="x y"} 2.5\n');
    expect([...metrics]).toEqual([
      ["a", 1],
      ['b{reason="x y"}', 2.5],
    ]);
  });

  it("tells how far the machine moved between two calibrations, in either direction", () => {
    const at = (postsPerSecond: number) => ({
      ...(runFigures().calibration?.mean ?? expect.fail("the fixture has one")),
      postsPerSecond,
    });
    expect(driftOf(at(100), at(80))).toBeCloseTo(0.2);
    expect(driftOf(at(80), at(100))).toBeCloseTo(0.2);
  });
});

it("what the host gave to others is read from its place behind the interrupts", () => {
  const stat = "cpu  100 0 50 800 10 5 15 20 7 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
  expect(hostCpu(stat)).toEqual({ seconds: 10, stolenSeconds: 0.2 });
});

it("adds up the CPU of a daemon that was killed and of the one after it, thread by thread", () => {
  const killed = { seconds: 5, threads: { director: 2, MainThread: 3 } };
  const next = { seconds: 2, threads: { director: 1.5, checkpoint: 0.5 } };
  expect(sumOfCpu(killed, next)).toEqual({
    seconds: 7,
    threads: { director: 3.5, MainThread: 3, checkpoint: 0.5 },
  });
});
