import type { DeadGroupBody, DeliveryBody } from "../http-api.ts";
import type { Selection } from "./api.ts";
import type { Detail } from "./detail.ts";
import type { Ink, Size } from "./line.ts";
import { NOTICE_TICKS, type Notice, olderNotice } from "./notice.ts";
import { FILTER_MAX, matcherOf } from "./words-filter.ts";

/** How the dead are counted together, as the API names it. */
export const GROUPINGS = ["webhook,reason", "webhook", "reason", "event", "user"] as const;
export type Grouping = (typeof GROUPINGS)[number];
export type Verb = "replay" | "purge";

/** What was asked for and waits for a yes. */
export interface Pending {
  readonly verb: Verb;
  readonly selections: readonly Selection[];
  readonly count: number;
  readonly isExact: boolean;
}

/** A line of either list. */
export interface Item {
  readonly key: string;
  /** In lower case, for the filter. */
  readonly text: string;
  readonly group: DeadGroupBody | null;
  readonly delivery: DeliveryBody | null;
}

/**
 * The dead: groups with their counts, and below one of them its deliveries, newest first:
 *
 *   groups --enter--> deliveries --enter--> detail          esc leads back
 *   either list: marks, then replay or purge --> confirm --y--> progress --> the list, read again
 */
export interface DlqState {
  readonly size: Size;
  readonly grouping: Grouping;
  /** Null: not known yet. */
  readonly groups: readonly DeadGroupBody[] | null;
  /** What webhooks are called, by id, as far as it is known. */
  readonly names: ReadonlyMap<string, string>;
  /** The group whose deliveries are listed; null: the groups are. */
  readonly group: DeadGroupBody | null;
  readonly deliveries: readonly DeliveryBody[] | null;
  /** There are more deliveries than are listed. */
  readonly isPartial: boolean;
  /** Place of the line that keys act on. */
  readonly selected: number;
  /** Keys of the lines that were marked. */
  readonly marks: ReadonlySet<string>;
  readonly filter: string;
  readonly pane: "list" | "filter" | "detail" | "confirm" | "keys";
  readonly detail: Detail | null;
  readonly pending: Pending | null;
  /** How far the job is; null: none runs. */
  readonly progress: string | null;
  readonly notice: Notice | null;
}

export type DlqAction =
  | { readonly kind: "groups"; readonly groups: readonly DeadGroupBody[] }
  | { readonly kind: "name"; readonly id: string; readonly name: string }
  | { readonly kind: "grouping"; readonly grouping: Grouping }
  | { readonly kind: "open"; readonly group: DeadGroupBody }
  | { readonly kind: "close" }
  | { readonly kind: "deliveries"; readonly deliveries: readonly DeliveryBody[]; readonly isPartial: boolean }
  | { readonly kind: "select"; readonly at: number }
  | { readonly kind: "mark"; readonly keys: readonly string[] }
  | { readonly kind: "filter"; readonly filter: string }
  | { readonly kind: "pane"; readonly pane: DlqState["pane"] }
  | { readonly kind: "inspect"; readonly id: string }
  | { readonly kind: "detail"; readonly detail: Omit<Detail, "top"> }
  | { readonly kind: "scroll"; readonly by: number; readonly end: number }
  | { readonly kind: "pending"; readonly pending: Pending }
  | { readonly kind: "progress"; readonly text: string | null }
  | { readonly kind: "second" }
  | { readonly kind: "size"; readonly size: Size }
  | { readonly kind: "notice"; readonly text: string; readonly ink?: Ink };

export const FIRST_DLQ_STATE: DlqState = {
  size: { columns: 80, rows: 24 },
  grouping: "webhook,reason",
  groups: null,
  names: new Map(),
  group: null,
  deliveries: null,
  isPartial: false,
  selected: 0,
  marks: new Set(),
  filter: "",
  pane: "list",
  detail: null,
  pending: null,
  progress: null,
  notice: null,
};

/** What a list begins with, whichever it is. */
const FRESH = { selected: 0, marks: new Set<string>(), filter: "" } as const;

export function dlqReducer(state: DlqState, action: DlqAction): DlqState {
  switch (action.kind) {
    case "groups":
      return { ...state, groups: action.groups };
    case "name":
      return { ...state, names: new Map([...state.names, [action.id, action.name]]) };
    case "grouping":
      return { ...state, ...FRESH, grouping: action.grouping, groups: null };
    case "open":
      return { ...state, ...FRESH, group: action.group, deliveries: null, isPartial: false };
    case "close":
      return { ...state, ...FRESH, group: null, deliveries: null };
    case "deliveries":
      // Of a group that was left in the meantime they are of no use.
      if (state.group === null) return state;
      return { ...state, deliveries: action.deliveries, isPartial: action.isPartial };
    case "select":
      return { ...state, selected: action.at };
    case "mark":
      return { ...state, marks: toggled(state.marks, action.keys) };
    case "filter":
      return { ...state, filter: action.filter.slice(0, FILTER_MAX), selected: 0 };
    case "pane":
      return { ...state, pane: action.pane, notice: null, pending: null };
    case "inspect": {
      const detail = { id: action.id, delivery: null, webhook: null, pause: null, error: null, top: 0 };
      return { ...state, pane: "detail", detail };
    }
    case "detail":
      if (state.detail?.id !== action.detail.id) return state;
      return { ...state, detail: { ...action.detail, top: state.detail.top } };
    case "scroll": {
      if (state.detail === null) return state;
      const top = Math.max(0, Math.min(action.end, state.detail.top + action.by));
      return { ...state, detail: { ...state.detail, top } };
    }
    case "pending":
      return { ...state, pane: "confirm", pending: action.pending, notice: null };
    case "progress":
      return { ...state, progress: action.text };
    case "second":
      return { ...state, notice: olderNotice(state.notice) };
    case "size":
      return { ...state, size: action.size };
    case "notice":
      return { ...state, notice: { text: action.text, ink: action.ink, ticks: NOTICE_TICKS } };
  }
}

/** Marks those that are not, or, where all are, none of them. */
function toggled(marks: ReadonlySet<string>, keys: readonly string[]): ReadonlySet<string> {
  const next = new Set(marks);
  const areAll = keys.every((key) => marks.has(key));
  for (const key of keys) {
    if (areAll) next.delete(key);
    else next.add(key);
  }
  return next;
}

/** Lines of the list: all but header, titles and footer. */
export function dlqHeight({ size }: Pick<DlqState, "size">): number {
  return Math.max(1, size.rows - 4);
}

/** The lines that pass the filter, and the selected one's place. */
export function itemsOf(state: DlqState): { items: readonly Item[]; at: number } {
  const { group, groups, deliveries, names, filter, selected } = state;
  const all =
    group === null
      ? (groups ?? []).map((one) => groupItem(one, names))
      : (deliveries ?? []).map((one) => deliveryItem(one));
  const matches = matcherOf(filter);
  const items = all.filter(({ text }) => matches(text));
  return { items, at: Math.max(0, Math.min(items.length - 1, selected)) };
}

/** What the marked lines, or else the selected one, stand for: groups as filters, deliveries by their ids. */
export function selectionsOf(state: DlqState): readonly Selection[] {
  const { items, at } = itemsOf(state);
  const marked = items.filter(({ key }) => state.marks.has(key));
  const chosen = marked.length > 0 ? marked : items.slice(at, at + 1);
  const ids = chosen.flatMap(({ delivery }) => (delivery === null ? [] : [delivery.id]));
  if (ids.length > 0) return [{ ids }];
  return chosen.flatMap(({ group }) => (group === null ? [] : [filterOf(group)]));
}

/** The group as the API's filter. */
export function filterOf({ count: _, ...filter }: DeadGroupBody): Selection {
  return filter;
}

function groupItem(group: DeadGroupBody, names: ReadonlyMap<string, string>): Item {
  const { webhook_id = "", reason = "", event_id = "", user_id = "" } = group;
  const key = [webhook_id, reason, event_id, user_id].join(" ");
  return { key, text: `${key} ${names.get(webhook_id) ?? ""}`.toLowerCase(), group, delivery: null };
}

function deliveryItem(delivery: DeliveryBody): Item {
  const { id, event_id, event_uid, user_id, webhook_id, reason, response_code, error } = delivery;
  const text = [id, event_id, event_uid, user_id, webhook_id, reason, response_code, error].join(" ");
  return { key: id, text: text.toLowerCase(), group: null, delivery };
}
