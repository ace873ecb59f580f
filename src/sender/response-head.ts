const ZERO = 0x30;
const NINE = 0x39;
const LOWER_CASE_BIT = 0x20;

const CONNECTION = Buffer.from("connection");
const KEEP_ALIVE = Buffer.from("keep-alive");
const CLOSE = Buffer.from("close");
const TIMEOUT = Buffer.from("timeout=");
const RETRY_AFTER = Buffer.from("retry-after");
const CONTENT_LENGTH = Buffer.from("content-length");
const TRANSFER_ENCODING = Buffer.from("transfer-encoding");

/** How the body of a message ends (RFC 9112 section 6.3); `invalid` leaves it to guessing, so to nobody. */
export type Framing = "none" | "length" | "chunked" | "close" | "invalid";

/**
 * What a client must know of one response's status line and header lines. Names and values are compared as
 * bytes where they lie: a string is built for a rare value only.
 */
export class ResponseHead {
  statusCode = 0;
  /** -1: none was given. */
  contentLength = -1;
  /** Seconds for which the receiver keeps the connection, by its `Keep-Alive`; null if it does not say. */
  keepAliveSeconds: number | null = null;
  #isHttp10 = false;
  #saysClose = false;
  #saysKeepAlive = false;
  #codings: string | null = null;
  #retryAfter: string | null = null;

  begin(statusCode: number, isHttp10: boolean): void {
    this.statusCode = statusCode;
    this.contentLength = -1;
    this.keepAliveSeconds = null;
    this.#isHttp10 = isHttp10;
    this.#saysClose = false;
    this.#saysKeepAlive = false;
    this.#codings = null;
    this.#retryAfter = null;
  }

  /** Takes one header line, its value without white space around. False if it makes the message invalid. */
  field(buffer: Buffer, start: number, colon: number, valueStart: number, valueEnd: number): boolean {
    switch (colon - start) {
      case CONNECTION.length:
        if (isWord(buffer, start, colon, CONNECTION)) this.#connection(buffer, valueStart, valueEnd);
        else if (isWord(buffer, start, colon, KEEP_ALIVE)) this.#keepAlive(buffer, valueStart, valueEnd);
        return true;
      case RETRY_AFTER.length:
        if (this.#isThrottling() && isWord(buffer, start, colon, RETRY_AFTER)) {
          this.#retryAfter ??= buffer.toString("latin1", valueStart, valueEnd);
        }
        return true;
      case CONTENT_LENGTH.length:
        if (!isWord(buffer, start, colon, CONTENT_LENGTH)) return true;
        // A second one is refused even where it says the same: two readers could still differ.
        if (this.contentLength >= 0) return false;
        this.contentLength = decimal(buffer, valueStart, valueEnd);
        return this.contentLength >= 0;
      case TRANSFER_ENCODING.length:
        if (isWord(buffer, start, colon, TRANSFER_ENCODING)) {
          const value = buffer.toString("latin1", valueStart, valueEnd);
          this.#codings = this.#codings === null ? value : `${this.#codings},${value}`;
        }
        return true;
      default:
        return true;
    }
  }

  /** Of a 429 or 503, where RFC 9110 gives it a meaning for us; else null. */
  get retryAfter(): string | null {
    return this.#retryAfter;
  }

  framing(): Framing {
    const coded = this.#codings === null ? null : framingOf(this.#codings);
    if (coded === "invalid" || (coded !== null && this.contentLength >= 0)) return "invalid";
    if (this.statusCode === 204 || this.statusCode === 304 || this.contentLength === 0) return "none";
    if (coded !== null) return coded;
    return this.contentLength > 0 ? "length" : "close";
  }

  /**
   * Whether another request may follow on the connection, as far as the head tells. Chunks from HTTP/1.0 are
   * read, but not relied on (RFC 9112 section 6.1), nor are codings that hookd does not know.
   */
  get isReusable(): boolean {
    if (this.#saysClose) return false;
    if (this.#isHttp10) return this.#saysKeepAlive && this.#codings === null;
    return this.#codings === null || /^chunked$/i.test(this.#codings);
  }

  #isThrottling(): boolean {
    return this.statusCode === 429 || this.statusCode === 503;
  }

  #connection(buffer: Buffer, start: number, end: number): void {
    if (isWord(buffer, start, end, KEEP_ALIVE)) this.#saysKeepAlive = true;
    else if (isWord(buffer, start, end, CLOSE)) this.#saysClose = true;
    else {
      const tokens = tokensOf(buffer.toString("latin1", start, end));
      if (tokens.includes("close")) this.#saysClose = true;
      if (tokens.includes("keep-alive")) this.#saysKeepAlive = true;
    }
  }

  #keepAlive(buffer: Buffer, start: number, end: number): void {
    const digits = start + TIMEOUT.length;
    const seconds = isWord(buffer, start, Math.min(digits, end), TIMEOUT) ? decimal(buffer, digits, end) : -1;
    if (seconds >= 0) {
      this.keepAliveSeconds = seconds;
      return;
    }
    const match = /(?:^|[\s,;])timeout=(\d{1,9})/i.exec(buffer.toString("latin1", start, end));
    if (match !== null) this.keepAliveSeconds = Number(match[1]);
  }
}

/**
 * `chunked` as the last coding ends the body by itself. Without it a body with other codings goes on until
 * the connection ends; `chunked` twice or in front of another is not a message.
 */
function framingOf(codings: string): Framing {
  const tokens = tokensOf(codings);
  const at = tokens.indexOf("chunked");
  if (tokens.includes("")) return "invalid";
  if (at < 0) return "close";
  return at === tokens.length - 1 ? "chunked" : "invalid";
}

function tokensOf(value: string): string[] {
  return value.split(",").map((token) => token.trim().toLowerCase());
}

/**
 * Whether the bytes are `word`, given in lower case, in any case. The bit that makes a capital small makes
 * nothing else that a header line may hold into a byte of these words.
 */
function isWord(buffer: Buffer, start: number, end: number, word: Buffer): boolean {
  if (end - start !== word.length) return false;
  for (let index = 0; index < word.length; index += 1) {
    if (((buffer[start + index] ?? 0) | LOWER_CASE_BIT) !== word[index]) return false;
  }
  return true;
}

/** The number that the bytes write in decimal digits alone; -1 for anything else, or beyond 2^53 - 1. */
function decimal(buffer: Buffer, start: number, end: number): number {
  let number = 0;
  for (let index = start; index < end; index += 1) {
    const byte = buffer[index] ?? 0;
    if (byte < ZERO || byte > NINE) return -1;
    number = number * 10 + (byte - ZERO);
  }
  return end > start && number <= Number.MAX_SAFE_INTEGER ? number : -1;
}
