import { expect, test } from "vitest";
import { Pacer } from "../../src/lib/pacer.ts";

/** A clock that stands, and timers that fire when told. */
function world() {
  const clock = { at: 0, now: () => clock.at, mono: () => clock.at };
  const soon: (() => void)[] = [];
  const later: { readonly ms: number; readonly run: () => void }[] = [];
  const timers = {
    soon: (run: () => void) => void soon.push(run),
    after: (ms: number, run: () => void) => {
      later.push({ ms, run });
      return () => {};
    },
  };
  let runs = 0;
  const work = () => {
    runs += 1;
  };
  const pacer = new Pacer(work, 10, clock, timers);
  return { clock, soon, later, pacer, runs: () => runs };
}

test("the first request runs at the end of the turn, those that follow when the pause is over, once for all", () => {
  const { clock, soon, later, pacer, runs } = world();
  pacer.ask();
  pacer.ask();
  expect(soon).toHaveLength(1);
  soon[0]?.();
  expect(runs()).toBe(1);
  clock.at = 4;
  pacer.ask();
  pacer.ask();
  expect(later.map(({ ms }) => ms)).toEqual([6]);
  later[0]?.run();
  expect(runs()).toBe(2);
});

test("a hurry runs at once what was asked for, and what had been planned for it then does nothing", () => {
  const { soon, pacer, runs } = world();
  pacer.hurry();
  expect(runs()).toBe(0);
  pacer.ask();
  pacer.hurry();
  expect(runs()).toBe(1);
  soon[0]?.();
  expect(runs()).toBe(1);
});

test("what is asked for after a hurry runs with what had been planned, at the latest", () => {
  const { soon, later, pacer, runs } = world();
  pacer.ask();
  pacer.hurry();
  pacer.ask();
  expect(later.map(({ ms }) => ms)).toEqual([10]);
  soon[0]?.();
  expect(runs()).toBe(2);
  later[0]?.run();
  expect(runs()).toBe(2);
});
