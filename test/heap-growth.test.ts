import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { growHeapsWithRate } from "../src/heap-growth.ts";
import { FakeTime } from "./support/fake-clock.ts";

/** A daemon that takes in so many events a second, for so many seconds each. */
async function played(phases: readonly { readonly rate: number; readonly seconds: number }[]) {
  const time = new FakeTime();
  const flags: string[] = [];
  let accepted = 0;
  const end = growHeapsWithRate({
    accepted: () => accepted,
    clock: time,
    timers: time,
    setFlag: (flag) => flags.push(flag),
  });
  const told: string[][] = [];
  for (const { rate, seconds } of phases) {
    for (let second = 0; second < seconds; second += 1) {
      accepted += rate;
      await time.advance(1_000);
    }
    told.push(flags.splice(0));
  }
  return { time, flags, told, end, accept: (events: number) => (accepted += events) };
}

test("heaps grow further from 20,000 events a second on, and no longer below 15,000", async () => {
  const { told } = await played([
    { rate: 12_000, seconds: 10 },
    { rate: 27_000, seconds: 10 },
    { rate: 16_000, seconds: 10 },
    { rate: 12_000, seconds: 10 },
  ]);
  expect(told).toEqual([[], ["--heap-growing-percent=100"], [], ["--heap-growing-percent=50"]]);
});

test("below it is as bin/hookd starts", () => {
  const started = readFileSync(new URL("../bin/hookd", import.meta.url), "utf8");
  expect(started).toContain(" --heap-growing-percent=50 ");
});

test("V8 is told of a change only: one way and the other in turns", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(40_000), { maxLength: 20 }), async (rates) => {
      const { told } = await played(rates.map((rate) => ({ rate, seconds: 2 })));
      for (const [index, flag] of told.flat().entries()) {
        expect(flag).toBe(`--heap-growing-percent=${index % 2 === 0 ? 100 : 50}`);
      }
    }),
  );
});

test("nothing is looked at after the end", async () => {
  const { time, flags, end, accept } = await played([{ rate: 12_000, seconds: 3 }]);
  end();
  accept(1_000_000);
  await time.advance(10_000);
  expect(flags).toEqual([]);
});
