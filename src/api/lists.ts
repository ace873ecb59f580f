import type { ApiKey } from "../domain/key.ts";
import type { Page } from "../domain/query.ts";
import type { ApiContext } from "./context.ts";

/** Asked for where the caller does not say. */
const LIMIT = 50;

/**
 * One page of a list: reads the cursor, and makes the next one. A cursor is good for the list, the filter as it was
 * written (an age like `2h` may mean another time by then), and the user that the key sees.
 */
export async function answerPage<Item, Shown>(
  context: ApiContext,
  options: {
    readonly list: string;
    readonly key: ApiKey;
    readonly query: Readonly<Record<string, unknown>>;
    readonly read: (page: Page) => Promise<{ items: readonly Item[]; next: number | null }>;
    readonly show: (items: readonly Item[]) => readonly Shown[] | Promise<readonly Shown[]>;
  },
): Promise<{ data: readonly Shown[]; next_cursor: string | null }> {
  const { cursor, limit, ...filter } = options.query;
  const scope = JSON.stringify([
    options.key.userId,
    Object.entries(filter).sort(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  const before = typeof cursor === "string" ? context.cursors.decode(options.list, scope, cursor) : null;
  const page = await options.read({ limit: typeof limit === "number" ? limit : LIMIT, before });
  return {
    data: await options.show(page.items),
    next_cursor: page.next === null ? null : context.cursors.encode(options.list, scope, page.next),
  };
}
