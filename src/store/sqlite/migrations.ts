import { randomBytes } from "node:crypto";
import type { Db } from "./connection.ts";

/**
 * Numbered, forward only, each in one transaction with the number it leads to: a kill in the middle leaves the
 * version before, and the next start runs the step again.
 */
export const MIGRATIONS: readonly string[] = [
  `
  create table setting(name text primary key, value text) strict, without rowid;

  create table webhook(
    id integer primary key, user_id text not null, event_id text not null, is_active integer not null,
    version integer not null, deleted_at integer, sealed blob not null, body text not null
  ) strict;
  create unique index webhook_route on webhook(user_id, event_id) where deleted_at is null;
  create index webhook_user on webhook(user_id, id);
  create index webhook_gone on webhook(deleted_at) where deleted_at is not null;
  create index webhook_event on webhook(event_id, user_id) where deleted_at is null;

  create table api_key(
    id integer primary key, user_id text, hash blob not null unique, body text not null
  ) strict;
  create index api_key_user on api_key(user_id, id);

  create table job(id integer primary key, user_id text, is_running integer not null, body text not null) strict;
  create index job_running on job(id) where is_running = 1;
  create index job_user on job(user_id, id);

  create table lane(webhook integer primary key, state text not null) strict;

  -- Appended to, in order of id; never changed. A row is a delivery with its event (event is null), a delivery of the
  -- event in another row, or an event without a delivery of its own (webhook = 0).
  create table journal(
    id integer primary key, webhook integer not null, event integer, user_id text, event_id text, uid text,
    content_type text, payload blob
  ) strict;
  create index journal_event on journal(event) where event is not null;

  -- Outcomes, one row a commit, until the fold has written them into log and attempt.
  create table settle(seq integer primary key, batch blob not null) strict;

  -- State of every delivery up to the fold's mark. due_at is the queue: null unless the delivery is open.
  create table log(
    webhook integer not null, id integer not null, status integer not null, reason integer, attempts integer not null,
    round_start integer not null, due_at integer, queued_at integer not null, completed_at integer, code integer,
    error integer, duration integer, excerpt blob,
    primary key(webhook, id)
  ) strict, without rowid;
  create index log_lane on log(webhook, status, due_at, id) where due_at is not null;
  create index log_failed on log(id) where status = 1 or status = 3;
  create index log_retrying on log(webhook, id) where status = 1;
  create index log_dead on log(webhook, id) where status = 3;

  create table attempt(
    delivery integer not null, number integer not null, started_at integer not null, duration integer not null,
    verdict integer not null, code integer, error integer, excerpt blob,
    primary key(delivery, number)
  ) strict, without rowid;

  -- Uids that publishers gave. generation: window of time in which they came; whole ones are forgotten.
  create table uid(
    generation integer not null, high integer not null, low integer not null, content integer not null,
    event integer not null,
    primary key(generation, high, low)
  ) strict, without rowid;

  -- Kept counts of open and dead deliveries, always equal to log. slot: 0 pending, 1 retrying, 10 + reason dead.
  create table tally(slot integer not null, webhook integer not null, n integer not null, primary key(slot, webhook))
    strict, without rowid;

  create table fold(id integer primary key check(id = 0), journal_id integer not null, settle_seq integer not null)
    strict;
  insert into fold values (0, 0, 0);

  -- Successes that prune had passed by while they were still open.
  create table late(id integer primary key, webhook integer not null, completed_at integer not null) strict;
  create index late_completed on late(completed_at);
  `,
  `
  -- Broadcasts' deliveries by id: a range of the journal is deleted but for them, which are looked at one by one.
  create index journal_fan on journal(id) where event is not null;

  -- Below, old successes are gone. It is never ahead of pruned_below, below which they may go.
  insert into setting select 'swept_below', coalesce(max(value), '0') from setting where name = 'pruned_below';
  `,
  `
  -- Place in a trace (domain/trace-context.ts), where the event has one. No row is rewritten.
  alter table journal add column trace blob;
  `,
  `
  -- Young uids, on their way to uid (uid-trees.ts).
  create table uid_seconds(
    high integer not null, low integer not null, content integer not null, event integer not null,
    generation integer not null,
    primary key(high, low)
  ) strict, without rowid;
  create table uid_minutes(
    high integer not null, low integer not null, content integer not null, event integer not null,
    generation integer not null,
    primary key(high, low)
  ) strict, without rowid;
  create table uid_hour(
    high integer not null, low integer not null, content integer not null, event integer not null,
    generation integer not null,
    primary key(high, low)
  ) strict, without rowid;

  -- Generations of which something may be remembered. Those there are, from one to the next through the key.
  create table uid_generation(since integer primary key) strict;
  insert into uid_generation
    with recursive known(since) as (
      select min(generation) from uid
      union all select (select min(generation) from uid where generation > since) from known where since is not null
    )
    select since from known where since is not null;
  `,
];

/** `steps`: a test gives others. */
export function migrate(db: Db, path: string, steps: readonly string[] = MIGRATIONS): void {
  const found = Number(db.pragma("user_version"));
  if (found > steps.length) {
    throw new Error(
      `${path} was written by a newer hookd (schema ${found}, this one knows ${steps.length}). Run that version`,
    );
  }
  for (let version = found; version < steps.length; version += 1) {
    db.transaction(() => {
      db.exec(steps[version] ?? "");
      if (version === 0) {
        const insert = db.prepare("insert into setting(name, value) values (?, ?)");
        insert.run("salt", randomBytes(8).toString("hex"));
      }
      db.pragma(`user_version = ${version + 1}`);
    });
  }
}
