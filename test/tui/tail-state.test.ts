import fc from "fast-check";
import { expect, test } from "vitest";
import type { SettledBody } from "../../src/http-api.ts";
import { NO_COUNTS } from "../../src/tui/gather.ts";
import {
  FIRST_STATE,
  listHeight,
  matching,
  ROWS_MAX,
  selectedOf,
  type TailAction,
  type TailState,
  tailReducer,
  totalsOf,
} from "../../src/tui/tail-state.ts";
import { settledBody } from "../support/api-bodies.ts";

function after(actions: readonly TailAction[], from: TailState = FIRST_STATE): TailState {
  return actions.reduce(tailReducer, from);
}

function came(rows: readonly SettledBody[], more: object = {}): TailAction {
  return { kind: "gathered", gathered: { rows, counts: null, uncountedFrom: 0, skipped: 0, ...more } };
}

function events(...names: string[]): readonly SettledBody[] {
  return names.map((event_id) => settledBody({ event_id }));
}

function shown(state: TailState): string[] {
  return matching(state).map(({ settled }) => settled.event_id);
}

test("as many rows are kept as there may be, the newest of them", () => {
  const state = after([
    came(Array.from({ length: ROWS_MAX }, () => settledBody())),
    came(events("a", "b")),
    came(Array.from({ length: 3 * ROWS_MAX }, (_, index) => settledBody({ event_id: `e${index}` }))),
  ]);
  expect(state.rows).toHaveLength(ROWS_MAX);
  expect(shown(state).at(-1)).toBe(`e${3 * ROWS_MAX - 1}`);
  expect(state.rows.at(-1)?.number).toBe(4 * ROWS_MAX + 1);
});

test("totals are the stream's exact counts, with the rows since, and rows are counted once", () => {
  const counts = { attempts: 100, success: 98, retrying: 2, dead: 0 };
  // One row before the counts, which have it, and one after them.
  const first = after([came(events("a", "b"), { counts, uncountedFrom: 1, skipped: 98 })]);
  expect(totalsOf(first)).toEqual({ attempts: 101, success: 98, retrying: 3, dead: 0 });
  const next = after([came([], { counts: { ...NO_COUNTS, attempts: 5, retrying: 5 } })], first);
  expect(totalsOf(next)).toEqual({ attempts: 105, success: 98, retrying: 7, dead: 0 });
  expect(next.skipped).toBe(98);
});

test("what was not counted when a connection ended stays counted", () => {
  const lost = { kind: "lost", why: "gone", retryAt: 0 } as const;
  const state = after([
    came(events("a")),
    { kind: "connection", connection: lost },
    { kind: "connection", connection: { kind: "live" } },
    came([], { counts: { ...NO_COUNTS, attempts: 1, success: 1 } }),
  ]);
  expect(totalsOf(state)).toEqual({ attempts: 2, success: 1, retrying: 1, dead: 0 });
});

test("paused, the rows stand still; going on shows those that came", () => {
  const paused = after([came(events("a", "b")), { kind: "pause" }, came(events("c"))]);
  expect(shown(paused)).toEqual(["a", "b"]);
  expect(shown(after([{ kind: "resume" }], paused))).toEqual(["a", "b", "c"]);
});

test("moving the selection pauses, and ends at the first and the last row", () => {
  const state = after([came(events("a", "b", "c"))]);
  const up = after([{ kind: "move", by: -1 }], state);
  expect(up.paused).not.toBeNull();
  expect(selectedOf(up).row?.settled.event_id).toBe("b");
  expect(selectedOf(after([{ kind: "move", by: -9 }], up)).at).toBe(0);
  expect(selectedOf(after([{ kind: "move", by: 9 }], up)).at).toBe(2);
  expect(selectedOf(after([{ kind: "move", by: "first" }], up)).at).toBe(0);
});

test("a filter finds all words anywhere in a row, in any case, and leaves out what is behind a !", () => {
  const rows = [
    settledBody({ event_id: "order.paid", user_id: "acme" }, { status_code: 503 }),
    settledBody({ event_id: "order.sent", user_id: "zeta" }, { status_code: null, error: "timeout" }),
    settledBody({ event_id: "user.created" }, { response_excerpt: "Out Of Order" }),
  ];
  const filtered = (filter: string) => shown(after([came(rows), { kind: "filter", filter }]));
  expect(filtered("ORDER")).toEqual(["order.paid", "order.sent", "user.created"]);
  expect(filtered("order 503")).toEqual(["order.paid", "user.created"]);
  expect(filtered("order !503")).toEqual(["order.sent"]);
  expect(filtered("timeout zeta")).toEqual(["order.sent"]);
  expect(filtered("  ! ")).toHaveLength(3);
});

test("where the filter hides the selected row, the next older one takes its place", () => {
  const state = after([
    came(events("first", "gone", "second", "gone")),
    { kind: "move", by: -1 },
    { kind: "filter", filter: "gone" },
  ]);
  expect(selectedOf(state).row?.number).toBe(1);
});

test("an answer for another delivery than the pane's changes nothing", () => {
  const open = after([came(events("a")), { kind: "inspect", id: "dlv_a" }, { kind: "inspect", id: "dlv_b" }]);
  const detail = { id: "dlv_a", delivery: null, webhook: null, pause: null, error: "late" };
  expect(after([{ kind: "detail", detail }], open)).toBe(open);
  expect(after([{ kind: "detail", detail: { ...detail, id: "dlv_b" } }], open).detail?.error).toBe("late");
});

test("whatever is pressed and comes, the selected row is in view and the view is as full as it can be", () => {
  const row = fc.constantFrom("a", "b").map((name) => settledBody({ event_id: name }));
  const action = fc.oneof<fc.Arbitrary<TailAction>[]>(
    fc.array(row, { maxLength: 30 }).map((rows) => came(rows)),
    fc.constantFrom<TailAction>({ kind: "pause" }, { kind: "resume" }, { kind: "move", by: "first" }),
    fc.integer({ min: -25, max: 25 }).map((by): TailAction => ({ kind: "move", by })),
    fc.constantFrom("", "a", "b").map((filter): TailAction => ({ kind: "filter", filter })),
    fc
      .integer({ min: 1, max: 30 })
      .map((rows): TailAction => ({ kind: "size", size: { columns: 80, rows } })),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      const state = after(actions);
      const { at, rows } = selectedOf(state);
      if (state.paused === null || rows.length === 0) return;
      const height = listHeight(state);
      expect(at).toBeGreaterThanOrEqual(state.top);
      expect(at).toBeLessThan(state.top + height);
      expect(state.top).toBeLessThanOrEqual(Math.max(0, rows.length - height));
    }),
  );
});
