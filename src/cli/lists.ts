import type { Command } from "commander";
import type { PageBody } from "../http-api.ts";
import type { ApiRequest, Client } from "./client.ts";
import { wholeNumber } from "./options.ts";
import { type Column, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface ListOptions {
  readonly limit?: number;
  readonly cursor?: string;
}

const LIMIT = 50;
const PAGE_MAX = 200;
const LIMIT_MAX = 100_000;

export function addListOptions(command: Command): Command {
  return command
    .option("--limit <n>", `how many to list at most (${LIMIT})`, wholeNumber(1, LIMIT_MAX))
    .option("--cursor <cursor>", "go on where a list ended");
}

/**
 * Lists up to `--limit` rows, over as many pages as that takes: a page may come back short, or empty, and still have a
 * next one. With --json each page is a line, as the API said it.
 */
export async function printList<Row>(
  call: { client: Client; terminal: Terminal; options: ListOptions },
  request: ApiRequest,
  columns: readonly Column<Row>[],
  nothing: string,
): Promise<void> {
  const { client, terminal, options } = call;
  const { limit: most = LIMIT } = options;
  const rows: Row[] = [];
  let cursor = options.cursor;
  let count = 0;
  do {
    const limit = Math.min(PAGE_MAX, most - count);
    const answer = await client.call<PageBody<Row>>({
      ...request,
      query: { ...request.query, limit, cursor },
    });
    if (client.isJson) terminal.json(answer.text);
    else if (terminal.isTable) rows.push(...answer.body.data);
    else printTable(terminal, columns, answer.body.data);
    count += answer.body.data.length;
    cursor = answer.body.next_cursor ?? undefined;
  } while (cursor !== undefined && count < most);
  if (rows.length > 0) printTable(terminal, columns, rows);
  if (client.isJson) return;
  if (count === 0) terminal.note(nothing);
  else if (cursor !== undefined)
    terminal.note(`There are more: --limit ${most * 4}, or --cursor ${cursor}`, "dim");
}
