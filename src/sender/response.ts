import { parseRetryAfter } from "../domain/classify.ts";

/** Body bytes that are read before the connection is closed instead. */
export const BODY_BYTES_MAX = 64 * 1_024;

/** What has come of a response so far. */
export class ResponseRecord {
  /** Of the final response; 0 until its header lines are complete. */
  statusCode = 0;
  bodyBytes = 0;
  excerpt: Uint8Array | null = null;
  #retryAfter: string | null = null;

  /** Interim responses (below 200) say nothing; how many may come, the byte cap and the deadline bound. */
  start(statusCode: number, headers: Readonly<Record<string, string | string[] | undefined>>): void {
    if (statusCode < 200) return;
    this.statusCode = statusCode;
    if (statusCode !== 429 && statusCode !== 503) return;
    const value = headers["retry-after"];
    this.#retryAfter = (Array.isArray(value) ? value[0] : value) ?? null;
  }

  /** Copies, for `chunk` lies in a buffer that is used again. */
  add(chunk: Uint8Array, excerptBytes: number): void {
    this.bodyBytes += chunk.length;
    const have = this.excerpt?.length ?? 0;
    if (have >= excerptBytes || chunk.length === 0) return;
    const part = chunk.subarray(0, excerptBytes - have);
    const excerpt = new Uint8Array(have + part.length);
    if (this.excerpt !== null) excerpt.set(this.excerpt);
    excerpt.set(part, have);
    this.excerpt = excerpt;
  }

  /** Of a 429 or 503, else null. */
  retryAfterMs(now: number): number | null {
    return this.#retryAfter === null ? null : parseRetryAfter(this.#retryAfter, now);
  }
}
