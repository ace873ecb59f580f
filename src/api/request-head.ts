import type { IncomingHttpHeaders } from "node:http";

/**
 * The head of a request as nearly all publishers write it, read without a parser. Strict, and far narrower than the
 * standard: what is not exactly this goes to Node's parser, with all its bytes. A head that two readers could
 * understand in two ways is therefore never read here.
 */
export interface RequestHead {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** RFC 9110 tokens for names; visible characters, spaces and tabs for values; no line folding, no bare CR or LF. */
const HEAD = /^POST (\/[\x21-\x7e]*) HTTP\/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n)+)$/;

/** Headers that publishing reads: twice is not for us to judge. */
export const READ_ALWAYS: ReadonlySet<string> = new Set([
  "authorization",
  "content-length",
  "content-type",
  "host",
  "idempotency-key",
  "x-request-id",
]);
/** And those that it reads where traces are switched on. */
export const READ_TRACED: ReadonlySet<string> = new Set([...READ_ALWAYS, "traceparent"]);
/** Headers that change how the bytes behind the head, or the connection, are to be read. */
const NOT_OURS: ReadonlySet<string> = new Set([
  "transfer-encoding",
  "content-encoding",
  "expect",
  "upgrade",
  "http2-settings",
  "te",
  "trailer",
  "proxy-connection",
  "keep-alive",
]);

/** `text`: from the first character to the CRLF of the last header line, that included. `read`: names of the headers to read. */
export function readHead(text: string, read: ReadonlySet<string> = READ_ALWAYS): RequestHead | null {
  const match = HEAD.exec(text);
  if (match === null) return null;
  const [, url = "", lines = ""] = match;
  const headers: Record<string, string> = {};
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf("\r\n", at);
    const colon = lines.indexOf(":", at);
    const name = lines.slice(at, colon).toLowerCase();
    if (NOT_OURS.has(name)) return null;
    if (name === "connection") {
      if (
        lines
          .slice(colon + 1, end)
          .trim()
          .toLowerCase() !== "keep-alive"
      )
        return null;
    } else if (read.has(name)) {
      if (headers[name] !== undefined) return null;
      headers[name] = lines.slice(colon + 1, end).trim();
    }
    at = end + 2;
  }
  return headers.host === undefined ? null : { url, headers };
}
