import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { holderOf } from "../../src/doctor/lock-holder.ts";
import { connect } from "../../src/store/sqlite/connection.ts";
import { openDatabase } from "../../src/store/sqlite/database.ts";
import { peekDatabase, SCHEMA_VERSION } from "../../src/store/sqlite/peek.ts";
import { temporaryDirectory } from "../support/world.ts";

function setup() {
  const path = join(temporaryDirectory(), "hookd.db");
  const db = openDatabase(path);
  onTestFinished(() => void db.close());
  const put = db.prepare("insert or replace into setting values (?, ?)");
  const rows = db.prepare("select name, value from setting");
  const all = () =>
    new Map((rows.all() as { name: string; value: string }[]).map((row) => [row.name, row.value]));
  return { path, db, put, all };
}

test("what is read from the file beside its writer is what SQLite says, in every state of the log", () => {
  const { path, db, put, all } = setup();
  const move = fc.oneof(
    fc.record({ name: fc.string({ minLength: 1, maxLength: 40 }), value: fc.string({ maxLength: 300 }) }),
    fc.constant("many" as const),
    fc.constant("checkpoint" as const),
    fc.constant("restart" as const),
    fc.constant("forget" as const),
    fc.integer({ min: 0, max: 2 ** 52 }),
  );
  const text = (given: string) => Buffer.from(given, "utf8").toString("utf8");
  fc.assert(
    fc.property(fc.array(move, { maxLength: 12 }), (moves) => {
      for (const step of moves) {
        if (step === "many") {
          db.transaction(() => {
            for (let n = 0; n < 300; n += 1) put.run(`many-${n}`, "x".repeat(n));
          });
        } else if (step === "forget") db.exec("delete from setting where name like 'many-%'");
        else if (step === "checkpoint") db.pragma("wal_checkpoint(passive)");
        else if (step === "restart") db.pragma("wal_checkpoint(restart)");
        else if (typeof step === "number") db.prepare("update fold set journal_id = ?").run(step);
        else put.run(text(step.name), text(step.value));
      }
      const peeked = peekDatabase(path);
      expect(peeked?.schemaVersion).toBe(SCHEMA_VERSION);
      expect(peeked?.settings).toEqual(all());
      expect(peeked?.lastSeq).toBe(db.pluck("select journal_id from fold").get());
    }),
    { numRuns: 60 },
  );
});

test("what is not committed is not read", () => {
  const { path, db, put, all } = setup();
  const putAll = (value: string) => {
    for (let n = 0; n < 2_000; n += 1) put.run(`name-${n}`, value.repeat(500));
  };
  db.transaction(() => putAll("a"));
  const committed = all();
  // So small a cache that pages of the open transaction reach the log.
  db.pragma("cache_size = 1");
  db.exec("begin");
  const logBytes = statSync(`${path}-wal`).size;
  putAll("b");
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(logBytes);
  const peeked = peekDatabase(path);
  db.exec("rollback");
  expect(peeked?.settings).toEqual(committed);
});

test("a small page size, and a log that a rollback left, are read as well", () => {
  const path = join(temporaryDirectory(), "hookd.db");
  const db = connect(path);
  onTestFinished(() => void db.close());
  db.pragma("page_size = 512");
  db.pragma("journal_mode = WAL");
  db.exec("create table setting(name text primary key, value text) strict, without rowid");
  for (let n = 0; n < 500; n += 1)
    db.prepare("insert into setting values (?, ?)").run(`name-${n}`, `value-${n}`);
  expect(peekDatabase(path)?.settings.size).toBe(500);
  expect(peekDatabase(path)).toMatchObject({ schemaVersion: 0, lastSeq: 0 });
});

test("a file that is empty holds nothing yet, and one that is cut off or no database is refused", () => {
  const path = join(temporaryDirectory(), "hookd.db");
  writeFileSync(path, "");
  expect(peekDatabase(path)).toBe(null);
  writeFileSync(path, "a diary");
  expect(() => peekDatabase(path)).toThrow("it is not a SQLite database");
  const { path: whole } = setup();
  const cut = join(temporaryDirectory(), "cut.db");
  const db = connect(cut);
  db.exec("create table setting(name text)");
  db.close();
  const bytes = readFileSync(cut);
  writeFileSync(path, bytes.subarray(0, 2_000));
  expect(() => peekDatabase(path)).toThrow("page 1 is cut off");
  expect(existsSync(`${whole}-shm`)).toBe(false);
});

test("the process that has the database open is told by the kernel's list of locks", () => {
  const { path, db } = setup();
  expect(holderOf(path)).toEqual({ kind: "process", pid: process.pid });
  db.close();
  expect(holderOf(path)).toEqual({ kind: "none" });
  expect(holderOf(`${path}-nothing`)).toEqual({ kind: "none" });
  const hidden = () => {
    throw new Error("EACCES");
  };
  expect(holderOf(path, hidden)).toEqual({ kind: "unknown" });
});
