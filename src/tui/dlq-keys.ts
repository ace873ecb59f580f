import type { DeadGroupBody } from "../http-api.ts";
import type { Selection } from "./api.ts";
import { detailLines } from "./detail-lines.ts";
import {
  type DlqAction,
  type DlqState,
  dlqHeight,
  GROUPINGS,
  itemsOf,
  type Pending,
  selectionsOf,
  type Verb,
} from "./dlq-state.ts";
import { editFilter } from "./filter-keys.ts";
import type { Key } from "./keys.ts";
import type { Ending } from "./screen.ts";

/** What a key asks for: a change of the view, or something outside of it. */
export type DlqAsked =
  | DlqAction
  | { readonly kind: "read groups" }
  | { readonly kind: "read deliveries"; readonly group: DeadGroupBody }
  | { readonly kind: "count"; readonly verb: Verb; readonly selections: readonly Selection[] }
  | { readonly kind: "start"; readonly pending: Pending }
  | { readonly kind: "copy"; readonly id: string }
  | { readonly kind: "end"; readonly ending: Ending };

const TO_LIST: DlqAsked = { kind: "pane", pane: "list" };

export function dlqKey(state: DlqState, key: Key, now: number): readonly DlqAsked[] {
  if (key === "ctrl-c") return [{ kind: "end", ending: "interrupted" }];
  if (state.pane === "filter") return inFilter(state, key);
  if (state.pane === "confirm") return inConfirm(state, key);
  if (key === "q") return [{ kind: "end", ending: "quit" }];
  if (state.pane === "keys") return [TO_LIST];
  if (key === "?") return [{ kind: "pane", pane: "keys" }];
  return state.pane === "detail" ? inDetail(state, key, now) : inList(state, key);
}

function inList(state: DlqState, key: Key): readonly DlqAsked[] {
  const { items, at } = itemsOf(state);
  const item = items[at];
  switch (key) {
    case " ":
      return item === undefined ? [] : [{ kind: "mark", keys: [item.key] }, ...moved(state, "down")];
    case "a":
      return [{ kind: "mark", keys: items.map((one) => one.key) }];
    case "r":
    case "p":
      return asked(state, key === "r" ? "replay" : "purge", selectionsOf(state));
    case "g":
      return state.group === null ? nextGrouping(state) : [];
    case "/":
      return [{ kind: "pane", pane: "filter" }];
    case "enter":
      if (item?.group)
        return [
          { kind: "open", group: item.group },
          { kind: "read deliveries", group: item.group },
        ];
      return item?.delivery ? [{ kind: "inspect", id: item.delivery.id }] : [];
    case "c":
      return copied(item?.delivery?.id ?? item?.group?.webhook_id);
    case "escape":
      if (state.filter !== "") return [{ kind: "filter", filter: "" }];
      if (state.marks.size > 0) return [{ kind: "mark", keys: [...state.marks] }];
      return state.group === null ? [] : [{ kind: "close" }, { kind: "read groups" }];
    default:
      return moved(state, key);
  }
}

function inFilter(state: DlqState, key: Key): readonly DlqAsked[] {
  const edit = editFilter(state.filter, key);
  if (edit === null) return moved(state, key);
  return [{ kind: "filter", filter: edit.filter }, ...(edit.isOver ? [TO_LIST] : [])];
}

/** Only a y is a yes. */
function inConfirm({ pending }: DlqState, key: Key): readonly DlqAsked[] {
  return pending !== null && (key === "y" || key === "Y") ? [TO_LIST, { kind: "start", pending }] : [TO_LIST];
}

function inDetail(state: DlqState, key: Key, now: number): readonly DlqAsked[] {
  const { detail, size } = state;
  if (detail === null || key === "escape" || key === "enter" || key === "left") return [TO_LIST];
  if (key === "r" || key === "p")
    return asked(state, key === "r" ? "replay" : "purge", [{ ids: [detail.id] }]);
  if (key === "c") return copied(detail.id);
  const by = stepsOf(state, key);
  if (by === null) return [];
  const end = Math.max(0, detailLines(detail, size.columns, now).length - dlqHeight(state) - 1);
  return [{ kind: "scroll", by, end }];
}

/** One job at a time: what a second one covers depends on the first. */
function asked({ progress }: DlqState, verb: Verb, selections: readonly Selection[]): readonly DlqAsked[] {
  if (selections.length === 0) return [];
  if (progress !== null) return [{ kind: "notice", text: "Wait for the job that runs.", ink: "yellow" }];
  return [{ kind: "count", verb, selections }];
}

function copied(id: string | undefined): readonly DlqAsked[] {
  return id === undefined ? [] : [{ kind: "copy", id }];
}

function nextGrouping({ grouping }: DlqState): readonly DlqAsked[] {
  const next = GROUPINGS[(GROUPINGS.indexOf(grouping) + 1) % GROUPINGS.length] ?? grouping;
  return [{ kind: "grouping", grouping: next }, { kind: "read groups" }];
}

function moved(state: DlqState, key: Key): readonly DlqAsked[] {
  const { items, at } = itemsOf(state);
  const by = stepsOf(state, key);
  if (by === null) return [];
  return [{ kind: "select", at: Math.max(0, Math.min(items.length - 1, at + by)) }];
}

function stepsOf(state: DlqState, key: Key): number | null {
  const page = dlqHeight(state);
  const all = Number.MAX_SAFE_INTEGER;
  const steps: Readonly<Record<Key, number>> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    home: -all,
    end: all,
  };
  return steps[key] ?? null;
}
