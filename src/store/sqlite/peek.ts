import { closeSync, openSync, readSync } from "node:fs";
import { type ReadPage, rowsOf } from "./file-format.ts";
import { MIGRATIONS } from "./migrations.ts";

/** What a database file says of itself. */
export interface Peeked {
  /** Steps of `MIGRATIONS` that it has behind it. */
  readonly schemaVersion: number;
  readonly settings: ReadonlyMap<string, string>;
  /** The newest id that the fold knows of: as new as the newest delivery, but for a second or two. */
  readonly lastSeq: number;
  /** Room in the file that is written over before it grows. */
  readonly reusableBytes: number;
}

/** The newest schema that this hookd knows. */
export const SCHEMA_VERSION = MIGRATIONS.length;

const MAGIC = "SQLite format 3\0";
const HEADER_BYTES = 100;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65_536;
const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** The log may be begun anew while it is read. */
const TRIES_MAX = 5;

/**
 * Reads a few facts from a database file and its log, without SQLite: it takes no lock, makes no file and
 * changes none, so it can run beside a hookd that works or starts. (SQLite's read-only connection leaves
 * `-shm` and `-wal` files behind, and its lock would keep a starting hookd out; its `immutable` mode does not
 * see the log.) Null where the file holds nothing yet. Throws for a file that is no database, and for what
 * the system says.
 */
export function peekDatabase(path: string): Peeked | null {
  const file = openSync(path, "r");
  try {
    const log = openLog(`${path}-wal`);
    try {
      return retried(file, log);
    } finally {
      if (log !== null) closeSync(log);
    }
  } finally {
    closeSync(file);
  }
}

/** What is read while the log is begun anew does not fit together, and may not even parse. */
function retried(file: number, log: number | null): Peeked | null {
  for (let tries = 1; ; tries += 1) {
    const before = logHeader(log);
    let failure: unknown = null;
    let peeked: Peeked | null = null;
    try {
      peeked = read(file, log, before);
    } catch (error) {
      failure = error;
    }
    if (logHeader(log).equals(before)) {
      if (failure !== null) throw failure;
      return peeked;
    }
    if (tries === TRIES_MAX) throw new Error("the database changes too fast to be read");
  }
}

function read(file: number, log: number | null, header: Buffer): Peeked | null {
  const own = bytesAt(file, 0, HEADER_BYTES);
  if (own.length === 0 && header.length < LOG_HEADER_BYTES) return null;
  const pageBytes = own.length === 0 ? header.readUInt32BE(8) : pageBytesOf(own);
  const frames = log === null ? new Map<number, number>() : committedFrames(log, header, pageBytes);
  if (own.length === 0 && !frames.has(1)) return null;
  const readPage: ReadPage = (number) => {
    const frame = frames.get(number);
    const page =
      frame === undefined || log === null
        ? bytesAt(file, (number - 1) * pageBytes, pageBytes)
        : bytesAt(log, frame, pageBytes);
    if (page.length < pageBytes) throw new Error(`page ${number} is cut off`);
    return page;
  };
  const first = readPage(1);
  const usableBytes = pageBytes - first.readUInt8(20);
  const tables = new Map<unknown, number>();
  for (const [type, name, , root] of rowsOf(1, readPage, usableBytes)) {
    if (type === "table") tables.set(name, Number(root));
  }
  const rows = (name: string) => {
    const root = tables.get(name);
    return root === undefined ? [] : rowsOf(root, readPage, usableBytes);
  };
  return {
    schemaVersion: first.readUInt32BE(60),
    settings: new Map(rows("setting").map(([name, value]) => [String(name), String(value)])),
    lastSeq: Math.max(0, ...rows("fold").map(([, seq]) => Number(seq))),
    reusableBytes: first.readUInt32BE(36) * pageBytes,
  };
}

function pageBytesOf(header: Buffer): number {
  const bytes = header.length < HEADER_BYTES ? 0 : header.readUInt16BE(16);
  // 65,536 does not fit into two bytes: it is written as 1.
  const pageBytes = bytes === 1 ? PAGE_BYTES_MAX : bytes;
  const isSize = pageBytes >= PAGE_BYTES_MIN && Number.isInteger(Math.log2(pageBytes));
  if (!header.toString("latin1").startsWith(MAGIC) || !isSize) throw new Error("it is not a SQLite database");
  return pageBytes;
}

/**
 * Where the newest committed state of each page is in the log. Frames of an earlier round have other salts.
 * Checksums are left out: they are for frames that a power loss tore, at the very end of the log.
 */
function committedFrames(log: number, header: Buffer, pageBytes: number): Map<number, number> {
  const committed = new Map<number, number>();
  if (header.length < LOG_HEADER_BYTES || header.readUInt32BE(8) !== pageBytes) return committed;
  const salts = header.subarray(16, 24);
  let pending: [page: number, at: number][] = [];
  for (let at = LOG_HEADER_BYTES; ; at += FRAME_HEADER_BYTES + pageBytes) {
    const frame = bytesAt(log, at, FRAME_HEADER_BYTES);
    if (frame.length < FRAME_HEADER_BYTES || !frame.subarray(8, 16).equals(salts)) return committed;
    pending.push([frame.readUInt32BE(0), at + FRAME_HEADER_BYTES]);
    // The size of the database after a commit; 0 in all frames but a commit's last.
    if (frame.readUInt32BE(4) === 0) continue;
    for (const [page, where] of pending) committed.set(page, where);
    pending = [];
  }
}

function logHeader(log: number | null): Buffer {
  return log === null ? Buffer.alloc(0) : bytesAt(log, 0, LOG_HEADER_BYTES);
}

/** Null where there is none, as after a clean stop. */
function openLog(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Fewer than asked for where the file ends. */
function bytesAt(file: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, at));
}
