/**
 * A scanner for JSON (RFC 8259) over bytes that builds no objects: it says where a value ends, or that the text is no
 * JSON. Payloads go on to receivers as the bytes that came, so there is nothing to build; and a body that JSON.parse
 * would turn into a deep or huge object costs one pass here.
 *
 * It takes what JSON.parse takes, but for nesting (JSON_DEPTH_MAX). UTF-8 is checked apart (`buffer.isUtf8`): inside
 * strings every byte from 0x20 up is let through.
 */
export const JSON_DEPTH_MAX = 64;

export class JsonError extends Error {
  /** Byte position, from 0. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.name = "JsonError";
    this.offset = offset;
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** The position of the first byte from `at` that is not white space. */
export function skipSpace(bytes: Uint8Array, at: number): number {
  let here = at;
  while (here < bytes.length) {
    const byte = bytes[here] as number;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return here;
    here += 1;
  }
  return here;
}

/** The position after the value that begins at `at`; throws JsonError. `depthLeft`: nesting still allowed. */
export function skipValue(bytes: Uint8Array, at: number, depthLeft: number = JSON_DEPTH_MAX): number {
  switch (bytes[at]) {
    case QUOTE:
      return skipString(bytes, at);
    case 0x7b:
      return skipObject(bytes, at, depthLeft);
    case 0x5b:
      return skipArray(bytes, at, depthLeft);
    case 0x74:
      return skipWord(bytes, at, "true");
    case 0x66:
      return skipWord(bytes, at, "false");
    case 0x6e:
      return skipWord(bytes, at, "null");
    default:
      return skipNumber(bytes, at);
  }
}

/** The position after the string whose opening quote is at `at`. */
export function skipString(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== QUOTE) throw unexpected(bytes, at, "a string");
  const end = bytes.length;
  let here = at + 1;
  while (here < end) {
    const byte = bytes[here] as number;
    if (byte === QUOTE) return here + 1;
    if (byte === BACKSLASH) here = skipEscape(bytes, here);
    else if (byte < 0x20) throw new JsonError("a control character stands unescaped in a string", here);
    else here += 1;
  }
  throw new JsonError("a string does not end", at);
}

/** The position after a colon, with white space round it. */
export function skipColon(bytes: Uint8Array, at: number): number {
  const here = skipSpace(bytes, at);
  if (bytes[here] !== COLON) throw unexpected(bytes, here, "a colon");
  return skipSpace(bytes, here + 1);
}

/** After a member or item: true where another follows. Moves nothing: the comma or bracket is at `at`. */
export function isFollowed(bytes: Uint8Array, at: number, close: number): boolean {
  const byte = bytes[at];
  if (byte === COMMA) return true;
  if (byte === close) return false;
  throw unexpected(bytes, at, `a comma or "${String.fromCharCode(close)}"`);
}

export function unexpected(bytes: Uint8Array, at: number, wanted: string): JsonError {
  const byte = bytes[at];
  if (byte === undefined) return new JsonError(`the text ends where ${wanted} should be`, at);
  const isPlain = byte > 0x20 && byte < 0x7f;
  const found = isPlain ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`;
  return new JsonError(`${found} where ${wanted} should be`, at);
}

function skipObject(bytes: Uint8Array, at: number, depthLeft: number): number {
  if (depthLeft <= 0) throw new JsonError(`nested deeper than ${JSON_DEPTH_MAX} levels`, at);
  let here = skipSpace(bytes, at + 1);
  if (bytes[here] === 0x7d) return here + 1;
  for (;;) {
    here = skipColon(bytes, skipString(bytes, here));
    here = skipSpace(bytes, skipValue(bytes, here, depthLeft - 1));
    if (!isFollowed(bytes, here, 0x7d)) return here + 1;
    here = skipSpace(bytes, here + 1);
  }
}

function skipArray(bytes: Uint8Array, at: number, depthLeft: number): number {
  if (depthLeft <= 0) throw new JsonError(`nested deeper than ${JSON_DEPTH_MAX} levels`, at);
  let here = skipSpace(bytes, at + 1);
  if (bytes[here] === 0x5d) return here + 1;
  for (;;) {
    here = skipSpace(bytes, skipValue(bytes, here, depthLeft - 1));
    if (!isFollowed(bytes, here, 0x5d)) return here + 1;
    here = skipSpace(bytes, here + 1);
  }
}

function skipEscape(bytes: Uint8Array, at: number): number {
  switch (bytes[at + 1]) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return at + 2;
    case 0x75:
      for (let index = at + 2; index < at + 6; index += 1) {
        if (!isHexDigit(bytes[index])) throw new JsonError("\\u needs four hexadecimal digits", at);
      }
      return at + 6;
    default:
      throw new JsonError("an escape that JSON does not know", at);
  }
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  if (byte >= ZERO && byte <= NINE) return true;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66;
}

function skipWord(bytes: Uint8Array, at: number, word: string): number {
  for (let index = 1; index < word.length; index += 1) {
    if (bytes[at + index] !== word.charCodeAt(index)) throw unexpected(bytes, at, "a value");
  }
  return at + word.length;
}

function skipNumber(bytes: Uint8Array, at: number): number {
  let here = bytes[at] === MINUS ? at + 1 : at;
  if (bytes[here] === ZERO) here += 1;
  else here = skipDigits(bytes, here, at);
  if (bytes[here] === DOT) here = skipDigits(bytes, here + 1, at);
  const byte = bytes[here];
  if (byte === 0x65 || byte === 0x45) {
    const sign = bytes[here + 1];
    here = skipDigits(bytes, sign === 0x2b || sign === MINUS ? here + 2 : here + 1, at);
  }
  return here;
}

/** One digit at least. */
function skipDigits(bytes: Uint8Array, at: number, start: number): number {
  let here = at;
  for (;;) {
    const byte = bytes[here];
    if (byte === undefined || byte < ZERO || byte > NINE) break;
    here += 1;
  }
  if (here > at) return here;
  throw at === start ? unexpected(bytes, at, "a value") : new JsonError("a number is cut off", start);
}
