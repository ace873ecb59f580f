import { describe, expect, it } from "vitest";
import { chartsOf } from "../../src/bench/charts.ts";
import { reportPage } from "../../src/bench/report.ts";
import type { BenchResult } from "../../src/bench/result.ts";
import { benchResult, runFigures } from "./results.ts";

/** The page without the drawing library, which is half a megabyte of other people's text. */
function markupOf(result: BenchResult): string {
  return reportPage(result).split("<script>")[0] ?? "";
}

describe("the report", () => {
  it("shows figures, machine and verdicts, and a chart of each kind for each run", () => {
    const verdicts = [{ name: "p99 accept", figure: "12 ms", bar: "at most 50 ms", isMet: true }];
    const markup = markupOf(benchResult({ runs: [runFigures(), runFigures({ title: "again" })], verdicts }));
    expect(markup).toContain("<h1>hookd bench: steady</h1>");
    expect(markup).toContain("4 cores (A CPU)");
    expect(markup).toContain("<td>at most 50 ms</td>");
    expect(markup).toContain("<h2>again</h2>");
    expect(markup.match(/<div class="chart">/g)).toHaveLength(8);
  });

  it("needs nothing from anywhere: the drawing library is in it", () => {
    const page = reportPage(benchResult());
    expect(page.length).toBeGreaterThan(500_000);
    expect(page.includes("registerPainter")).toBe(true);
    expect(/<script[^>]* src=/.test(page)).toBe(false);
    expect(markupOf(benchResult())).not.toMatch(/<(link|img|iframe)|src=|href=|url\(|@import/);
    // What a parser would take for the end of the library before it ends.
    expect(page.match(/<\/script/g)).toHaveLength(3);
  });

  it("takes no text for markup, in tables or in the data of the charts", () => {
    const evil = `</script><img src=x onerror="alert('1')">&`;
    const markup = markupOf(
      benchResult({
        name: evil,
        notes: [evil],
        runs: [runFigures({ title: evil })],
        verdicts: [{ name: evil, figure: evil, bar: evil, isMet: false }],
      }),
    );
    expect(markup).not.toContain("<img");
    expect(markup).toContain("&lt;/script&gt;&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;");
    expect(markup.match(/<\/script>/g)).toHaveLength(1);
  });

  it("says what is wrong with a result before it shows it", () => {
    const markup = markupOf(benchResult({ isVoid: true, isPartial: true, scale: 0.1 }));
    expect(markup.indexOf("Void")).toBeLessThan(markup.indexOf("<table>"));
    expect(markup).toContain("Stopped before its end.");
    expect(markup).toContain("Scaled to 0.1");
  });

  it("leaves out of a logarithmic axis what has no logarithm", () => {
    const [, latency] = chartsOf(runFigures());
    expect(JSON.stringify(latency?.option.series)).toContain('"data":[null,null]');
  });
});
