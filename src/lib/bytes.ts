import type { Repeated } from "./interned.ts";

const TEXT_BYTES_MAX = 65_535;
/** A writer keeps no more than this between messages. */
const KEPT_BYTES_MAX = 1024 * 1024;

/**
 * Plain bytes for batches that cross threads or go into one row: little endian, no alignment, lengths in front.
 * A writer grows by doubling, and keeps what it grew to: `take()` hands over a copy of just the bytes written. (Handing
 * over the buffer itself made a new one of 32 KiB for each message of 200 bytes, at thousands of messages a second: the
 * collector of every thread was busy with nothing else, and the new pages cost more than the copy.)
 */
export class ByteWriter {
  #buffer: Buffer;
  /** Of the same bytes: V8 makes one instruction of each access, where Buffer's methods are calls. */
  #view: DataView;
  #at = 0;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
    this.#view = viewOf(this.#buffer);
  }

  get length(): number {
    return this.#at;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#at, value, true);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  /** Text of at most 65,535 bytes in UTF-8. */
  text(value: string): void {
    this.#reserve(2 + value.length * 3);
    const written = this.#buffer.write(value, this.#at + 2, "utf8");
    if (written > TEXT_BYTES_MAX)
      throw new RangeError(`a text of ${written} bytes: ${TEXT_BYTES_MAX} are the most`);
    this.#view.setUint16(this.#at, written, true);
    this.#at += 2 + written;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(4 + value.length);
    this.#view.setUint32(this.#at, value.length, true);
    this.#buffer.set(value, this.#at + 4);
    this.#at += 4 + value.length;
  }

  /** As if nothing had been written from `length` on. */
  cutTo(length: number): void {
    this.#at = Math.min(this.#at, length);
  }

  /** The bytes written, in a buffer of their own that can be transferred. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = Buffer.allocUnsafeSlow(this.#at);
    this.#buffer.copy(taken, 0, 0, this.#at);
    this.#at = 0;
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#use(Buffer.allocUnsafeSlow(KEPT_BYTES_MAX));
    return taken as Uint8Array<ArrayBuffer>;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#use(grown);
  }

  #use(buffer: Buffer): void {
    this.#buffer = buffer;
    this.#view = viewOf(buffer);
  }
}

/** Reads what a ByteWriter wrote, in the same order. Byte values are views, not copies. */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = viewOf(bytes);
  }

  get hasMore(): boolean {
    return this.#at < this.#buffer.length;
  }

  u8(): number {
    const value = this.#view.getUint8(this.#at);
    this.#at += 1;
    return value;
  }

  u16(): number {
    const value = this.#view.getUint16(this.#at, true);
    this.#at += 2;
    return value;
  }

  u32(): number {
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  f64(): number {
    const value = this.#view.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  text(): string {
    const length = this.u16();
    const value = this.#buffer.toString("utf8", this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  /** A text of which the last one is known. */
  repeatedText<V>(last: Repeated<V>): V {
    return this.#repeated(last, this.u16());
  }

  repeatedBytes<V>(last: Repeated<V>): V {
    return this.#repeated(last, this.u32());
  }

  #repeated<V>(last: Repeated<V>, length: number): V {
    const value = last.of(this.#buffer, this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  bytes(): Buffer {
    const length = this.u32();
    const value = this.#buffer.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
