import { parseRetryAfter } from "../domain/classify.ts";

/** Body bytes that are read before the connection is closed instead. */
export const BODY_BYTES_MAX = 64 * 1_024;

/** What has come of a response so far. */
export class ResponseRecord {
  /** Of the final response; 0 until its header lines are complete. Interim responses leave no trace. */
  statusCode = 0;
  bodyBytes = 0;
  excerpt: Uint8Array | null = null;
  readonly #excerptBytesMax: number;
  #retryAfter: string | null = null;

  constructor(excerptBytesMax: number) {
    this.#excerptBytesMax = excerptBytesMax;
  }

  /** `retryAfter`: the header's value, where the status gives it a meaning. */
  start(statusCode: number, retryAfter: string | null): void {
    this.statusCode = statusCode;
    this.#retryAfter = retryAfter;
  }

  /** Adds `buffer[start..end)` to the body. Copies, for the buffer is used again. */
  add(buffer: Uint8Array, start: number, end: number): void {
    this.bodyBytes += end - start;
    const have = this.excerpt?.length ?? 0;
    const length = Math.min(end - start, this.#excerptBytesMax - have);
    if (length <= 0) return;
    const excerpt = new Uint8Array(have + length);
    if (this.excerpt !== null) excerpt.set(this.excerpt);
    excerpt.set(buffer.subarray(start, start + length), have);
    this.excerpt = excerpt;
  }

  /** Of a 429 or 503, else null. */
  retryAfterMs(now: number): number | null {
    return this.#retryAfter === null ? null : parseRetryAfter(this.#retryAfter, now);
  }
}
