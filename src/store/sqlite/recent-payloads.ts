/** So much is kept in all: half a second's payloads of 1 KiB at the highest rate. */
const BYTES_MAX = 16 * 1_024 * 1_024;
/** What is larger costs little to read again, beside what it costs to send. */
const ONE_MAX = 64 * 1_024;

/** Where a payload is kept: so many bytes after the first one that was ever kept. */
export interface KeptPayload {
  readonly at: number;
  readonly length: number;
}

/**
 * Payloads of deliveries that wait since a moment, in one ring: under load most of them are leased before it has gone
 * round, and need not be read from the journal again. As objects they would be megabytes a second for the collector.
 */
export class RecentPayloads {
  readonly #capacity: number;
  /** Made with the first payload, and let go in quiet times. */
  #ring: Buffer | null = null;
  #end = 0;
  #endAtRest = 0;

  constructor(capacity = BYTES_MAX) {
    this.#capacity = capacity;
  }

  /** Null: it is too large. */
  keep(payload: Uint8Array): KeptPayload | null {
    const { length } = payload;
    if (length > Math.min(ONE_MAX, this.#capacity)) return null;
    this.#ring ??= Buffer.allocUnsafeSlow(this.#capacity);
    const offset = this.#end % this.#capacity;
    // What does not fit before the ring's end begins at its beginning.
    if (offset + length > this.#capacity) this.#end += this.#capacity - offset;
    const at = this.#end;
    this.#ring.set(payload, at % this.#capacity);
    this.#end += length;
    return { at, length };
  }

  /** To be called after each fold, and in quiet times: where nothing began to wait since the last time, the ring is let go. */
  rest(): void {
    if (this.#end === this.#endAtRest && this.#ring !== null) {
      this.#ring = null;
      // What is still kept counts as written over.
      this.#end += this.#capacity + 1;
    }
    this.#endAtRest = this.#end;
  }

  /** A copy; null: others have been written over it. */
  get({ at, length }: KeptPayload): Uint8Array | null {
    if (this.#ring === null || this.#end - at > this.#capacity) return null;
    const offset = at % this.#capacity;
    return Buffer.from(this.#ring.subarray(offset, offset + length));
  }
}
