import { expect, test } from "vitest";
import { Problem } from "../../src/domain/problem.ts";
import { Readers } from "../../src/store/sqlite/readers.ts";
import { testClock } from "./world.ts";

test("while there is traffic, readers look one after the other, and those beyond a thousand are refused", async () => {
  const readers = new Readers(testClock(), () => true);
  const looked: number[] = [];
  const looks = Array.from({ length: 1_001 }, (_, index) =>
    readers
      .look(() => looked.push(index))
      .catch((error: unknown) => (error instanceof Problem ? error.code : error)),
  );
  expect(looked).toEqual([]);
  expect(await looks[1_000]).toBe("overloaded");
  await looks[2];
  expect(looked).toEqual([0, 1, 2]);
});

test("a look that fails fails for its reader alone, and without traffic nobody waits", async () => {
  let isBusy = true;
  const readers = new Readers(testClock(), () => isBusy);
  const failed = readers.look(() => {
    throw new Error("planted");
  });
  const next = readers.look(() => "seen");
  await expect(failed).rejects.toThrow("planted");
  expect(await next).toBe("seen");
  isBusy = false;
  let hasLooked = false;
  const quiet = readers.look(() => {
    hasLooked = true;
  });
  expect(hasLooked).toBe(true);
  await quiet;
});
