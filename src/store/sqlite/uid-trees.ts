import type { DedupeKey } from "../../domain/dedupe.ts";
import type { EventSeq } from "../../domain/ids.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Db, Plucked, Statement } from "./connection.ts";
import type { KnownUid } from "./uid-table.ts";
import { type Round, YoungUids } from "./young-uids.ts";

/** First halves of hashes are below this. */
const RING = 2 ** 52;
/**
 * The small trees, the smallest first, and how long a pass over each takes: for so long, at most, what is written stays in it. Each is
 * some ten times as large as the one before, so that ten rows or more share each page that a pass writes.
 */
const SMALL_TREES = [
  { table: "uid_seconds", passMs: 25_000 },
  { table: "uid_minutes", passMs: 240_000 },
  { table: "uid_hour", passMs: 2_400_000 },
] as const;
const LARGE_TREE = "uid";
/** For the first so many, filters in memory know most uids that are not in them. */
const YOUNG_TREES = 2;
/**
 * A pass carries on so many for each uid that is written, at most. As many as are written keep a tree as it is; more make up
 * for the time since the last slice, and after a pause for up to a lap.
 */
const CARRIED_PER_WRITTEN = 2;

/**
 * The uids on disk, by hash: new ones in `uid_seconds`, then in `uid_minutes`, `uid_hour`, and for good in `uid`. In the large
 * tree every uid lies in a page of its own, as hashes have no neighbours in time: to write it there at once would write a
 * page, twice, for 40 bytes. A pass goes round each of the small trees in order of the hash and carries what it finds into
 * the next one, where several then share each page (docs/decisions/0018-uids-in-trees.md).
 *
 * A generation is a dedupe window's worth of uids, named by the time at which it began; they are forgotten by generation.
 */
export class UidTrees {
  readonly #add: Statement;
  readonly #findYoung: Statement;
  readonly #findMiddle: Statement;
  readonly #findOld: Statement;
  readonly #addGeneration: Statement;
  readonly #dropGeneration: Statement;
  readonly #deleteSlice: Statement;
  readonly #passes: readonly Pass[];
  readonly #young: YoungUids;
  /** Of those that are not forgotten, the oldest one first. */
  readonly generations: number[];

  constructor(db: Db, clock: Clock) {
    this.#add = db.prepare("insert or replace into uid_seconds values (?, ?, ?, ?, ?)");
    const findIn = (trees: readonly { table: string }[]) =>
      trees
        .map(
          ({ table }) => `select content, event from ${table} where high = ? and low = ? and generation >= ?`,
        )
        .join(" union all ");
    const young = SMALL_TREES.slice(0, YOUNG_TREES);
    this.#findYoung = db.prepare(findIn(young));
    this.#findMiddle = db.prepare(findIn(SMALL_TREES.slice(YOUNG_TREES)));
    this.#findOld = db.prepare(
      "select content, event from uid where generation = ? and high = ? and low = ?",
    );
    this.#addGeneration = db.prepare("insert or ignore into uid_generation values (?)");
    this.#dropGeneration = db.prepare("delete from uid_generation where since = ?");
    this.#deleteSlice = db.prepare(
      "delete from uid where generation = ? and (high, low) in (select high, low from uid where generation = ? limit ?)",
    );
    const passes = SMALL_TREES.map(
      ({ table, passMs }, index) =>
        new Pass(db, clock, { from: table, to: SMALL_TREES[index + 1]?.table ?? LARGE_TREE, passMs }),
    );
    const isEmpty = young.every(
      ({ table }) => db.prepare(`select 1 from ${table} where high >= 0 limit 1`).get() === undefined,
    );
    this.#young = new YoungUids(passes.slice(0, YOUNG_TREES), isEmpty);
    // The last one first, so that nothing is carried twice in one slice.
    this.#passes = passes.reverse();
    this.generations = db
      .pluck("select since from uid_generation where since > -1 order by since")
      .all() as number[];
  }

  find(key: DedupeKey): KnownUid | null {
    const { uidHigh, uidLow } = key;
    const [oldest] = this.generations;
    if (oldest === undefined) return null;
    const small =
      (this.#young.mayHave(key)
        ? this.#findYoung.get(uidHigh, uidLow, oldest, uidHigh, uidLow, oldest)
        : undefined) ?? this.#findMiddle.get(uidHigh, uidLow, oldest);
    if (small) return small as KnownUid;
    for (let index = this.generations.length - 1; index >= 0; index -= 1) {
      const old = this.#findOld.get(this.generations[index], uidHigh, uidLow);
      if (old) return old as KnownUid;
    }
    return null;
  }

  /** Begins a slice, inside the caller's transaction. */
  beginSlice(): void {
    this.#addGeneration.run(this.generations.at(-1));
  }

  add(key: DedupeKey, event: EventSeq): void {
    // Should this be rolled back, it is only asked for in vain.
    this.#young.add(key);
    this.#add.get(key.uidHigh, key.uidLow, key.content, event, this.generations.at(-1));
  }

  /** Carries on what is due, for so many uids added, inside the caller's transaction; the returned function confirms it. */
  carry(added: number): () => void {
    const confirms = this.#passes.map((pass) =>
      pass.carry(added * CARRIED_PER_WRITTEN, this.generations[0] ?? 0),
    );
    return () => {
      for (const confirm of confirms) confirm();
      this.#young.moved();
    };
  }

  /** Deletes up to `limit` of the oldest generation, inside the caller's transaction. Whether that was all of it. */
  forgetSlice(limit: number): boolean {
    const [oldest] = this.generations;
    if (this.#deleteSlice.run(oldest, oldest, limit).changes === limit) return false;
    // What the small trees still have of it is no longer found, and deleted when a pass comes by.
    this.#dropGeneration.run(oldest);
    return true;
  }
}

/** Goes round one tree in order of the hash, a stretch at a time, in time with the clock, and begins anew at the end. */
class Pass implements Round {
  laps = 0;
  at: number;
  readonly #clock: Clock;
  readonly #passMs: number;
  readonly #endOf: Plucked;
  readonly #copy: Statement;
  readonly #remove: Statement;
  /** When it should have been where it is; monotonic. */
  #atMono: number;

  constructor(db: Db, clock: Clock, { from, to, passMs }: { from: string; to: string; passMs: number }) {
    this.#clock = clock;
    this.#passMs = passMs;
    // Where the last process may have left it: one that never lived for a whole pass would leave the end of the ring alone.
    this.at = Math.floor(((clock.now() % passMs) / passMs) * RING);
    this.#atMono = clock.mono();
    const columns = "high, low, content, event, generation";
    const stretch = `from ${from} where high >= ? and high < ?`;
    this.#endOf = db.pluck(`select high ${stretch} order by high limit 1 offset ?`);
    this.#copy = db.prepare(
      `insert or replace into ${to}(${columns}) select ${columns} ${stretch} and generation >= ? order by high, low`,
    );
    this.#remove = db.prepare(`delete ${stretch}`);
  }

  carry(limit: number, oldestGeneration: number): () => void {
    const { at } = this;
    const nowMono = this.#clock.mono();
    const atMono = Math.max(this.#atMono, nowMono - this.#passMs);
    const due = Math.min(RING, at + Math.ceil((RING * (nowMono - atMono)) / this.#passMs));
    // Beyond the limit: to where that ends, but over one hash at least.
    const cut = this.#endOf.get(at, due, limit) as number | undefined;
    const end = cut === undefined ? due : Math.max(cut, at + 1);
    this.#copy.run(at, end, oldestGeneration);
    this.#remove.run(at, end);
    return () => {
      this.at = end === RING ? 0 : end;
      if (end === RING) this.laps += 1;
      this.#atMono = atMono + ((end - at) / RING) * this.#passMs;
    };
  }
}
