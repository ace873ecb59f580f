import type { AttemptError } from "../domain/delivery.ts";
import { BODY_BYTES_MAX, type ResponseRecord } from "./response.ts";
import { ResponseHead } from "./response-head.ts";

/** Bytes of the status line and header lines of one response, interim ones each; and of one trailer. */
export const HEAD_BYTES_MAX = 16 * 1_024;
/** Bytes of one chunk's size line: receivers have no use for chunk extensions, only floods have. */
export const SIZE_LINE_BYTES_MAX = 16 * 1_024;
/**
 * Interim responses before the final one. Who asks for patience sends one a second or so; the byte cap of an
 * attempt ends a flood of long ones, this one of short ones.
 */
export const INTERIM_MAX = 500;
/** First size of the buffer for a line that comes in pieces. */
const PIECES_BYTES = 256;

/** `failed`: see `failure`. What came so far stands: a status that is in decides the attempt. */
export type ParserProgress = "more" | "done" | "failed";

export interface ParserFailure {
  readonly kind: Extract<AttemptError, "protocol" | "too_large">;
  readonly why: string;
}

/**
 *   status --line--> field --empty line--> (interim: status) | sized | size | until_close | done
 *   size --size line--> chunk --its bytes--> chunk_cr --> chunk_lf --> size
 *     +-- size 0 --> trailer --empty line--> done
 *   sized --its bytes--> done        until_close --finish()--> done
 *
 * From each of them a byte that cannot be, or a limit, leads to failed.
 */
type State =
  | "status"
  | "field"
  | "sized"
  | "until_close"
  | "size"
  | "chunk"
  | "chunk_cr"
  | "chunk_lf"
  | "trailer"
  | "done"
  | "failed";

const HTAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const ZERO = 0x30;
const COLON = 0x3a;
const SEMICOLON = 0x3b;

/** RFC 9110 5.6.2: bytes of a field name. */
const IS_TOKEN = tableOf(/[!#$%&'*+.^_`|~0-9A-Za-z-]/);
/** RFC 9110 5.5: bytes of a field value or reason phrase; of the control characters only the tab. */
const IS_TEXT = tableOf(/[\t\x20-\x7e\x80-\xff]/);
const NO_DIGIT = 16;
const HEX_DIGITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const digit = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(digit) ? NO_DIGIT : digit;
});
const HTTP_1 = Buffer.from("HTTP/1.");
/** `HTTP/1.1 200` and CRLF: the reason and the space in front of it are often left out. */
const STATUS_LINE_BYTES_MIN = 14;
const UNFINISHED = -1;

/**
 * An incremental HTTP/1.1 response parser (RFC 9112), strict where leniency would let two readers see two
 * messages: no bare CR or LF, no folded line, no space before a colon, one framing. It is fed a connection's
 * bytes as they come, in whatever pieces, and the pieces make no difference. A line that lies whole in a
 * piece is read where it lies; only one that is cut is copied.
 */
export class ResponseParser {
  /** Bytes came behind the end of the message: the connection must not be used again. */
  hasLeftover = false;
  failure: ParserFailure | null = null;
  readonly #head = new ResponseHead();
  #record: ResponseRecord | null = null;
  #state: State = "done";
  /** Bytes of whole lines that count towards the limit of the present section. */
  #sectionBytes = 0;
  #interimCount = 0;
  /** Of the body or chunk. */
  #bytesLeft = 0;
  #pieces: Buffer | null = null;
  #piecesLength = 0;

  /** For the next message; what comes of it goes to `record`. */
  begin(record: ResponseRecord): void {
    this.#record = record;
    this.#state = "status";
    this.hasLeftover = false;
    this.failure = null;
    this.#sectionBytes = 0;
    this.#interimCount = 0;
    this.#pieces = null;
    this.#piecesLength = 0;
  }

  /** Takes the first `end` bytes of `buffer`, which may be used again afterwards. */
  feed(buffer: Buffer, end: number): ParserProgress {
    let at = 0;
    while (at < end) {
      if (this.#state === "failed") return "failed";
      if (this.#state === "done") {
        this.hasLeftover = true;
        return "done";
      }
      at = this.#step(buffer, at, end);
    }
    return this.#progress();
  }

  /** The connection has ended: `done` if that ends the message too. */
  finish(): ParserProgress {
    if (this.#state === "until_close") this.#state = "done";
    return this.#progress();
  }

  /** Whether another request may follow on this connection; asked when the message is done. */
  get isReusable(): boolean {
    return !this.hasLeftover && this.#head.isReusable && this.#head.framing() !== "close";
  }

  get keepAliveSeconds(): number | null {
    return this.#head.keepAliveSeconds;
  }

  #progress(): ParserProgress {
    if (this.#state === "done") return "done";
    return this.#state === "failed" ? "failed" : "more";
  }

  /** Consumes at least a byte; returns where it stopped. */
  #step(buffer: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case "status":
      case "field":
      case "size":
      case "trailer":
        return this.#line(buffer, at, end);
      case "sized":
      case "chunk":
        return this.#body(buffer, at, Math.min(end, at + this.#bytesLeft));
      case "until_close":
        return this.#body(buffer, at, end);
      case "chunk_cr":
        return this.#expect(CR, "chunk_lf", buffer, at);
      case "chunk_lf":
        this.#sectionBytes = 0;
        return this.#expect(LF, "size", buffer, at);
      default:
        return end;
    }
  }

  #body(buffer: Buffer, at: number, end: number): number {
    const record = this.#record;
    if (record === null) return end;
    const room = BODY_BYTES_MAX - record.bodyBytes;
    record.add(buffer, at, Math.min(end, at + room));
    if (end - at > room) return this.#fail("too_large", `a body of more than ${BODY_BYTES_MAX} bytes`, end);
    if (this.#state === "until_close") return end;
    this.#bytesLeft -= end - at;
    if (this.#bytesLeft === 0) this.#state = this.#state === "sized" ? "done" : "chunk_cr";
    return end;
  }

  #expect(byte: number, next: State, buffer: Buffer, at: number): number {
    if (buffer[at] !== byte) return this.#fail("protocol", "a chunk is longer than its size", at + 1);
    this.#state = next;
    return at + 1;
  }

  /** One line, in place if it is whole, else from the pieces gathered so far. */
  #line(buffer: Buffer, at: number, end: number): number {
    if (this.#piecesLength === 0) {
      const next = this.#read(buffer, at, end);
      if (next !== UNFINISHED) return next;
      this.#gather(buffer, at, end);
      return end;
    }
    const lineFeed = findLineFeed(buffer, at, end);
    const next = lineFeed < 0 ? end : lineFeed + 1;
    const pieces = this.#gather(buffer, at, next);
    if (lineFeed < 0 || pieces === null) return next;
    const length = this.#piecesLength;
    this.#pieces = null;
    this.#piecesLength = 0;
    this.#read(pieces, 0, length);
    return next;
  }

  /** Null if the line is too long already, or no line of HTTP. */
  #gather(buffer: Buffer, at: number, end: number): Buffer | null {
    const length = this.#piecesLength + (end - at);
    let pieces = this.#pieces;
    if (pieces === null || pieces.length < length) {
      pieces = Buffer.allocUnsafe(Math.max(PIECES_BYTES, 2 * length));
      this.#pieces?.copy(pieces, 0, 0, this.#piecesLength);
      this.#pieces = pieces;
    }
    buffer.copy(pieces, this.#piecesLength, at, end);
    this.#piecesLength = length;
    if (this.#state === "status" && !beginsLikeHttp(pieces, 0, length)) {
      this.#fail("protocol", "the answer is not HTTP/1", end);
      return null;
    }
    if (this.#sectionBytes + length > this.#sectionBytesMax()) {
      this.#failTooLong(end);
      return null;
    }
    return pieces;
  }

  /** Reads the line at `at`: returns where the next begins, or UNFINISHED if this one's end is not there. */
  #read(buffer: Buffer, at: number, end: number): number {
    if (this.#state === "status") return this.#statusLine(buffer, at, end);
    if (this.#state === "size") return this.#sizeLine(buffer, at, end);
    return this.#fieldLine(buffer, at, end);
  }

  #statusLine(buffer: Buffer, at: number, end: number): number {
    if (!beginsLikeHttp(buffer, at, end)) return this.#fail("protocol", "the answer is not HTTP/1", end);
    if (end - at < STATUS_LINE_BYTES_MIN) return this.#malformed("status line", buffer, at, end);
    const minor = (buffer[at + 7] ?? 0) - ZERO;
    const hundreds = (buffer[at + 9] ?? 0) - ZERO;
    const tens = (buffer[at + 10] ?? 0) - ZERO;
    const ones = (buffer[at + 11] ?? 0) - ZERO;
    const isStatus = hundreds >= 1 && hundreds <= 9 && tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9;
    const isVersion = (minor === 0 || minor === 1) && buffer[at + 8] === SPACE;
    let lineEnd = at + 12;
    if (buffer[lineEnd] === SPACE) lineEnd = skip(IS_TEXT, buffer, lineEnd, end);
    if (!isVersion || !isStatus || !isLineEnd(buffer, lineEnd, end)) {
      return this.#malformed("status line", buffer, at, end);
    }
    if (!this.#count(lineEnd + 2 - at)) return lineEnd + 2;
    this.#head.begin(hundreds * 100 + tens * 10 + ones, minor === 0);
    this.#state = "field";
    return lineEnd + 2;
  }

  #fieldLine(buffer: Buffer, at: number, end: number): number {
    if (isLineEnd(buffer, at, end)) {
      if (!this.#count(2)) return at + 2;
      if (this.#state === "trailer") this.#state = "done";
      else this.#endHead();
      return at + 2;
    }
    const colon = skip(IS_TOKEN, buffer, at, end);
    if (colon === at || colon === end || buffer[colon] !== COLON) {
      return this.#malformed("header line", buffer, at, end);
    }
    let valueStart = colon + 1;
    const lineEnd = skip(IS_TEXT, buffer, valueStart, end);
    if (!isLineEnd(buffer, lineEnd, end)) return this.#malformed("header line", buffer, at, end);
    if (!this.#count(lineEnd + 2 - at) || this.#state === "trailer") return lineEnd + 2;
    let valueEnd = lineEnd;
    while (valueStart < valueEnd && isBlank(buffer[valueStart])) valueStart += 1;
    while (valueStart < valueEnd && isBlank(buffer[valueEnd - 1])) valueEnd -= 1;
    if (!this.#head.field(buffer, at, colon, valueStart, valueEnd)) {
      return this.#fail("protocol", "a Content-Length that is malformed, or a second one", lineEnd + 2);
    }
    return lineEnd + 2;
  }

  #endHead(): void {
    const { statusCode } = this.#head;
    this.#sectionBytes = 0;
    if (statusCode < 200) {
      this.#interimCount += 1;
      if (statusCode === 101) this.#fail("protocol", "101, which was not asked for", 0);
      else if (this.#interimCount > INTERIM_MAX)
        this.#fail("protocol", `more than ${INTERIM_MAX} interim responses`, 0);
      else this.#state = "status";
      return;
    }
    const framing = this.#head.framing();
    if (framing === "invalid") {
      this.#fail("protocol", "a Transfer-Encoding that is malformed, or beside a Content-Length", 0);
      return;
    }
    this.#record?.start(statusCode, this.#head.retryAfter);
    this.#bytesLeft = this.#head.contentLength;
    if (framing === "none") this.#state = "done";
    else if (framing === "length") this.#state = "sized";
    else this.#state = framing === "chunked" ? "size" : "until_close";
  }

  #sizeLine(buffer: Buffer, at: number, end: number): number {
    let size = 0;
    let index = at;
    for (; index < end; index += 1) {
      const digit = HEX_DIGITS[buffer[index] ?? 0] ?? NO_DIGIT;
      if (digit === NO_DIGIT) break;
      size = size * 16 + digit;
    }
    const isSize = index > at && size <= Number.MAX_SAFE_INTEGER;
    if (buffer[index] === SEMICOLON) index = skip(IS_TEXT, buffer, index, end);
    if (!isSize || !isLineEnd(buffer, index, end)) return this.#malformed("chunk size", buffer, at, end);
    if (!this.#count(index + 2 - at)) return index + 2;
    this.#sectionBytes = 0;
    this.#bytesLeft = size;
    this.#state = size === 0 ? "trailer" : "chunk";
    return index + 2;
  }

  /** For a line that cannot be read: it is malformed if its line feed is there, and cut off if not. */
  #malformed(what: string, buffer: Buffer, at: number, end: number): number {
    const lineFeed = findLineFeed(buffer, at, end);
    if (lineFeed < 0) return UNFINISHED;
    if (!this.#count(lineFeed + 1 - at)) return lineFeed + 1;
    return this.#fail("protocol", `a malformed ${what}`, lineFeed + 1);
  }

  /** Counts a whole line towards its section's limit. False, and failed, if that is passed. */
  #count(bytes: number): boolean {
    this.#sectionBytes += bytes;
    if (this.#sectionBytes <= this.#sectionBytesMax()) return true;
    this.#failTooLong(0);
    return false;
  }

  #sectionBytesMax(): number {
    return this.#state === "size" ? SIZE_LINE_BYTES_MAX : HEAD_BYTES_MAX;
  }

  #failTooLong(next: number): number {
    const what = this.#state === "size" ? "a chunk's size line" : "header lines";
    return this.#fail("too_large", `${what} of more than ${this.#sectionBytesMax()} bytes`, next);
  }

  #fail(kind: ParserFailure["kind"], why: string, next: number): number {
    this.#state = "failed";
    this.failure = { kind, why };
    this.#pieces = null;
    return next;
  }
}

function skip(table: Uint8Array, buffer: Buffer, from: number, end: number): number {
  let at = from;
  while (at < end && table[buffer[at] ?? 0] === 1) at += 1;
  return at;
}

function isLineEnd(buffer: Buffer, at: number, end: number): boolean {
  return at + 1 < end && buffer[at] === CR && buffer[at + 1] === LF;
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === HTAB;
}

function findLineFeed(buffer: Buffer, from: number, end: number): number {
  for (let at = from; at < end; at += 1) if (buffer[at] === LF) return at;
  return -1;
}

/** As far as the bytes go. */
function beginsLikeHttp(buffer: Buffer, at: number, end: number): boolean {
  const length = Math.min(HTTP_1.length, end - at);
  for (let index = 0; index < length; index += 1) if (buffer[at + index] !== HTTP_1[index]) return false;
  return true;
}

function tableOf(bytes: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (bytes.test(String.fromCharCode(byte)) ? 1 : 0));
}
