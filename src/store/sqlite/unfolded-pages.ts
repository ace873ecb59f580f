import type { DeliveryId, WebhookId } from "../../domain/ids.ts";
import { DEAD, type Hot, type HotRow, RETRYING } from "./hot.ts";
import type { ReadPage } from "./newest-first.ts";

/**
 * What no complete fold has written, for lists, which are read over the log: there it is missing, or stands under a state
 * that it no longer has. `webhookIds`: of these alone; null: of all. `isFailedOnly`: what is retrying or dead now.
 */
export function unfoldedPages(
  hot: Hot,
  webhookIds: readonly WebhookId[] | null,
  isFailedOnly: boolean,
  since: number,
): ReadPage<HotRow>[] {
  if (webhookIds === null && !isFailedOnly) {
    return hot.unfolded.map(({ fresh }) => pagesOf(fresh.length, (index) => fresh[index]?.id, hot, since));
  }
  let read: ReadPage<HotRow> | null = null;
  return [
    (before, limit) => {
      // Made for the first page, of what can still be on it or behind it.
      read ??= sortedPages(hot, webhookIds, isFailedOnly, since, before);
      return read(before, limit);
    },
  ];
}

function sortedPages(
  hot: Hot,
  webhookIds: readonly WebhookId[] | null,
  isFailedOnly: boolean,
  since: number,
  before: number,
): ReadPage<HotRow> {
  const ids: number[] = [];
  for (const generation of hot.unfolded) {
    const groups = webhookIds
      ? webhookIds.map((id) => generation.byWebhook.get(id) ?? [])
      : [generation.failing];
    for (const rows of groups) {
      for (const { id, status } of rows) {
        if (id < since || id >= before) continue;
        if (!isFailedOnly || status === RETRYING || status === DEAD) ids.push(id);
      }
    }
  }
  const ascending = Float64Array.from(ids).sort();
  return pagesOf(ascending.length, (index) => ascending[index], hot, since);
}

/** Pages over ids in ascending order; those that have left memory since are the log's. */
function pagesOf(
  length: number,
  idAt: (index: number) => number | undefined,
  hot: Hot,
  since: number,
): ReadPage<HotRow> {
  return (before, limit) => {
    const rows: HotRow[] = [];
    for (let index = countBelow(length, idAt, before) - 1; index >= 0 && rows.length < limit; index -= 1) {
      const id = idAt(index) ?? 0;
      if (id < since) break;
      const row = hot.rows.get(id as DeliveryId);
      if (row && row.id !== rows.at(-1)?.id) rows.push(row);
    }
    return rows;
  };
}

/** How many of the ascending ids are smaller than `before`. */
function countBelow(length: number, idAt: (index: number) => number | undefined, before: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((idAt(middle) ?? 0) < before) low = middle + 1;
    else high = middle;
  }
  return low;
}
