import { editFilter } from "./filter-keys.ts";
import type { Key } from "./keys.ts";
import type { Ending } from "./screen.ts";
import { orderedOf, type TopAction, type TopState, tableHeight } from "./top-state.ts";
import type { Sort } from "./trouble.ts";

/** What a key asks for: a change of the view, or something outside of it. */
export type TopAsked =
  | TopAction
  | { readonly kind: "watch"; readonly id: string }
  | { readonly kind: "copy"; readonly id: string }
  | { readonly kind: "end"; readonly ending: Ending };

const SORT_KEYS: Readonly<Record<Key, Sort>> = {
  t: "trouble",
  b: "backlog",
  o: "oldest",
  s: "success",
  l: "p99",
  a: "rate",
};
const TO_ROWS: TopAsked = { kind: "pane", pane: "rows" };

export function topKey(state: TopState, key: Key, now: number): readonly TopAsked[] {
  if (key === "ctrl-c") return [{ kind: "end", ending: "interrupted" }];
  if (state.pane === "filter") return inFilter(state, key, now);
  if (key === "q") return [{ kind: "end", ending: "quit" }];
  if (state.pane === "keys") return [TO_ROWS];
  const sort = SORT_KEYS[key];
  // Who asks for another order wants to see what is worst by it.
  if (sort !== undefined)
    return [
      { kind: "sort", sort },
      { kind: "select", id: null },
    ];
  const { webhooks, at } = orderedOf(state, now);
  const id = webhooks[at]?.id;
  switch (key) {
    case "?":
      return [{ kind: "pane", pane: "keys" }];
    case "/":
      return [{ kind: "pane", pane: "filter" }];
    case "escape":
      return state.filter === "" ? [] : [{ kind: "filter", filter: "" }];
    case "enter":
      return id === undefined
        ? []
        : [
            { kind: "select", id },
            { kind: "watch", id },
          ];
    case "c":
      return id === undefined ? [] : [{ kind: "copy", id }];
    default:
      return moved(state, key, now);
  }
}

function inFilter(state: TopState, key: Key, now: number): readonly TopAsked[] {
  const edit = editFilter(state.filter, key);
  if (edit === null) return moved(state, key, now);
  return [{ kind: "filter", filter: edit.filter }, ...(edit.isOver ? [TO_ROWS] : [])];
}

function moved(state: TopState, key: Key, now: number): readonly TopAsked[] {
  const page = tableHeight(state);
  const all = Number.MAX_SAFE_INTEGER;
  const moves: Readonly<Record<Key, number>> = {
    up: -1,
    k: -1,
    down: 1,
    j: 1,
    pageup: -page,
    pagedown: page,
    home: -all,
    g: -all,
    end: all,
    G: all,
  };
  const by = moves[key];
  if (by === undefined) return [];
  const { webhooks, at } = orderedOf(state, now);
  const to = Math.max(0, Math.min(webhooks.length - 1, at + by));
  // On the first one the selection is on whichever is worst, and stays there.
  return [{ kind: "select", id: to === 0 ? null : (webhooks[to]?.id ?? null) }];
}
