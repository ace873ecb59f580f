import { expect } from "vitest";
import type { Db } from "../../src/store/sqlite/connection.ts";

/** What must hold of a database file that is folded, whatever happened to it. */
export function expectSound(db: Db): void {
  expect(db.pragma("integrity_check")).toBe("ok");
  const counted = db
    .prepare(
      `select case when status = 3 then 10 + reason else status end as slot, webhook, count(*) as n from log
       where status <> 2 group by 1, 2 order by 1, 2`,
    )
    .all();
  expect(db.prepare("select slot, webhook, n from tally order by slot, webhook").all()).toEqual(counted);
  const mark = db.pluck("select journal_id from fold").get();
  const below = (name: string) => Number(db.pluck("select value from setting where name = ?").get(name) ?? 0);
  const wrong = {
    // Where a sweep is under way, the log goes first.
    "a delivery without its log row": `select j.id from journal j left join log l on l.webhook = j.webhook
       and l.id = j.id where j.webhook <> 0 and l.id is null and j.id <= ${mark}
       and not (j.id >= ${below("swept_below")} and j.id < ${below("pruned_below")})`,
    "a log row without its delivery": `select l.id from log l left join journal j on j.id = l.id
       and j.webhook = l.webhook where j.id is null`,
    "a delivery without its event":
      "select d.id from journal d left join journal e on e.id = d.event where d.event is not null and e.id is null",
    "an attempt of no delivery":
      "select a.delivery from attempt a left join journal j on j.id = a.delivery where j.id is null",
    "due though ended, or open and never due":
      "select id from log where (due_at is null) = (status in (0, 1))",
    "ended without a time": "select id from log where (completed_at is null) = (status in (2, 3))",
    "dead without a reason, or a reason alive": "select id from log where (reason is null) = (status = 3)",
    "more attempts told than made": `select l.id from log l where
       (select coalesce(max(number), 0) from attempt where delivery = l.id) > l.attempts`,
  };
  for (const [what, sql] of Object.entries(wrong)) expect(db.prepare(sql).all(), what).toEqual([]);
}
