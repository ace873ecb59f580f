import { detailLines } from "./detail-lines.ts";
import { editFilter } from "./filter-keys.ts";
import type { Key } from "./keys.ts";
import type { Ending } from "./screen.ts";
import { listHeight, selectedOf, type TailAction, type TailState } from "./tail-state.ts";

/** What a key asks for: a change of the view, or something outside of it. */
export type Asked =
  | TailAction
  | { readonly kind: "retry"; readonly id: string }
  | { readonly kind: "copy"; readonly id: string }
  | { readonly kind: "end"; readonly ending: Ending };

const TO_ROWS: Asked = { kind: "pane", pane: "rows" };

/** What a key means in the live view, by the pane that it is pressed in. */
export function tailKey(state: TailState, key: Key): readonly Asked[] {
  if (key === "ctrl-c") return [{ kind: "end", ending: "interrupted" }];
  if (state.pane === "filter") return inFilter(state, key);
  if (key === "q") return [{ kind: "end", ending: "quit" }];
  if (state.pane === "keys") return [TO_ROWS];
  if (key === "?") return [{ kind: "pane", pane: "keys" }];
  return state.pane === "detail" ? inDetail(state, key) : inRows(state, key);
}

function inRows(state: TailState, key: Key): readonly Asked[] {
  const by = movesOf(state, key);
  if (by !== null) return [{ kind: "move", by }];
  switch (key) {
    case " ":
      return [{ kind: state.paused === null ? "pause" : "resume" }];
    case "end":
    case "G":
      return [{ kind: "resume" }];
    case "/":
      return [{ kind: "pane", pane: "filter" }];
    case "escape":
      if (state.filter !== "") return [{ kind: "filter", filter: "" }];
      return state.paused === null ? [{ kind: "end", ending: "back" }] : [{ kind: "resume" }];
    default:
      return onDelivery(selectedOf(state).row?.settled.delivery_id, key);
  }
}

function inFilter(state: TailState, key: Key): readonly Asked[] {
  const edit = editFilter(state.filter, key);
  if (edit === null) {
    const by = movesOf(state, key);
    return by === null ? [] : [{ kind: "move", by }];
  }
  return [{ kind: "filter", filter: edit.filter }, ...(edit.isOver ? [TO_ROWS] : [])];
}

function inDetail(state: TailState, key: Key): readonly Asked[] {
  const { detail, size } = state;
  if (detail === null || key === "escape" || key === "enter" || key === "left") return [TO_ROWS];
  const by = movesOf(state, key);
  if (by === null) return onDelivery(detail.id, key);
  const lines = detailLines(detail, size.columns, Date.now()).length;
  const end = Math.max(0, lines - listHeight(state) - 1);
  return [{ kind: "scroll", by: by === "first" ? -lines : by, end }];
}

function onDelivery(id: string | undefined, key: Key): readonly Asked[] {
  if (id === undefined) return [];
  if (key === "r") return [{ kind: "retry", id }];
  if (key === "c") return [{ kind: "copy", id }];
  return key === "enter" ? [{ kind: "inspect", id }] : [];
}

function movesOf(state: TailState, key: Key): number | "first" | null {
  const page = listHeight(state);
  const moves: Readonly<Record<Key, number | "first">> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    home: "first",
    g: "first",
  };
  return moves[key] ?? null;
}
