import type { KeyId } from "../../domain/ids.ts";
import type { ApiKey, Scope } from "../../domain/key.ts";
import type { Page } from "../../domain/query.ts";
import type { Paged } from "../port.ts";
import type { Db, Statement } from "./connection.ts";

interface KeyRow {
  readonly id: number;
  readonly user_id: string | null;
  readonly hash: Uint8Array;
  readonly body: string;
}

/** API keys, by the hash of their text. */
export class Keys {
  readonly #insert: Statement;
  readonly #find: Statement;
  readonly #get: Statement;
  readonly #listAll: Statement;
  readonly #listOf: Statement;
  readonly #delete: Statement;

  constructor(db: Db) {
    this.#insert = db.prepare("insert into api_key values (?, ?, ?, ?)");
    this.#find = db.prepare("select * from api_key where hash = ?");
    this.#get = db.prepare("select * from api_key where id = ?");
    this.#listAll = db.prepare("select * from api_key where id < ? order by id desc limit ?");
    this.#listOf = db.prepare("select * from api_key where user_id = ? and id < ? order by id desc limit ?");
    this.#delete = db.prepare("delete from api_key where id = ?");
  }

  insert(key: ApiKey): void {
    const { scopes, name, createdAt, expiresAt } = key;
    this.#insert.run(key.id, key.userId, key.hash, JSON.stringify({ scopes, name, createdAt, expiresAt }));
  }

  find(hash: Uint8Array): ApiKey | null {
    return keyOf(this.#find.get(hash) as KeyRow | undefined);
  }

  get(id: KeyId): ApiKey | null {
    return keyOf(this.#get.get(id) as KeyRow | undefined);
  }

  list(userId: string | null, page: Page): Paged<ApiKey> {
    const before = page.before ?? Number.MAX_SAFE_INTEGER;
    const rows = (
      userId === null
        ? this.#listAll.all(before, page.limit + 1)
        : this.#listOf.all(userId, before, page.limit + 1)
    ) as KeyRow[];
    return pageOf(rows, page.limit, (row) => keyOf(row));
  }

  delete(id: KeyId): boolean {
    return this.#delete.run(id).changes > 0;
  }
}

function keyOf(row: KeyRow | undefined): ApiKey | null {
  if (!row) return null;
  const body = JSON.parse(row.body) as {
    scopes: Scope[];
    name: string | null;
    createdAt: number;
    expiresAt: number | null;
  };
  return { id: row.id as KeyId, userId: row.user_id, hash: Uint8Array.from(row.hash), ...body };
}

/** A page of rows that were read with one more than the limit: the extra one tells that there is a next page. */
export function pageOf<Row extends { readonly id: number }, T>(
  rows: readonly Row[],
  limit: number,
  parse: (row: Row) => T | null,
): Paged<T> {
  const shown = rows.slice(0, limit);
  const items = shown.map(parse).filter((item) => item !== null);
  return { items, next: rows.length > limit ? (shown.at(-1)?.id ?? null) : null };
}
