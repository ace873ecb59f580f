import { describe, expect, it } from "vitest";
import { fullTables, picture, replaceBetween, summaryTable, unfitness } from "../../scripts/bench-docs.ts";
import { benchResult, runFigures } from "./results.ts";

const verdicts = [
  { name: "p99", figure: "12 ms", bar: "at most 50 ms", isMet: true },
  { name: "a|b", figure: "<1>", bar: "0", isMet: false },
];

describe("the documents", () => {
  it("have their figures between the marks, and nothing else of them changes", () => {
    const text = "before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n";
    const once = replaceBetween(text, "new");
    expect(once).toBe("before\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nafter\n");
    expect(replaceBetween(once, "new")).toBe(once);
    expect(() => replaceBetween("no marks", "new")).toThrow("no marks");
  });

  it("have a line for each run, with how the bars were met", () => {
    const table = summaryTable([benchResult({ verdicts, runs: [runFigures(), runFigures({ title: "b" })] })]);
    expect(table).toContain("| steady | run | 100/s | 99/s | 12 ms | 12 ms | 210 MB | 1 of 2 |");
    expect(table).toContain("| steady | b | 100/s | 99/s | 12 ms | 12 ms | 210 MB |  |");
  });

  it("have every figure and every verdict, with nothing that breaks a table", () => {
    const text = fullTables([benchResult({ verdicts })]);
    expect(text).toContain("| p99 | 12 ms | at most 50 ms | met |");
    expect(text).toContain("| a\\|b | &lt;1> | 0 | missed |");
    expect(text).toContain("| ledger | lost 0, duplicated 0");
  });

  it("leave out what is no measurement", () => {
    expect(unfitness(benchResult())).toBe(null);
    expect(unfitness(benchResult({ isVoid: true }))).toContain("void");
    expect(unfitness(benchResult({ isPartial: true }))).toContain("stopped");
    expect(unfitness(benchResult({ scale: 0.1 }))).toContain("scaled");
    expect(unfitness(benchResult({ isOwnLoad: true, verdicts }))).toContain("another load");
    expect(unfitness(benchResult({ isOwnLoad: true, verdicts: [] }))).toBe(null);
  });

  it("have a picture that is drawn without a browser", () => {
    const svg = picture(runFigures());
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain("Throughput, events/s");
  });
});
