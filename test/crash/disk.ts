import { closeSync, openSync, readSync } from "node:fs";

/** What shim.c writes down. */
const KINDS = ["", "create", "write", "truncate", "sync", "unlink", "rename", "ack", "link"] as const;

export interface DiskRecord {
  readonly index: number;
  readonly kind: (typeof KINDS)[number];
  readonly file: number;
  /** Of a write; of a truncate the length that is left. */
  readonly offset: number;
  /** Bytes written, a name (of a rename both, with a zero byte between them), or the uid that was acknowledged. */
  readonly data: Buffer;
  /** A sync covers the records before this one. */
  readonly before: number;
}

const HEAD_BYTES = 32;
const SECTOR_BYTES = 512;
const DIRECTORY = 1;

/** The records of a journal, in the order in which things happened. A torn last one is left out. */
export function* readJournal(path: string): Generator<DiskRecord> {
  const journal = openSync(path, "r");
  const head = Buffer.alloc(HEAD_BYTES);
  try {
    for (let index = 0; readSync(journal, head) === HEAD_BYTES; index += 1) {
      const kind = KINDS[head.readUInt32LE(0)];
      const hasData = kind !== "truncate" && kind !== "sync";
      const data = Buffer.alloc(hasData ? Number(head.readBigUInt64LE(16)) : 0);
      if (!kind) throw new Error(`record ${index} of ${path} is of no known kind`);
      if (data.length > 0 && readSync(journal, data) < data.length) return;
      yield {
        index,
        kind,
        file: head.readUInt32LE(4),
        offset: Number(head.readBigUInt64LE(8)),
        data,
        before: Number(head.readBigUInt64LE(24)),
      };
    }
  } finally {
    closeSync(journal);
  }
}

/** The content of one file: what is durable, and what was written since. */
class DiskFile {
  #bytes = Buffer.alloc(0);
  #length = 0;
  #pending: DiskRecord[] = [];

  change(record: DiskRecord): void {
    this.#pending.push(record);
  }

  sync(before: number): void {
    const left = this.#pending.filter((record) => record.index >= before);
    for (const record of this.#pending) if (record.index < before) this.#apply(record, () => true);
    this.#pending = left;
  }

  /** After a power loss: of what was not synced, each sector may or may not have been written. */
  image(random: () => number): Buffer {
    const copy = new DiskFile();
    copy.#bytes = Buffer.from(this.#bytes.subarray(0, this.#length));
    copy.#length = this.#length;
    for (const record of this.#pending) copy.#apply(record, () => random() < 0.5);
    return copy.#bytes.subarray(0, copy.#length);
  }

  #apply({ kind, offset, data }: DiskRecord, survives: () => boolean): void {
    if (kind === "truncate") {
      if (survives()) this.#resize(offset);
      return;
    }
    for (let from = 0; from < data.length; ) {
      const to = Math.min(data.length, from + SECTOR_BYTES - ((offset + from) % SECTOR_BYTES));
      if (survives()) {
        if (offset + to > this.#length) this.#resize(offset + to);
        data.copy(this.#bytes, offset + from, from, to);
      }
      from = to;
    }
  }

  /** What is added, or is cut off and added again, is zeros. */
  #resize(length: number): void {
    if (length > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(length, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    if (length < this.#length) this.#bytes.fill(0, length, this.#length);
    this.#length = length;
  }
}

/**
 * A disk on which nothing is safe but what was synced. Files: by sector. Names: created, renamed and deleted in order;
 * durable up to the last sync of the directory or of a file that was created since (its creation and all that came
 * before: ext4, xfs and btrfs do so); of the rest, any first part may have happened.
 */
export class Disk {
  readonly #files = new Map<number, DiskFile>();
  readonly #names = new Map<string, number>();
  #pendingNames: DiskRecord[] = [];

  apply(record: DiskRecord): void {
    switch (record.kind) {
      case "create":
        this.#files.set(record.file, new DiskFile());
        this.#pendingNames.push(record);
        break;
      case "unlink":
      case "rename":
      case "link":
        this.#pendingNames.push(record);
        break;
      case "write":
      case "truncate":
        this.#files.get(record.file)?.change(record);
        break;
      case "sync":
        this.#files.get(record.file)?.sync(record.before);
        this.#syncNames(record);
        break;
    }
  }

  /** A disk after a power loss at this moment. */
  image(random: () => number): Map<string, Buffer> {
    const names = new Map(this.#names);
    const happened = Math.floor(random() * (this.#pendingNames.length + 1));
    for (const record of this.#pendingNames.slice(0, happened)) rename(names, record);
    return new Map(
      [...names].map(([name, file]) => [name, this.#files.get(file)?.image(random) ?? Buffer.alloc(0)]),
    );
  }

  #syncNames({ file, before }: DiskRecord): void {
    const upTo =
      file === DIRECTORY
        ? this.#pendingNames.filter((record) => record.index < before).length
        : this.#pendingNames.findIndex(
            (record) => record.kind === "create" && record.file === file && record.index < before,
          ) + 1;
    for (const record of this.#pendingNames.splice(0, upTo)) rename(this.#names, record);
  }
}

function rename(names: Map<string, number>, { kind, file, data }: DiskRecord): void {
  const [name = "", to = name] = data.toString("utf8").split("\0");
  if (kind === "unlink" || kind === "rename") names.delete(name);
  if (kind !== "unlink") names.set(to, file);
}
