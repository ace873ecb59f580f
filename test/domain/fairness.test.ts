import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairQueue } from "../../src/domain/fairness.ts";

function setup(quantum = 4, users: Record<string, string[]> = {}) {
  const queue = new FairQueue<string>(quantum);
  for (const [user, lanes] of Object.entries(users)) for (const lane of lanes) queue.add(user, lane);
  /** Serves one turn at the given cost and says whose it was. */
  const serve = (cost: number) => {
    const turn = queue.next();
    if (turn !== null) queue.charge(turn.user, cost);
    return turn === null ? null : `${turn.user}/${turn.lane}`;
  };
  return { queue, serve };
}

describe("a fair queue", () => {
  test("is empty without lanes", () => {
    const { queue } = setup();
    expect(queue.next()).toBe(null);
    expect(queue.size).toBe(0);
  });

  test("gives users turns, whatever the number of their lanes", () => {
    const { serve } = setup(4, { big: ["1", "2", "3"], small: ["9"] });
    const served = Array.from({ length: 6 }, () => serve(4));
    expect(served).toEqual(["big/1", "small/9", "big/2", "small/9", "big/3", "small/9"]);
  });

  test("goes through a user's lanes within one turn until its quantum is spent", () => {
    const { queue, serve } = setup(4, { a: ["1", "2"], b: ["3"] });
    expect(queue.next()).toEqual({ user: "a", lane: "1", quantum: 4 });
    queue.charge("a", 3);
    expect(queue.next()).toEqual({ user: "a", lane: "2", quantum: 1 });
    queue.charge("a", 1);
    expect(serve(4)).toBe("b/3");
  });

  test("makes an overdrawn user wait until its debt is paid", () => {
    const { serve } = setup(4, { a: ["1"], b: ["2"] });
    expect([serve(12), serve(4), serve(4), serve(4), serve(4)]).toEqual(["a/1", "b/2", "b/2", "b/2", "a/1"]);
  });

  test("does not forget a debt when the user's last lane goes and comes back", () => {
    const { queue, serve } = setup(4, { a: ["1"], b: ["2"] });
    expect(serve(12)).toBe("a/1");
    queue.remove("a", "1");
    expect(serve(4)).toBe("b/2");
    queue.add("a", "1");
    expect([serve(4), serve(4), serve(4)]).toEqual(["b/2", "b/2", "a/1"]);
  });

  test("adds a lane once, and removes it once", () => {
    const { queue } = setup(4, { a: ["1", "1"] });
    expect(queue.size).toBe(1);
    queue.remove("a", "1");
    queue.remove("a", "1");
    queue.remove("nobody", "1");
    expect(queue.size).toBe(0);
    expect(queue.next()).toBe(null);
  });

  test("lets nobody save up turns while idle or while leaving its quantum unspent", () => {
    const { queue, serve } = setup(4, { a: ["1"], b: ["2"] });
    for (let round = 0; round < 100; round += 1) {
      expect(queue.next()?.user).toBe("a");
      expect(serve(4)).toBe("b/2");
    }
    expect(queue.next()?.quantum).toBe(4);
  });

  test("moves on from a user that is neither charged nor removed", () => {
    const { queue } = setup(4, { a: ["1", "2"], b: ["3"] });
    const offered = Array.from({ length: 4 }, () => queue.next()?.lane);
    expect(offered).toEqual(["1", "3", "2", "3"]);
  });

  test("goes on with the same user when its lane is removed uncharged", () => {
    const { queue } = setup(4, { a: ["1", "2"], b: ["3"] });
    expect(queue.next()?.lane).toBe("1");
    queue.remove("a", "1");
    expect(queue.next()).toEqual({ user: "a", lane: "2", quantum: 4 });
  });

  test("refuses a quantum that would never serve anybody", () => {
    expect(() => new FairQueue(0)).toThrow("quantum");
    expect(() => new FairQueue(Number.NaN)).toThrow("quantum");
  });

  test("serves any two backlogged users alike, up to a quantum and the largest cost", () => {
    const costs = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 300 });
    const world = fc.tuple(
      fc.integer({ min: 4, max: 20 }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 6 }),
    );
    fc.assert(
      fc.property(world, costs, ([quantum, laneCounts], spent) => {
        const queue = new FairQueue<string>(quantum);
        const service = new Map<string, number>();
        for (const [user, count] of laneCounts.entries()) {
          service.set(`u${user}`, 0);
          for (let lane = 0; lane < count; lane += 1) queue.add(`u${user}`, `u${user}.${lane}`);
        }
        const largest = Math.max(...spent);
        for (const cost of spent) {
          const { user } = queue.next()!;
          queue.charge(user, cost);
          service.set(user, service.get(user)! + cost);
          const amounts = [...service.values()];
          expect(Math.max(...amounts) - Math.min(...amounts)).toBeLessThanOrEqual(quantum + largest);
        }
      }),
    );
  });

  test("keeps what was added and not removed, in each user's order, and serves every lane of it", () => {
    const command = fc.record({
      kind: fc.constantFrom("add", "add", "remove", "next", "charge"),
      user: fc.constantFrom("a", "b", "c"),
      lane: fc.constantFrom("1", "2", "3", "4"),
      cost: fc.integer({ min: 0, max: 30 }),
    });
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 100 }),
        fc.integer({ min: 1, max: 10 }),
        (commands, quantum) => {
          const { queue } = setup(quantum);
          const model = new Map<string, string[]>([
            ["a", []],
            ["b", []],
            ["c", []],
          ]);
          for (const { kind, user, lane, cost } of commands) {
            const lanes = model.get(user)!;
            if (kind === "add") {
              queue.add(user, lane);
              if (!lanes.includes(lane)) lanes.push(lane);
            } else if (kind === "remove") {
              queue.remove(user, lane);
              model.set(
                user,
                lanes.filter((other) => other !== lane),
              );
            } else if (kind === "charge") {
              queue.charge(user, cost);
            } else {
              const turn = queue.next();
              expect(turn === null).toBe([...model.values()].every((list) => list.length === 0));
              if (turn === null) continue;
              const list = model.get(turn.user)!;
              expect(turn.lane).toBe(list[0]);
              expect(turn.quantum >= 1 && turn.quantum <= quantum).toBe(true);
              list.push(list.shift()!);
            }
            expect(queue.size).toBe([...model.values()].flat().length);
          }
          const waiting = new Set(
            [...model].flatMap(([user, lanes]) => lanes.map((lane) => `${user}/${lane}`)),
          );
          for (let turns = 0; turns < 400 && waiting.size > 0; turns += 1) {
            const turn = queue.next()!;
            waiting.delete(`${turn.user}/${turn.lane}`);
            queue.charge(turn.user, 1);
          }
          expect([...waiting]).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
