import { Failure } from "../failure.ts";

/** A saved HTTP request, as far as its signature is concerned. */
export interface RawRequest {
  /** Names in lower case. Of a header that is there twice, the values joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** What is not as it was sent; null where nothing shows it. */
  readonly damage: string | null;
  /** What was passed over without harm. */
  readonly note: string | null;
}

const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*(.*?)[\t ]*$/;
const REQUEST_LINE = /^[A-Z]+ \S+(?: HTTP\/\d(?:\.\d)?)?$/;

/**
 * Reads a request as it went over the wire, or as tools save it: with or without the request line, lines ended by CRLF
 * or by LF. The body is everything behind the empty line, cut at `content-length`.
 */
export function parseRawRequest(bytes: Buffer): RawRequest {
  const end = headEnd(bytes);
  if (end === null) {
    throw unusable(
      "there is no empty line between headers and body",
      "save it with headers, an empty line, and the body",
    );
  }
  const headers = parseHead(bytes.toString("latin1", 0, end.at));
  if (headers.size === 0) throw unusable("it has no headers", "save it with the headers that came with it");
  const rest = bytes.subarray(end.at + end.length);
  if (/\bchunked\b/i.test(headers.get("transfer-encoding") ?? "")) {
    throw unusable(
      "its body is in chunks (transfer-encoding)",
      "give the decoded body: hookd verify --secret ... --id ... --timestamp ... --signature ... @body",
    );
  }
  const encoding = headers.get("content-encoding");
  const encoded =
    encoding === undefined
      ? null
      : `content-encoding is ${encoding}: signatures are of the body as it was sent`;
  const length = headers.get("content-length");
  if (length === undefined || !/^\d{1,15}$/.test(length)) {
    return { headers, body: rest, damage: encoded, note: null };
  }
  const missing = Number(length) - rest.length;
  if (missing > 0) {
    const damage = `the body has ${rest.length} bytes and not ${length}, as content-length says: it was cut or changed`;
    return { headers, body: rest, damage, note: null };
  }
  const note =
    missing === 0 ? null : `${-missing} bytes behind the body (content-length ${length}) were passed over`;
  return { headers, body: rest.subarray(0, Number(length)), damage: encoded, note };
}

function headEnd(bytes: Buffer): { at: number; length: number } | null {
  const crlf = bytes.indexOf("\r\n\r\n");
  const lf = bytes.indexOf("\n\n");
  if (crlf === -1 && lf === -1) return null;
  return lf === -1 || (crlf !== -1 && crlf < lf) ? { at: crlf, length: 4 } : { at: lf, length: 2 };
}

function parseHead(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  text.split(/\r?\n/).forEach((line, index) => {
    if (index === 0 && REQUEST_LINE.test(line)) return;
    const match = HEADER.exec(line);
    if (match === null)
      throw unusable(`its line ${index + 1} is no header`, "save it as it came, headers first");
    const [, name = "", value = ""] = match;
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  });
  return headers;
}

function unusable(why: string, hint: string): Failure {
  return new Failure(`the saved request cannot be read: ${why}`, { exitCode: 2, hint });
}
