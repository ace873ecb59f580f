import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/lib/units.ts";

describe("durations", () => {
  it.each([
    ["500ms", 500],
    ["15s", 15_000],
    ["1.5h", 5_400_000],
    ["1.1s", 1100],
    ["24h", 86_400_000],
    ["3d", 259_200_000],
    ["5m", 300_000],
    ["0s", 0],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    "",
    "15",
    "s",
    "15 s",
    "-1s",
    "1.s",
    ".5s",
    "0.5ms",
    "1e3s",
    "15S",
    "15sec",
    "1h30m",
    "١s",
    "999999999999999d",
  ])("%j is none", (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it("print in the largest unit that is exact, and a day as 24h", () => {
    expect([0, 1, 1500, 1000, 90_000, 300_000, 86_400_000, 259_200_000].map(formatDuration)).toEqual([
      "0s",
      "1ms",
      "1500ms",
      "1s",
      "90s",
      "5m",
      "24h",
      "3d",
    ]);
  });

  it("are read as they were printed", () => {
    fc.assert(fc.property(fc.nat(1e12), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});

describe("sizes", () => {
  it.each([
    ["1024", 1024],
    ["512B", 512],
    ["256KiB", 262_144],
    ["8MiB", 8_388_608],
    ["1.5GiB", 1_610_612_736],
    ["0", 0],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(["", "1KB", "1kib", "8 MiB", "-1", "0.3B", "1e6", "0x10", "99999999TiB"])("%j is none", (text) => {
    expect(parseSize(text)).toBeNull();
  });

  it("are read as they were printed", () => {
    expect([0, 1000, 262_144, 8_388_608].map(formatSize)).toEqual(["0B", "1000B", "256KiB", "8MiB"]);
    fc.assert(fc.property(fc.nat(2 ** 31), (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
});
