import type { SettledBody, StreamCountsBody } from "../http-api.ts";
import type { Detail } from "./detail.ts";
import { countsOf, type Gathered, NO_COUNTS, sumOf } from "./gather.ts";
import type { Ink, Size } from "./line.ts";
import type { Health } from "./metrics.ts";
import { NOTICE_TICKS, type Notice, olderNotice } from "./notice.ts";
import { FILTER_MAX, matcherOf } from "./words-filter.ts";

/** Rows that are kept, of about 1 KB each: what somebody may still scroll back to. */
export const ROWS_MAX = 2_000;

export interface Row {
  /** Counts up, over all rows there were. */
  readonly number: number;
  readonly settled: SettledBody;
  /** In lower case, for the filter. */
  readonly text: string;
}

export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "lost"; readonly why: string; readonly retryAt: number };

/**
 * What the live view shows:
 *
 *   live:   the newest rows, as they come; the selected row is the newest
 *   paused: the rows of the moment when it was paused; those that come are kept and counted, and shown when it goes on
 *
 * Moving the selection pauses: a row that somebody looks at does not move. On top of either: typing a filter, the
 * detail pane of a delivery, the keys.
 */
export interface TailState {
  readonly size: Size;
  /** Newest last, ROWS_MAX at most. */
  readonly rows: readonly Row[];
  readonly count: number;
  /** The rows that are shown while paused; null: live. */
  readonly paused: readonly Row[] | null;
  /** While paused: the number of the row that keys act on. */
  readonly selected: number;
  /** While paused: place of the first row that is shown. */
  readonly top: number;
  readonly filter: string;
  readonly pane: "rows" | "filter" | "detail" | "keys";
  readonly detail: Detail | null;
  /** Exact: of all attempts that the stream's filter let through. */
  readonly totals: StreamCountsBody;
  /** Rows that came after the last counts: the next ones have them. */
  readonly uncounted: StreamCountsBody;
  /** Attempts of them that have no row. */
  readonly skipped: number;
  readonly health: Health | null;
  readonly connection: Connection;
  readonly notice: Notice | null;
}

export type TailAction =
  | { readonly kind: "gathered"; readonly gathered: Gathered }
  | { readonly kind: "connection"; readonly connection: Connection }
  | { readonly kind: "health"; readonly health: Health | null }
  | { readonly kind: "second" }
  | { readonly kind: "size"; readonly size: Size }
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  | { readonly kind: "move"; readonly by: number | "first" }
  | { readonly kind: "filter"; readonly filter: string }
  | { readonly kind: "pane"; readonly pane: TailState["pane"] }
  | { readonly kind: "inspect"; readonly id: string }
  | { readonly kind: "detail"; readonly detail: Omit<Detail, "top"> }
  /** `end`: of the lines that the pane has, the last place that may be first. */
  | { readonly kind: "scroll"; readonly by: number; readonly end: number }
  | { readonly kind: "notice"; readonly text: string; readonly ink?: Ink };

export const FIRST_STATE: TailState = {
  size: { columns: 80, rows: 24 },
  rows: [],
  count: 0,
  paused: null,
  selected: 0,
  top: 0,
  filter: "",
  pane: "rows",
  detail: null,
  totals: NO_COUNTS,
  uncounted: NO_COUNTS,
  skipped: 0,
  health: null,
  connection: { kind: "connecting" },
  notice: null,
};

/** Lines of the list: all but header, titles and footer. */
export function listHeight({ size }: Pick<TailState, "size">): number {
  return Math.max(1, size.rows - 5);
}

/** Rows that pass the filter, of those that are shown now or of those that are paused. */
export function matching({
  rows,
  paused,
  filter,
}: Pick<TailState, "rows" | "paused" | "filter">): readonly Row[] {
  const shown = paused ?? rows;
  if (filter === "") return shown;
  const matches = matcherOf(filter);
  return shown.filter(({ text }) => matches(text));
}

/** Exact, and up to the newest row. */
export function totalsOf({ totals, uncounted }: Pick<TailState, "totals" | "uncounted">): StreamCountsBody {
  return sumOf(totals, uncounted);
}

/** The row that keys act on, and its place among the matching ones. */
export function selectedOf(state: TailState): { row: Row | null; at: number; rows: readonly Row[] } {
  const rows = matching(state);
  // Where the filter hides the selected row, the next older one takes its place.
  const at =
    state.paused === null
      ? rows.length - 1
      : Math.max(
          0,
          rows.findLastIndex(({ number }) => number <= state.selected),
        );
  return { row: rows[at] ?? null, at, rows };
}

export function tailReducer(state: TailState, action: TailAction): TailState {
  switch (action.kind) {
    case "gathered":
      return withGathered(state, action.gathered);
    case "connection":
      // What was not counted when the connection ended will not be.
      return { ...state, connection: action.connection, totals: totalsOf(state), uncounted: NO_COUNTS };
    case "health":
      return { ...state, health: action.health };
    case "second":
      return { ...state, notice: olderNotice(state.notice) };
    case "size":
      return inView({ ...state, size: action.size });
    case "pause":
      return inView(paused(state));
    case "resume":
      return { ...state, paused: null };
    case "move":
      return moved(state, action.by);
    case "filter":
      return inView({ ...state, filter: action.filter.slice(0, FILTER_MAX) });
    case "pane":
      return { ...state, pane: action.pane, notice: null };
    case "inspect": {
      const detail = { id: action.id, delivery: null, webhook: null, pause: null, error: null, top: 0 };
      return { ...inView(paused(state)), pane: "detail", detail };
    }
    case "detail":
      // An answer that comes after the pane went on to another delivery is of no use.
      if (state.detail?.id !== action.detail.id) return state;
      return { ...state, detail: { ...action.detail, top: state.detail.top } };
    case "scroll": {
      if (state.detail === null) return state;
      const top = Math.max(0, Math.min(action.end, state.detail.top + action.by));
      return { ...state, detail: { ...state.detail, top } };
    }
    case "notice":
      return { ...state, notice: { text: action.text, ink: action.ink, ticks: NOTICE_TICKS } };
  }
}

function withGathered(state: TailState, { rows, counts, uncountedFrom, skipped }: Gathered): TailState {
  const added = rows.map((settled, index) => ({
    number: state.count + index,
    settled,
    text: searchable(settled),
  }));
  const uncounted = countsOf(rows.slice(uncountedFrom));
  return {
    ...state,
    rows: [...state.rows, ...added].slice(-ROWS_MAX),
    count: state.count + rows.length,
    totals: counts === null ? state.totals : sumOf(state.totals, counts),
    uncounted: counts === null ? sumOf(state.uncounted, uncounted) : uncounted,
    skipped: state.skipped + skipped,
  };
}

function searchable(settled: SettledBody): string {
  const { attempt } = settled;
  return [
    settled.status,
    settled.reason,
    settled.event_id,
    settled.event_uid,
    settled.user_id,
    settled.webhook_id,
    settled.delivery_id,
    attempt.status_code,
    attempt.error,
    attempt.response_excerpt,
  ]
    .join(" ")
    .toLowerCase();
}

function paused(state: TailState): TailState {
  if (state.paused !== null) return state;
  const { row, at } = selectedOf(state);
  return { ...state, paused: state.rows, selected: row?.number ?? 0, top: at };
}

function moved(before: TailState, by: number | "first"): TailState {
  const state = paused(before);
  const { at, rows } = selectedOf(state);
  const to = by === "first" ? 0 : Math.max(0, Math.min(rows.length - 1, at + by));
  return inView({ ...state, selected: rows[to]?.number ?? state.selected });
}

/** With the first shown row moved as little as it takes to have the selected one in view, and the view full. */
function inView(state: TailState): TailState {
  if (state.paused === null) return state;
  const { at, rows } = selectedOf(state);
  const height = listHeight(state);
  const top = Math.min(at, Math.max(state.top, at - height + 1), Math.max(0, rows.length - height));
  return { ...state, top: Math.max(0, top) };
}
