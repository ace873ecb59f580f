import type { AttemptBody, SettledBody } from "../http-api.ts";
import { formatMs, formatSpan } from "../lib/format.ts";
import { detailLines } from "./detail-lines.ts";
import { figure, healthLine } from "./health-line.ts";
import { oneLine } from "./inert.ts";
import { keyLines, TAIL_KEYS } from "./key-lines.ts";
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
import { listHeight, type Row, selectedOf, type TailState, totalsOf } from "./tail-state.ts";

interface Column {
  readonly title: string;
  readonly width: number;
  /** 1: shown always. */
  readonly rank: number;
  text(settled: SettledBody): string;
  readonly isRight?: boolean;
}

const COLUMNS: readonly Column[] = [
  { title: "TIME", width: 12, rank: 1, text: ({ attempt }) => clockOf(endOf(attempt), true) },
  { title: "OUTCOME", width: 8, rank: 1, text: ({ status }) => status },
  { title: "EVENT", width: 22, rank: 1, text: ({ event_id }) => event_id },
  { title: "ANSWER", width: 9, rank: 1, text: answerOf },
  { title: "TOOK", width: 7, rank: 2, text: ({ attempt }) => formatMs(attempt.duration_ms), isRight: true },
  { title: "TRY", width: 3, rank: 3, text: ({ attempt }) => String(attempt.number), isRight: true },
  { title: "NEXT", width: 11, rank: 4, text: nextOf },
  { title: "USER", width: 14, rank: 5, text: ({ user_id }) => user_id },
  { title: "WEBHOOK", width: 29, rank: 6, text: ({ webhook_id }) => webhook_id },
  { title: "DELIVERY", width: 30, rank: 7, text: ({ delivery_id }) => delivery_id },
];
/** Of the response, where there is room for it at the end. */
const EXCERPT_MIN = 16;
/** Of an excerpt as it is drawn: no line has more cells. */
const EXCERPT_MAX = 400;

export interface TailFrame {
  readonly server: string;
  /** What the stream itself is filtered by: `failed, webhook wh_...`; empty for nothing. */
  readonly scope: string;
  readonly hasBack: boolean;
}

/** The live view as lines: three of header, titles, rows, footer; or a pane in place of the rows. */
export function tailLines(state: TailState, frame: TailFrame, now: number): Line[] {
  const height = listHeight(state) + 1;
  const body =
    state.pane === "detail" && state.detail !== null
      ? detailLines(state.detail, state.size.columns, now).slice(state.detail.top)
      : state.pane === "keys"
        ? keyLines(TAIL_KEYS)
        : listLines(state);
  return framed(headerLines(state, frame, now), body, height, footerLine(state, frame));
}

function headerLines(state: TailState, { server, scope }: TailFrame, now: number): Line[] {
  const { columns } = state.size;
  const title: Line = [
    { text: "hookd tail", isBold: true },
    dim(`  ${server}${scope === "" ? "" : `  ${scope}`}`),
  ];
  return [
    justified(title, [connectionSpan(state, now)], columns),
    healthLine(state.health),
    countsLine(state),
  ];
}

function connectionSpan({ connection, paused, rows }: TailState, now: number): Span {
  if (connection.kind === "lost") {
    const wait = formatSpan(connection.retryAt - now + 999);
    return { text: `RECONNECTING in ${wait}: ${connection.why}`, ink: "red", isBold: true };
  }
  if (connection.kind === "connecting") return { text: "CONNECTING", ink: "yellow", isBold: true };
  if (paused === null) return { text: "LIVE", ink: "green", isBold: true };
  const newest = paused.at(-1)?.number ?? -1;
  const newer = Math.max(0, (rows.at(-1)?.number ?? -1) - newest);
  return { text: `PAUSED, ${newer.toLocaleString("en-US")} newer`, ink: "yellow", isBold: true };
}

function countsLine(state: TailState): Line {
  const { skipped, filter } = state;
  const totals = totalsOf(state);
  const spans: Span[] = [
    dim("since start:"),
    figure("attempts", totals.attempts),
    { ...figure("success", totals.success), ink: "green" },
    { ...figure("retrying", totals.retrying), ink: "yellow" },
    { ...figure("dead", totals.dead), ink: "red" },
    dim(`${skipped.toLocaleString("en-US")} without a row`),
  ];
  if (filter !== "") spans.push({ text: `filter: ${filter}`, ink: "cyan" });
  return spaced(spans);
}

function listLines(state: TailState): Line[] {
  const { size, paused, top } = state;
  const height = listHeight(state);
  const { rows, at } = selectedOf(state);
  const from = paused === null ? Math.max(0, rows.length - height) : top;
  const shown = rows.slice(from, from + height);
  const space = size.columns - 2;
  const columns = fittingColumns(COLUMNS, space);
  const used = columns.reduce((sum, { width }) => sum + width + 2, 0);
  const excerpt = space - used >= EXCERPT_MIN;
  const titles = columns.map((column) => dim(cell(column, column.title)));
  const first: Line = [{ text: "  " }, ...spaced(excerpt ? [...titles, dim("RESPONSE")] : titles)];
  if (shown.length === 0) return [first, [dim(`  ${emptyText(state)}`)]];
  return [
    first,
    ...shown.map((row, index) => rowLine(row, columns, excerpt, paused !== null && from + index === at)),
  ];
}

function rowLine(
  { settled }: Row,
  columns: readonly Column[],
  hasExcerpt: boolean,
  isSelected: boolean,
): Line {
  const spans = columns.map((column): Span => {
    const text = cell(column, column.text(settled));
    return column.title === "OUTCOME" || column.title === "ANSWER"
      ? { text, ink: outcomeInk(settled.status) }
      : { text };
  });
  const excerpt = settled.attempt.response_excerpt;
  if (hasExcerpt && excerpt !== null) spans.push(dim(oneLine(excerpt).slice(0, EXCERPT_MAX)));
  return listLine(spans, isSelected, outcomeInk(settled.status));
}

function emptyText({ filter, rows, paused, connection }: TailState): string {
  if (connection.kind === "connecting") return "";
  if (filter !== "" && (paused ?? rows).length > 0)
    return "No row matches the filter. / changes it, esc ends it.";
  return "No attempts yet. They show here as they settle.";
}

function footerLine({ pane, filter, notice }: TailState, { hasBack }: TailFrame): Line {
  if (pane === "filter") return filterLine(filter);
  if (notice !== null) return [{ text: notice.text, ink: notice.ink }];
  if (pane === "detail") return [dim("esc back  up/down scroll  r retry  c copy id  ? keys  q quit")];
  if (pane === "keys") return [dim("esc back  q quit")];
  const end = hasBack ? "esc back" : "q quit";
  return [dim(`space pause  up/down select  enter look  / filter  r retry  c copy id  ? keys  ${end}`)];
}

export function outcomeInk(status: string): Ink | undefined {
  if (status === "success") return "green";
  if (status === "retrying") return "yellow";
  return status === "dead" ? "red" : "cyan";
}

function answerOf({ attempt }: SettledBody): string {
  return String(attempt.status_code ?? attempt.error ?? "");
}

function nextOf({ next_retry_at, reason }: SettledBody): string {
  if (next_retry_at !== null) return `at ${clockOf(Date.parse(next_retry_at), false)}`;
  return reason ?? "";
}

/** When it settled, or a little before: rows come in that order. */
function endOf({ started_at, duration_ms }: AttemptBody): number {
  return Date.parse(started_at) + duration_ms;
}

/** Of the day, where the terminal is: what somebody compares with a clock on the wall. */
function clockOf(atMs: number, hasMs: boolean): string {
  const at = new Date(atMs);
  const parts = [at.getHours(), at.getMinutes(), at.getSeconds()];
  const text = parts.map((part) => String(part).padStart(2, "0")).join(":");
  return hasMs ? `${text}.${String(at.getMilliseconds()).padStart(3, "0")}` : text;
}
