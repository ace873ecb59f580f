import { expect, test } from "vitest";
import { openFilesMax } from "../../src/lib/open-files.ts";

test("the limit in force is read, and what is not limited or not told is no limit", () => {
  const lines = "Max processes             95000                95000                processes\n";
  const files = (soft: string) =>
    `${lines}Max open files            ${soft}                20000                files\n`;
  expect(openFilesMax(() => files("1024"))).toBe(1_024);
  expect(openFilesMax(() => files("unlimited"))).toBe(Number.POSITIVE_INFINITY);
  expect(openFilesMax(() => lines)).toBe(Number.POSITIVE_INFINITY);
  expect(
    openFilesMax(() => {
      throw new Error("ENOENT");
    }),
  ).toBe(Number.POSITIVE_INFINITY);
  expect(openFilesMax()).toBeGreaterThan(0);
});
