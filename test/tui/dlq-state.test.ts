import { expect, test } from "vitest";
import { dlqKey } from "../../src/tui/dlq-keys.ts";
import { dlqLines } from "../../src/tui/dlq-lines.ts";
import { createDlqScreen } from "../../src/tui/dlq-screen.ts";
import { type DlqState, dlqReducer, FIRST_DLQ_STATE, selectionsOf } from "../../src/tui/dlq-state.ts";
import { textOf } from "../../src/tui/line.ts";
import { deliveryBody, NOW } from "../support/api-bodies.ts";
import { fakeApi } from "./fake-api.ts";

const GROUPS = [
  { webhook_id: "wh_a", reason: "exhausted", count: 1_200 },
  { webhook_id: "wh_b", reason: "permanent", count: 3 },
];

function pressed(state: DlqState, ...keys: string[]): DlqState {
  return keys.reduce((before, key) => {
    const changes = dlqKey(before, key, NOW).filter(
      ({ kind }) => !["read groups", "read deliveries"].includes(kind),
    );
    return changes.reduce(
      (now, change) => dlqReducer(now, change as Parameters<typeof dlqReducer>[1]),
      before,
    );
  }, state);
}

const groups = dlqReducer(FIRST_DLQ_STATE, { kind: "groups", groups: GROUPS });

test("what is chosen are the marked lines that show, or else the selected one", () => {
  expect(selectionsOf(groups)).toEqual([{ webhook_id: "wh_a", reason: "exhausted" }]);
  const marked = pressed(groups, "a");
  expect(selectionsOf(marked)).toHaveLength(2);
  expect(selectionsOf(pressed(marked, "a"))).toHaveLength(1);
  // What a filter hides is not deleted by somebody who does not see it.
  expect(selectionsOf(pressed(marked, "/", "w", "h", "_", "b", "enter"))).toEqual([
    { webhook_id: "wh_b", reason: "permanent" },
  ]);
});

test("deliveries are chosen by their ids, and those of a group that was left are not shown", () => {
  const open = pressed(groups, "enter");
  const deliveries = [deliveryBody({ id: "dlv_1" }), deliveryBody({ id: "dlv_2" })];
  const listed = dlqReducer(open, { kind: "deliveries", deliveries, isPartial: true });
  expect(selectionsOf(pressed(listed, " ", " "))).toEqual([{ ids: ["dlv_1", "dlv_2"] }]);
  expect(dlqLines(listed, "", NOW).map(textOf)[1]).toBe("of the newest 2: 503: 2");
  expect(dlqReducer(groups, { kind: "deliveries", deliveries, isPartial: false })).toBe(groups);
});

test("only a y starts what was asked for, and nothing is asked for while a job runs", () => {
  const pending = {
    verb: "purge",
    selections: [{ reason: "exhausted" }],
    count: 1_200,
    isExact: false,
  } as const;
  const asked = dlqReducer(groups, { kind: "pending", pending });
  expect(textOf(dlqLines(asked, "", NOW).at(-1)!)).toContain("Delete at least 1,200 deliveries for good?");
  for (const key of ["n", "enter", "escape", " ", "q"]) {
    expect(dlqKey(asked, key, NOW)).toEqual([{ kind: "pane", pane: "list" }]);
  }
  expect(dlqKey(asked, "y", NOW)).toContainEqual({ kind: "start", pending });
  const busy = dlqReducer(groups, { kind: "progress", text: "Deleting: 5 of 1,200" });
  expect(dlqKey(busy, "p", NOW)).toMatchObject([{ kind: "notice" }]);
});

test("a job's progress shows until it is done, then how many it was", async () => {
  const { api } = fakeApi();
  const done = [300, 900, 1_200];
  const started: unknown[] = [];
  const screen = createDlqScreen(
    {
      ...api,
      deadGroups: async () => GROUPS,
      countDead: async () => ({ count: 1_200, is_exact: true }),
      async startDead(verb, selection) {
        started.push([verb, selection]);
        return { job_id: "job_1" };
      },
      async job(id) {
        const [now = 1_200] = done.splice(0, 1);
        const status = now === 1_200 ? "done" : "running";
        return { id, kind: "replay", status, total: 1_200, done: now, created_at: "", completed_at: null };
      },
    },
    { copy: () => {} },
  );
  const seen = new Set<string>();
  const footer = () => textOf(screen.lines(NOW).at(-1)!);
  const until = (looks: RegExp) =>
    new Promise<void>((resolve) => {
      const look = () => {
        seen.add(footer());
        if (!looks.test(screen.lines(NOW).map(textOf).join("\n"))) return;
        unsubscribe();
        resolve();
      };
      const unsubscribe = screen.subscribe(look);
      look();
    });
  await until(/1,203 dead/);
  screen.press("r");
  await until(/Replay 1,200 deliveries\?/);
  screen.press("y");
  await until(/Replayed 1,200\./);
  expect([...seen]).toEqual(
    expect.arrayContaining([
      "Replaying: 300 of 1,200 (job_1)",
      "Replaying: 900 of 1,200 (job_1)",
      "Replaying: 1,200 of 1,200 (job_1)",
    ]),
  );
  expect(started).toEqual([["replay", { webhook_id: "wh_a", reason: "exhausted" }]]);
  screen.stop();
});
