import type { Answer, Behaviour } from "../support/scripted-sender.ts";
import { HANGS } from "../support/scripted-sender.ts";
import type { Dice } from "./dice.ts";

/** How a receiver is, until it changes. */
export interface Mood {
  readonly name: string;
  readonly behaviour: Behaviour;
}

type Maker = (dice: Dice, timeoutMs: number) => Behaviour;

/** Each with how often a receiver comes to be so. */
const MOODS: readonly (readonly [weight: number, choice: readonly [name: string, make: Maker]])[] = [
  [5, ["well", (dice) => ({ afterMs: 1 + dice.below(50) })]],
  [2, ["slow", (dice, timeoutMs) => ({ afterMs: 100 + dice.below(timeoutMs - 200) })]],
  [3, ["flaky", flaky]],
  [2, ["failing", (dice) => ({ status: 500, afterMs: dice.below(100) })]],
  [2, ["refusing", () => ({ error: "connect", afterMs: 1 })]],
  [2, ["hanging", () => HANGS]],
  [1, ["half gone", (dice) => () => (dice.chance(0.5) ? HANGS : { afterMs: 5 })]],
  [2, ["throttling", throttling]],
  [1, ["overwhelmed", overwhelmed]],
  [1, ["rejecting", (dice) => () => (dice.chance(0.5) ? { status: 404 } : { afterMs: 3 })]],
  [0.3, ["gone", () => ({ status: 410 })]],
  [0.3, ["blocked", () => ({ error: "blocked", afterMs: 0 })]],
  [1, ["at once", () => ({ afterMs: 0 })]],
];

export function moodOf(dice: Dice, timeoutMs: number): Mood {
  const [name, make] = dice.weighed(MOODS);
  return { name, behaviour: make(dice, timeoutMs) };
}

/** Each attempt anew. */
function flaky(dice: Dice, timeoutMs: number): Behaviour {
  const answers: readonly Answer[] = [
    {},
    { afterMs: 1 + dice.below(timeoutMs) },
    { status: 500 },
    { status: 502, afterMs: dice.below(500) },
    { error: "reset", afterMs: dice.below(500) },
    HANGS,
  ];
  return () => dice.pick(answers);
}

/** Refuses with a Retry-After: mostly short, sometimes longer than its lane is held for. */
function throttling(dice: Dice): Behaviour {
  const share = dice.random();
  return () => {
    if (dice.chance(share)) return { afterMs: 2 };
    const retryAfterMs = dice.chance(0.1) ? 600_000 : 1_000 * (1 + dice.below(30));
    return { status: dice.pick([429, 503]), retryAfterMs, afterMs: 1 };
  };
}

/** Answers well to begin with, and the slower the more it gets. */
function overwhelmed(dice: Dice): Behaviour {
  let load = 0;
  const step = 1 + dice.below(200);
  return () => {
    load = (load + 1) % 40;
    return { afterMs: load * step };
  };
}
