import type { DeadGroupBody, DeliveryBody } from "../http-api.ts";
import { formatAgo } from "../lib/format.ts";
import { detailLines } from "./detail-lines.ts";
import { type DlqState, dlqHeight, type Item, itemsOf } from "./dlq-state.ts";
import { numberText } from "./health-line.ts";
import { DLQ_KEYS, keyLines } from "./key-lines.ts";
import {
  dim,
  EMPTY,
  filterLine,
  framed,
  justified,
  type Line,
  padLeft,
  padRight,
  type Span,
  spaced,
  textOf,
} from "./line.ts";

const COUNT_WIDTH = 11;
const ID_WIDTH = 30;

/** The dead as lines: two of header, titles, rows, footer; or a pane in place of the rows. */
export function dlqLines(state: DlqState, server: string, now: number): Line[] {
  const height = dlqHeight(state) + 1;
  const body =
    state.pane === "detail" && state.detail !== null
      ? detailLines(state.detail, state.size.columns, now).slice(state.detail.top)
      : state.pane === "keys"
        ? keyLines(DLQ_KEYS)
        : listLines(state, now);
  return framed([titleLine(state, server), sumLine(state)], body, height, footerLine(state));
}

function titleLine({ group, grouping, filter, marks, size }: DlqState, server: string): Line {
  const where = group === null ? `by ${grouping}` : groupText(group);
  const left: Line = [
    { text: "hookd dlq", isBold: true },
    dim(`  ${server}  ${where}`),
    ...(filter === "" ? [] : [{ text: `  filter: ${filter}`, ink: "cyan" as const }]),
  ];
  const marked: Line = marks.size === 0 ? [] : [{ text: `${marks.size} marked`, ink: "cyan", isBold: true }];
  return justified(left, marked, size.columns);
}

/** How many there are; of listed deliveries, by their answers. */
function sumLine({ group, groups, deliveries, isPartial }: DlqState): Line {
  if (group === null) {
    const count = (groups ?? []).reduce((sum, one) => sum + one.count, 0);
    return groups === null
      ? EMPTY
      : [{ text: `${numberText(count)} dead`, ink: count > 0 ? "red" : "green" }];
  }
  const answers = new Map<string, number>();
  for (const delivery of deliveries ?? []) {
    answers.set(answerOf(delivery), (answers.get(answerOf(delivery)) ?? 0) + 1);
  }
  const sorted = [...answers].sort(([, a], [, b]) => b - a).map(([answer, count]) => `${answer}: ${count}`);
  const newest = isPartial ? `of the newest ${deliveries?.length}: ` : "";
  return [{ text: newest + sorted.join("  ") }];
}

function listLines(state: DlqState, now: number): Line[] {
  const { items, at } = itemsOf(state);
  const height = dlqHeight(state);
  const first = titlesOf(state);
  if (items.length === 0) return [first, [dim(`  ${emptyText(state)}`)]];
  const from = Math.max(0, Math.min(at - Math.floor(height / 2), items.length - height));
  return [
    first,
    ...items.slice(from, from + height).map((item, index) => itemLine(state, item, from + index === at, now)),
  ];
}

function titlesOf({ group, grouping }: DlqState): Line {
  if (group === null) return [dim(`    ${padLeft("COUNT", COUNT_WIDTH)}  ${grouping.toUpperCase()}`)];
  const titles = [
    padRight("DELIVERY", ID_WIDTH),
    padRight("ANSWER", 9),
    padRight("TRIES", 5),
    padRight("DIED", 8),
    "EVENT",
  ];
  return [dim(`    ${titles.join("  ")}`)];
}

function itemLine(state: DlqState, { key, group, delivery }: Item, isSelected: boolean, now: number): Line {
  const mark = `${isSelected ? ">" : " "} ${state.marks.has(key) ? "*" : " "} `;
  const cells =
    group !== null ? groupCells(group, state.names) : delivery !== null ? deliveryCells(delivery, now) : [];
  const line: Line = [{ text: mark, ink: "cyan" }, ...spaced(cells)];
  return isSelected ? [{ text: textOf(line), isInverse: true }] : line;
}

function groupCells(group: DeadGroupBody, names: DlqState["names"]): Span[] {
  const name = group.webhook_id === undefined ? undefined : names.get(group.webhook_id);
  return [
    { text: padLeft(numberText(group.count), COUNT_WIDTH), ink: "red" },
    { text: groupText(group) },
    ...(name === undefined ? [] : [dim(name)]),
  ];
}

function deliveryCells(delivery: DeliveryBody, now: number): Span[] {
  return [
    { text: padRight(delivery.id, ID_WIDTH) },
    { text: padRight(answerOf(delivery), 9), ink: "red" },
    { text: padLeft(String(delivery.attempt_count), 5) },
    { text: padRight(formatAgo(delivery.completed_at, now), 8) },
    { text: `${delivery.event_id}  ${delivery.user_id}` },
  ];
}

function groupText({ webhook_id, reason, event_id, user_id }: DeadGroupBody): string {
  const parts = [
    webhook_id,
    reason === undefined ? undefined : padRight(reason, 9),
    event_id,
    user_id === undefined ? undefined : `user ${user_id}`,
  ];
  return parts.filter((part) => part !== undefined).join("  ");
}

function answerOf({ response_code, error }: DeliveryBody): string {
  return String(response_code ?? error ?? "-");
}

function emptyText({ group, groups, deliveries, filter }: DlqState): string {
  if ((group === null ? groups : deliveries) === null) return "Asking...";
  return filter === "" ? "Nothing is dead." : "Nothing matches the filter. / changes it, esc ends it.";
}

function footerLine({ pane, filter, notice, pending, progress, group }: DlqState): Line {
  if (pane === "filter") return filterLine(filter);
  if (pane === "confirm" && pending !== null) {
    const { verb, count, isExact } = pending;
    const many = `${isExact ? "" : "at least "}${numberText(count)} ${count === 1 ? "delivery" : "deliveries"}`;
    const question = verb === "replay" ? `Replay ${many}?` : `Delete ${many} for good?`;
    return [
      {
        text: `${question} y: yes, any other key: no`,
        ink: verb === "purge" ? "red" : "yellow",
        isBold: true,
      },
    ];
  }
  if (progress !== null) return [{ text: progress, ink: "cyan" }];
  if (notice !== null) return [{ text: notice.text, ink: notice.ink }];
  if (pane === "keys") return [dim("esc back  q quit")];
  if (pane === "detail") return [dim("esc back  up/down scroll  r replay  p purge  c copy id  q quit")];
  const more = group === null ? "g group" : "esc back";
  return [
    dim(
      `up/down select  enter look  space mark  a all  r replay  p purge  / filter  ${more}  ? keys  q quit`,
    ),
  ];
}
