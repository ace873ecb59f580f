import type { WebhookBody } from "../http-api.ts";
import { formatMs, formatSpan } from "../lib/format.ts";
import { healthLine, numberText, shareInk, shareText } from "./health-line.ts";
import { keyLines, TOP_KEYS } from "./key-lines.ts";
import {
  cell,
  dim,
  filterLine,
  fittingColumns,
  framed,
  type Ink,
  justified,
  type Line,
  listLine,
  type Span,
  spaced,
} from "./line.ts";
import { orderedOf, type TopState, tableHeight } from "./top-state.ts";
import { LATE_MS, type Rates, type Sort, stateOf, waitingMs } from "./trouble.ts";

interface Row {
  readonly webhook: WebhookBody;
  readonly rates: Rates;
  readonly now: number;
}

export interface TopColumn {
  readonly title: string;
  readonly width: number;
  /** 1: shown always. */
  readonly rank: number;
  readonly sort?: Sort;
  text(row: Row): string;
  ink?(row: Row): Ink | undefined;
  readonly isRight?: boolean;
}

export const TOP_COLUMNS: readonly TopColumn[] = [
  { title: "EVENT", width: 20, rank: 1, text: ({ webhook }) => webhook.event_id },
  { title: "USER", width: 12, rank: 3, text: ({ webhook }) => webhook.user_id },
  { title: "STATE", width: 7, rank: 1, text: ({ webhook }) => stateOf(webhook), ink: stateInk },
  {
    title: "BACKLOG",
    width: 8,
    rank: 1,
    sort: "backlog",
    isRight: true,
    text: ({ webhook }) => numberText(webhook.live?.backlog ?? 0),
  },
  { title: "WAITING", width: 8, rank: 1, sort: "oldest", isRight: true, text: waitingText, ink: waitingInk },
  {
    title: "SUCCESS",
    width: 7,
    rank: 1,
    sort: "success",
    isRight: true,
    text: ({ webhook }) => shareText(webhook.live?.success_rate ?? null),
    ink: ({ webhook }) => shareInk(webhook.live?.success_rate ?? null),
  },
  { title: "P99", width: 7, rank: 2, sort: "p99", isRight: true, text: ({ webhook }) => p99Text(webhook) },
  {
    title: "RATE/S",
    width: 7,
    rank: 2,
    sort: "rate",
    isRight: true,
    text: ({ webhook, rates }) => numberText(rates.get(webhook.id) ?? 0),
  },
  {
    title: "FLYING",
    width: 6,
    rank: 5,
    isRight: true,
    text: ({ webhook }) => numberText(webhook.live?.in_flight ?? 0),
  },
  { title: "ERROR", width: 10, rank: 6, text: ({ webhook }) => webhook.live?.last_error?.error ?? "" },
  { title: "WEBHOOK", width: 29, rank: 4, text: ({ webhook }) => webhook.id },
];
/** Of the address, where there is room for it at the end. */
const URL_MIN = 16;

/** The webhooks as lines: two of header, titles, rows, footer. */
export function topLines(state: TopState, server: string, now: number): Line[] {
  const height = tableHeight(state) + 1;
  const body = state.pane === "keys" ? keyLines(TOP_KEYS) : tableLines(state, now);
  return framed([titleLine(state, server), healthLine(state.health)], body, height, footerLine(state));
}

function titleLine({ webhooks, isPartial, lost, filter, sort, size }: TopState, server: string): Line {
  const count = webhooks === null ? "" : `  ${webhooks.length.toLocaleString("en-US")} webhooks`;
  const more = isPartial ? " of more: narrow them with --user or --event" : "";
  const left: Line = [
    { text: "hookd top", isBold: true },
    dim(`  ${server}${count}${more}  by ${sort}`),
    ...(filter === "" ? [] : [{ text: `  filter: ${filter}`, ink: "cyan" as const }]),
  ];
  const right: Span =
    lost === null
      ? { text: "LIVE", ink: "green", isBold: true }
      : { text: `TRYING AGAIN: ${lost}`, ink: "red", isBold: true };
  return justified(left, [right], size.columns);
}

function tableLines(state: TopState, now: number): Line[] {
  const { size, rates, sort, webhooks: all } = state;
  const { webhooks, at } = orderedOf(state, now);
  const height = tableHeight(state);
  const space = size.columns - 2;
  const columns = fittingColumns(TOP_COLUMNS, space);
  const used = columns.reduce((sum, { width }) => sum + width + 2, 0);
  const hasUrl = space - used >= URL_MIN;
  const titles = columns.map((column): Span => {
    const text = cell(column, column.title);
    return column.sort === sort ? { text, isBold: true } : dim(text);
  });
  const first: Line = [{ text: "  " }, ...spaced(hasUrl ? [...titles, dim("URL")] : titles)];
  if (webhooks.length === 0) return [first, [dim(`  ${emptyText(all)}`)]];
  // The selected one is in view, and as many of the worst before it as fit.
  const from = Math.max(0, Math.min(at - height + 1, webhooks.length - height));
  return [
    first,
    ...webhooks
      .slice(from, from + height)
      .map((webhook, index) => rowLine({ webhook, rates, now }, columns, hasUrl, from + index === at)),
  ];
}

function rowLine(row: Row, columns: readonly TopColumn[], hasUrl: boolean, isSelected: boolean): Line {
  const spans = columns.map(
    (column): Span => ({
      text: cell(column, column.text(row)),
      ink: column.ink?.(row),
    }),
  );
  if (hasUrl) spans.push(dim(row.webhook.callback_url));
  return listLine(spans, isSelected, stateInk(row));
}

function emptyText(all: TopState["webhooks"]): string {
  if (all === null) return "Asking...";
  return all.length === 0
    ? "No webhooks. Add one with: hookd webhooks add"
    : "No webhook matches the filter. / changes it, esc ends it.";
}

function footerLine({ pane, filter, notice }: TopState): Line {
  if (pane === "filter") return filterLine(filter);
  if (notice !== null) return [{ text: notice.text, ink: notice.ink }];
  if (pane === "keys") return [dim("esc back  q quit")];
  return [dim("up/down select  enter watch it  t b o s l a sort  / filter  c copy id  ? keys  q quit")];
}

function stateInk({ webhook }: Row): Ink | undefined {
  const state = stateOf(webhook);
  if (state === "ok") return "green";
  return state === "paused" || state === "off" ? "yellow" : "red";
}

function waitingText({ webhook, now }: Row): string {
  const ms = waitingMs(webhook, now);
  if (ms === null) return "-";
  return ms < 0 ? `in ${formatSpan(-ms)}` : formatSpan(ms);
}

function waitingInk({ webhook, now }: Row): Ink | undefined {
  const ms = waitingMs(webhook, now) ?? 0;
  return ms > 60_000 ? "red" : ms > LATE_MS ? "yellow" : undefined;
}

function p99Text({ live }: WebhookBody): string {
  return live === undefined || live.p99_ms === null ? "-" : formatMs(live.p99_ms);
}
