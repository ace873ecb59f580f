import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";

/** The path of a database that is nowhere. */
export const IN_MEMORY = ":memory:";

/** A statement. Whoever wrote its SQL knows what its rows look like. */
export interface Statement {
  run(...values: readonly Value[]): { readonly changes: number };
  /** Of a statement without rows: done, and undefined. It makes no object of what changed, a tenth of an insert's price. */
  get(...values: readonly Value[]): unknown;
  all(...values: readonly Value[]): unknown[];
  /** Row by row, as far as somebody asks. */
  iterate(...values: readonly Value[]): Iterable<unknown>;
}
/** Integers up to 2^53, texts, bytes. Undefined throws. */
export type Value = SQLInputValue | undefined;

/** What a connection may be asked for. */
export interface ConnectOptions {
  readonly readOnly?: boolean;
  /** The file is not made where there is none. */
  readonly mustExist?: boolean;
  /** How long to wait for a lock that another connection has. */
  readonly timeoutMs?: number;
  /** hookd's own database, as `openDatabase` opens it: by the `unix-excl` VFS. */
  readonly isOwn?: boolean;
}

/** A connection of Node's own SQLite, with values instead of rows, pragmas and transactions. */
export class Db {
  readonly native: DatabaseSync;

  constructor(native: DatabaseSync) {
    this.native = native;
  }

  get isTransaction(): boolean {
    return this.native.isTransaction;
  }

  prepare(sql: string): Statement {
    return this.native.prepare(sql) as unknown as Statement;
  }

  /** For statements of one column: what it holds, without a row around it. */
  pluck(sql: string): Plucked {
    return new Plucked(this.native.prepare(sql));
  }

  exec(sql: string): void {
    this.native.exec(sql);
  }

  /** Sets or reads one; gives the first column of its first row. */
  pragma(text: string): unknown {
    return this.pluck(`pragma ${text}`).get();
  }

  /** All or nothing. Throws what `work` throws. */
  transaction<T>(work: () => T): T {
    this.exec("begin");
    try {
      const result = work();
      this.exec("commit");
      return result;
    } catch (error) {
      if (this.isTransaction) this.exec("rollback");
      throw error;
    }
  }

  /** Again: nothing. */
  close(): void {
    if (this.native.isOpen) this.native.close();
  }
}

/** A statement of one column. */
export class Plucked {
  readonly #statement: Statement;

  constructor(statement: StatementSync) {
    statement.setReturnArrays(true);
    this.#statement = statement as unknown as Statement;
  }

  /** Of the first row; undefined: there is none. */
  get(...values: readonly Value[]): unknown {
    const row = this.#statement.get(...values) as readonly unknown[] | undefined;
    return row?.[0];
  }

  all(...values: readonly Value[]): unknown[] {
    return (this.#statement.all(...values) as unknown[][]).map(([first]) => first);
  }
}

/** A connection as it comes. Throws what SQLite says. */
export function connect(path: string, options: ConnectOptions = {}): Db {
  const { readOnly = false, mustExist = false, timeoutMs = 5_000, isOwn = false } = options;
  const settings = { readOnly, timeout: timeoutMs, enableForeignKeyConstraints: false };
  if (path === IN_MEMORY) return new Db(new DatabaseSync(path, settings));
  const url = pathToFileURL(path);
  if (mustExist) url.searchParams.set("mode", readOnly ? "ro" : "rw");
  if (isOwn) url.searchParams.set("vfs", "unix-excl");
  return new Db(new DatabaseSync(url, settings));
}
