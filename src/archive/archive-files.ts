import * as fs from "node:fs";
import { dirname, join } from "node:path";
import type { EndedDelivery } from "../domain/delivery.ts";
import { type IdSalt, timeOfSeq } from "../domain/ids.ts";
import { lineOf } from "./line.ts";
import { isTorn, isWhole, MEMBER_HEADER_BYTES, memberLength, memberOf } from "./member.ts";

/** The calls of node:fs that are used. A test gives others, which fail. */
export type FileCalls = Pick<
  typeof fs,
  | "closeSync"
  | "existsSync"
  | "fstatSync"
  | "fsyncSync"
  | "ftruncateSync"
  | "mkdirSync"
  | "openSync"
  | "readSync"
  | "writeSync"
>;

export interface ArchiveOptions {
  /** `retention.archive_dir`. */
  readonly directory: string;
  readonly salt: IdSalt;
  readonly files?: FileCalls;
}

/** Lines in one member, before packing: about 3,000 of 1 KiB. A longer line is a member by itself. */
const MEMBER_BYTES = 4 * 2 ** 20;
/** More than the longest member, whose one line has a payload of 16 MiB in base64. What is longer is not torn, but damaged. */
const TORN_BYTES_MAX = 32 * 2 ** 20;
/** Files whose length is remembered. Appending to another one walks over its headers first. */
const KNOWN_MAX = 256;
/** Files of one hour that are damaged and left alone, until an operator is asked to look. */
const DAMAGED_MAX = 9;

/**
 * Files of ended deliveries, `<directory>/<UTC date>/<hour of acceptance>.ndjson.gz`. Each append writes members and
 * syncs them one by one, so a crash leaves at most the last one torn; it is cut off before the next append. A file that
 * is damaged in any other way is never touched: `<hour>.2.ndjson.gz` takes its place. All calls block, so it lives in a
 * thread of its own.
 */
export class ArchiveFiles {
  readonly #directory: string;
  readonly #salt: IdSalt;
  readonly #files: FileCalls;
  /** Durable length by path, as this process left it. */
  readonly #lengths = new Map<string, number>();
  /** Paths whose directories this process has synced. */
  readonly #named = new Set<string>();

  constructor(options: ArchiveOptions) {
    this.#directory = options.directory;
    this.#salt = options.salt;
    this.#files = options.files ?? fs;
  }

  /** When it returns, all of them are durable; when it throws, any of them may be. */
  append(ended: readonly EndedDelivery[]): void {
    const byHour = new Map<string, EndedDelivery[]>();
    for (const one of ended) {
      const hour = hourOf(timeOfSeq(one.event));
      const others = byHour.get(hour);
      if (others) others.push(one);
      else byHour.set(hour, [one]);
    }
    for (const [hour, deliveries] of byHour) this.#appendTo(hour, deliveries);
  }

  #appendTo(hour: string, deliveries: readonly EndedDelivery[]): void {
    const { fd, path, length } = this.#open(hour);
    try {
      let at = length;
      for (const lines of chunksOf(deliveries, this.#salt)) {
        const member = memberOf(lines);
        this.#write(fd, member, at);
        this.#files.fsyncSync(fd);
        at += member.length;
        this.#lengths.set(path, at);
      }
    } finally {
      this.#files.closeSync(fd);
    }
  }

  #open(hour: string): { fd: number; path: string; length: number } {
    for (let number = 1; number <= DAMAGED_MAX; number += 1) {
      const path = join(this.#directory, `${hour}${number === 1 ? "" : `.${number}`}.ndjson.gz`);
      const fd = this.#openFile(path);
      try {
        const length = this.#wholeLength(fd, path);
        if (length !== null) return { fd, path, length };
      } catch (error) {
        this.#files.closeSync(fd);
        throw error;
      }
      this.#files.closeSync(fd);
    }
    throw new Error(
      `${join(this.#directory, hour)}.ndjson.gz and ${DAMAGED_MAX - 1} more are damaged: move them away`,
    );
  }

  #openFile(path: string): number {
    const isThere = this.#files.existsSync(path);
    const directory = dirname(path);
    if (!isThere) {
      this.#files.mkdirSync(directory, { recursive: true, mode: 0o700 });
      this.#lengths.delete(path);
      this.#named.delete(path);
    }
    const fd = this.#files.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    try {
      this.#syncName(path, directory);
    } catch (error) {
      this.#files.closeSync(fd);
      throw error;
    }
    return fd;
  }

  /** The file's name must survive as the file does, and so must its directory's: whoever made it may have died before. */
  #syncName(path: string, directory: string): void {
    if (this.#named.has(path)) return;
    for (const parent of [directory, this.#directory, dirname(this.#directory)]) this.#syncDirectory(parent);
    if (this.#named.size >= KNOWN_MAX) this.#named.clear();
    this.#named.add(path);
  }

  /** The length of what is whole, to which the file is cut. Null: it is damaged where a crash does not. */
  #wholeLength(fd: number, path: string): number | null {
    const size = this.#files.fstatSync(fd).size;
    const known = this.#lengths.get(path);
    const length = known !== undefined && known <= size ? known : this.#scan(fd, size);
    if (length === null) return null;
    if (size > length) {
      this.#files.ftruncateSync(fd, length);
      this.#files.fsyncSync(fd);
    }
    if (this.#lengths.size >= KNOWN_MAX) this.#lengths.clear();
    this.#lengths.set(path, length);
    return length;
  }

  /** From header to header; only the last member can be less than whole. */
  #scan(fd: number, size: number): number | null {
    let last = 0;
    let at = 0;
    while (at < size) {
      const length = memberLength(this.#read(fd, at, MEMBER_HEADER_BYTES));
      if (length === null || at + length > size) break;
      last = at;
      at += length;
    }
    if (at === size && (at === 0 || isWhole(this.#read(fd, last, at - last)))) return size;
    const whole = at === size ? last : at;
    if (size - whole > TORN_BYTES_MAX) return null;
    return isTorn(this.#read(fd, whole, size - whole)) ? whole : null;
  }

  #read(fd: number, at: number, bytes: number): Buffer {
    const buffer = Buffer.alloc(bytes);
    const read = this.#files.readSync(fd, buffer, 0, bytes, at);
    return buffer.subarray(0, read);
  }

  #write(fd: number, bytes: Uint8Array, at: number): void {
    for (let written = 0; written < bytes.length; ) {
      written += this.#files.writeSync(fd, bytes, written, bytes.length - written, at + written);
    }
  }

  #syncDirectory(path: string): void {
    const fd = this.#files.openSync(path, fs.constants.O_RDONLY);
    try {
      this.#files.fsyncSync(fd);
    } finally {
      this.#files.closeSync(fd);
    }
  }
}

/** `2026-11-22/07`, in UTC. */
function hourOf(at: number): string {
  return new Date(at).toISOString().slice(0, 13).replace("T", "/");
}

function* chunksOf(deliveries: readonly EndedDelivery[], salt: IdSalt): Generator<Uint8Array> {
  let lines: Uint8Array[] = [];
  let bytes = 0;
  for (const delivery of deliveries) {
    const line = lineOf(delivery, salt);
    if (bytes > 0 && bytes + line.length > MEMBER_BYTES) {
      yield Buffer.concat(lines, bytes);
      lines = [];
      bytes = 0;
    }
    lines.push(line);
    bytes += line.length;
  }
  if (bytes > 0) yield Buffer.concat(lines, bytes);
}
