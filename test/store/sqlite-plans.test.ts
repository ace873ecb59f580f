import { expect, onTestFinished, test } from "vitest";
import { sqliteAdapter } from "./sqlite-adapter.ts";
import { World } from "./world.ts";

/** These read a whole table on purpose; none is on the path of a commit, a lease or a list of deliveries. */
const MEANT_TO_SCAN = [
  // At start: the outcomes of the last second, and one row for each lane with a state.
  "select seq, batch from settle order by seq",
  "select webhook, state from lane",
  // One row. (The partial index over running jobs is read whole too: there are few.)
  "update fold set journal_id = ?, settle_seq = ?",
  "select journal_id as journalId, settle_seq as settleSeq from fold",
  "select journal_id from fold",
  "select sqlite_version()",
];

test("no statement reads a table from its beginning, or sorts", async () => {
  const adapter = sqliteAdapter();
  onTestFinished(() => adapter.cleanup());
  const statements = new Set<string>();
  adapter.onOpen = (db) => {
    const prepare = db.prepare.bind(db);
    db.prepare = ((sql: string) => {
      statements.add(sql);
      return prepare(sql);
    }) as typeof db.prepare;
  };
  const world = await World.open(adapter);
  const hook = await world.webhook();
  await world.delivery(hook, "dead");
  await world.crash();
  for (const filter of [{}, { userId: "acme" }, { webhookId: hook.id }, { since: 1 }]) {
    await world.store.deadGroups(filter, ["reason"]);
  }
  await world.store.putSetting("a", await world.store.getSetting("a").then(String));
  world.store.stats();
  const trouble: string[] = [];
  for (const sql of statements) {
    if (!/^\s*(select|insert|update|delete)/i.test(sql) || MEANT_TO_SCAN.includes(sql)) continue;
    const plan = adapter.db.prepare(`explain query plan ${sql}`);
    // Parameters are unbound, which SQLite takes as null.
    const details = plan.all(
      ...sql
        .split("?")
        .slice(1)
        .map(() => null),
    ) as { detail: string }[];
    for (const { detail } of details) {
      // A filter on the status needs the partial index: the key alone would pass over every success.
      const isFiltered =
        /^\s*select .*\bstatus = [?13]/is.test(sql) &&
        / (log|l) USING PRIMARY KEY \(webhook=\? AND id[<>]/.test(detail);
      if (isFiltered) trouble.push(`${detail}: ${sql}`);
      if (/\bSCAN (?!CONSTANT ROW|job USING INDEX job_running)|TEMP B-TREE/.test(detail))
        trouble.push(`${detail}: ${sql}`);
    }
  }
  expect(statements.size).toBeGreaterThan(60);
  expect(trouble).toEqual([]);
});
