import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import {
  durationOption,
  headerOption,
  listOption,
  metadataOption,
  nullIfDefault,
  orDefault,
  rateLimitOption,
  retryOption,
  shareOption,
  wholeNumber,
} from "../../src/cli/options.ts";
import { formatAgo, formatMs, plural } from "../../src/lib/format.ts";

describe("option values", () => {
  it("a retry schedule is a list of delays, or an exponential one", () => {
    expect(retryOption("1s,2s")).toEqual({ schedule: ["1s", "2s"] });
    expect(retryOption("base=1m,factor=2,max=1h,attempts=8")).toEqual({
      base: "1m",
      factor: 2,
      max: "1h",
      attempts: 8,
    });
    expect(retryOption("base=1m,attempts=8")).toEqual({ base: "1m", attempts: 8 });
  });

  it("others are what they say", () => {
    expect(durationOption("1.5s")).toBe(1500);
    expect(rateLimitOption("10")).toEqual({ per_second: 10 });
    expect(rateLimitOption("0.5:20")).toEqual({ per_second: 0.5, burst: 20 });
    expect(nullIfDefault(orDefault(durationOption)("default"))).toBeNull();
    expect(orDefault(durationOption)("1s")).toBe(1000);
    expect(headerOption("x-b: two: 2", { "x-a": "1" })).toEqual({ "x-a": "1", "x-b": "two: 2" });
    expect(metadataOption("team=a=b")).toEqual({ team: "a=b" });
    expect(Object.keys(metadataOption("__proto__=1"))).toEqual(["__proto__"]);
    expect(listOption("a, b", ["c"])).toEqual(["c", "a", "b"]);
    expect([shareOption("20%"), shareOption("100%"), shareOption("0.5")]).toEqual([0.2, 1, 0.5]);
    expect(wholeNumber(0, 5)("5")).toBe(5);
  });

  it.each([
    [
      "retry",
      retryOption,
      ["", "soon", "1s,,2s", "1s,60d", "base=1m", "base=1m,attempts=0", "base=1m,attempts=2,what=1"],
    ],
    ["duration", durationOption, ["", "15", "-1s", "1w"]],
    ["rate limit", rateLimitOption, ["", "0", "-1", "10:", "a:b"]],
    ["header", headerOption, ["", "novalue", ": x"]],
    ["metadata", metadataOption, ["", "novalue", "=x"]],
    ["list", listOption, ["", ",", " "]],
    ["share", shareOption, ["", "101%", "1.1", "-1%", "x"]],
    ["number", wholeNumber(1, 10), ["", "0", "11", "1.5", "1e1", "0x5", " 5"]],
  ])("a bad %s is refused", (_, read, texts) => {
    for (const text of texts) expect(() => read(text), text).toThrow(InvalidArgumentError);
  });
});

describe("formats", () => {
  it("for people", () => {
    expect([0.4, 999, 1500, 90_000].map(formatMs)).toEqual(["0 ms", "999 ms", "1.5 s", "1m"]);
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(formatAgo("2025-12-31T23:59:48Z", now)).toBe("12s ago");
    expect(formatAgo("2026-01-01T02:00:00Z", now)).toBe("in 2h");
    expect(formatAgo(null, now)).toBe("");
    expect(formatAgo("soon", now)).toBe("soon");
    expect([
      plural(1, "delivery", "deliveries"),
      plural(2, "delivery", "deliveries"),
      plural(2, "attempt"),
    ]).toEqual(["1 delivery", "2 deliveries", "2 attempts"]);
  });
});
