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
  #at = 0;

  constructor(initialBytes = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  get length(): number {
    return this.#at;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at] = value;
    this.#at += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#at = this.#buffer.writeUInt16LE(value, this.#at);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#at = this.#buffer.writeUInt32LE(value, this.#at);
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  /** Text of at most 65,535 bytes in UTF-8. */
  text(value: string): void {
    this.#reserve(2 + value.length * 3);
    const written = this.#buffer.write(value, this.#at + 2, "utf8");
    this.#buffer.writeUInt16LE(written, this.#at);
    this.#at += 2 + written;
  }

  bytes(value: Uint8Array): void {
    this.#reserve(4 + value.length);
    this.#buffer.writeUInt32LE(value.length, this.#at);
    this.#buffer.set(value, this.#at + 4);
    this.#at += 4 + value.length;
  }

  /** Overwrites a u32 written earlier (a count that is known at the end). */
  patchU32(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value, at);
  }

  /** The bytes written, in a buffer of their own that can be transferred. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = Buffer.allocUnsafeSlow(this.#at);
    this.#buffer.copy(taken, 0, 0, this.#at);
    this.#at = 0;
    if (this.#buffer.length > KEPT_BYTES_MAX) this.#buffer = Buffer.allocUnsafeSlow(KEPT_BYTES_MAX);
    return taken as Uint8Array<ArrayBuffer>;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

/** Reads what a ByteWriter wrote, in the same order. Byte values are views, not copies. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get hasMore(): boolean {
    return this.#at < this.#buffer.length;
  }

  u8(): number {
    const value = this.#buffer.readUInt8(this.#at);
    this.#at += 1;
    return value;
  }

  u16(): number {
    const value = this.#buffer.readUInt16LE(this.#at);
    this.#at += 2;
    return value;
  }

  u32(): number {
    const value = this.#buffer.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  f64(): number {
    const value = this.#buffer.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  text(): string {
    const length = this.u16();
    const value = this.#buffer.toString("utf8", this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  bytes(): Uint8Array {
    const length = this.u32();
    const value = this.#buffer.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }
}
