import fc from "fast-check";
import { expect, test } from "vitest";
import { steadyClock } from "../../src/lib/steady-clock.ts";

function setup() {
  const time = { wall: 1_000_000, mono: 500 };
  const clock = steadyClock({ now: () => time.wall, mono: () => time.mono });
  const pass = (ms: number) => {
    time.wall += ms;
    time.mono += ms;
  };
  return { time, clock, pass };
}

test("it follows the wall clock, jumps forward included", () => {
  const { time, clock, pass } = setup();
  pass(1_234);
  expect(clock.now()).toBe(time.wall);
  time.wall += 86_400_000;
  expect(clock.now()).toBe(time.wall);
  expect(clock.mono()).toBe(time.mono);
});

test("set back it goes on at nine tenths of monotonic pace, until the two meet", () => {
  const { time, clock, pass } = setup();
  const before = clock.now();
  time.wall -= 10_000;
  pass(1_000);
  expect(clock.now()).toBe(before + 900);
  for (let step = 0; step < 110; step += 1) {
    pass(1_000);
    clock.now();
  }
  expect(clock.now()).toBe(time.wall);
});

test("small corrections are followed without going back", () => {
  const { time, clock, pass } = setup();
  const before = clock.now();
  time.wall -= 100;
  expect(clock.now()).toBe(before);
  pass(100);
  expect(clock.now()).toBe(before);
  pass(50);
  expect(clock.now()).toBe(before + 50);
});

test("it never goes back, never runs behind the wall clock, and never much faster than time without a jump", () => {
  const steps = fc.array(
    fc.record({ ms: fc.integer({ min: 0, max: 5_000 }), jump: fc.integer({ min: -100_000, max: 100_000 }) }),
    { maxLength: 100 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const { time, clock, pass } = setup();
      let last = clock.now();
      for (const { ms, jump } of all) {
        pass(ms);
        time.wall += jump;
        const now = clock.now();
        expect(Number.isInteger(now)).toBe(true);
        expect(now).toBeGreaterThanOrEqual(last);
        expect(now).toBeGreaterThanOrEqual(Math.floor(time.wall));
        if (now > time.wall) expect(now).toBeLessThanOrEqual(last + ms);
        last = now;
      }
    }),
  );
});
