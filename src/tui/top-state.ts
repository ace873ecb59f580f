import type { WebhookBody } from "../http-api.ts";
import type { Ink, Size } from "./line.ts";
import type { Health } from "./metrics.ts";
import { NOTICE_TICKS, type Notice, olderNotice } from "./notice.ts";
import { type Rates, type Sort, sortedBy, stateOf } from "./trouble.ts";
import { FILTER_MAX, matcherOf } from "./words-filter.ts";

/** The webhooks, worst first. The selection stays with its webhook wherever that moves. */
export interface TopState {
  readonly size: Size;
  /** Null: not known yet. */
  readonly webhooks: readonly WebhookBody[] | null;
  /** There are more webhooks than are looked at. */
  readonly isPartial: boolean;
  readonly rates: Rates;
  readonly sort: Sort;
  readonly filter: string;
  readonly pane: "rows" | "filter" | "keys";
  /** The id of the webhook that keys act on; null: whichever is first. */
  readonly selected: string | null;
  readonly health: Health | null;
  /** Why the daemon cannot be asked now; null: it can. */
  readonly lost: string | null;
  readonly notice: Notice | null;
}

export type TopAction =
  | { readonly kind: "webhooks"; readonly webhooks: readonly WebhookBody[]; readonly isPartial: boolean }
  | { readonly kind: "rates"; readonly rates: Rates }
  | { readonly kind: "lost"; readonly why: string }
  | { readonly kind: "health"; readonly health: Health | null }
  | { readonly kind: "second" }
  | { readonly kind: "size"; readonly size: Size }
  | { readonly kind: "sort"; readonly sort: Sort }
  | { readonly kind: "select"; readonly id: string | null }
  | { readonly kind: "filter"; readonly filter: string }
  | { readonly kind: "pane"; readonly pane: TopState["pane"] }
  | { readonly kind: "notice"; readonly text: string; readonly ink?: Ink };

export const FIRST_TOP_STATE: TopState = {
  size: { columns: 80, rows: 24 },
  webhooks: null,
  isPartial: false,
  rates: new Map(),
  sort: "trouble",
  filter: "",
  pane: "rows",
  selected: null,
  health: null,
  lost: null,
  notice: null,
};

export function topReducer(state: TopState, action: TopAction): TopState {
  switch (action.kind) {
    case "webhooks":
      return { ...state, webhooks: action.webhooks, isPartial: action.isPartial, lost: null };
    case "rates":
      return { ...state, rates: action.rates };
    case "lost":
      return { ...state, lost: action.why };
    case "health":
      return { ...state, health: action.health };
    case "second":
      return { ...state, notice: olderNotice(state.notice) };
    case "size":
      return { ...state, size: action.size };
    case "sort":
      return { ...state, sort: action.sort };
    case "select":
      return { ...state, selected: action.id };
    case "filter":
      return { ...state, filter: action.filter.slice(0, FILTER_MAX) };
    case "pane":
      return { ...state, pane: action.pane, notice: null };
    case "notice":
      return { ...state, notice: { text: action.text, ink: action.ink, ticks: NOTICE_TICKS } };
  }
}

/** Lines of the table: all but header, titles and footer. */
export function tableHeight({ size }: Pick<TopState, "size">): number {
  return Math.max(1, size.rows - 4);
}

/** Those that pass the filter, sorted, and the place of the selected one among them. */
export function orderedOf(state: TopState, now: number): { webhooks: readonly WebhookBody[]; at: number } {
  const matches = matcherOf(state.filter);
  const all = (state.webhooks ?? []).filter((webhook) => matches(searchable(webhook)));
  const webhooks = sortedBy(all, state.sort, state.rates, now);
  return {
    webhooks,
    at: Math.max(
      0,
      webhooks.findIndex(({ id }) => id === state.selected),
    ),
  };
}

function searchable(webhook: WebhookBody): string {
  const { id, user_id, event_id, callback_url, description, live } = webhook;
  return [id, user_id, event_id, callback_url, description, stateOf(webhook), live?.last_error?.error]
    .join(" ")
    .toLowerCase();
}
