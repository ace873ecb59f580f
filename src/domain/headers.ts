/**
 * Names that a webhook's own headers must not have: hookd or HTTP itself sets them. Those ending in `-` are
 * prefixes.
 */
export const RESERVED: readonly string[] = [
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "proxy-",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "date",
  "user-agent",
  "content-type",
  "accept-encoding",
  "webhook-",
  "hookd-",
  "x-webhook-id",
  "x-signature",
  "traceparent",
];

/** Own headers of one webhook. */
export const HEADERS_MAX = 20;
/**
 * Bytes of one value. 20 of them with their names stay under what servers commonly take for all headers,
 * twice over.
 */
export const HEADER_VALUE_BYTES_MAX = 4_096;
/** Characters of one name. */
export const HEADER_NAME_LENGTH_MAX = 128;

export type HeadersVerdict =
  /** Lower-case names, in the order given. */
  | { readonly ok: true; readonly headers: [name: string, value: string][] }
  /** `header` is null when no single one is at fault. `why` never repeats a value: it may be a credential. */
  | { readonly ok: false; readonly header: string | null; readonly why: string };

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // RFC 9110 5.6.2
const VALUE = /^[\t\x20-\x7e]*$/;

/** Checks a webhook's own headers, and puts them into the shape in which they are sealed and sent. */
export function checkHeaders(record: Readonly<Record<string, string>>): HeadersVerdict {
  const entries = Object.entries(record);
  if (entries.length > HEADERS_MAX)
    return { ok: false, header: null, why: `there are more than ${HEADERS_MAX}` };
  const headers: [string, string][] = [];
  const seen = new Set<string>();
  for (const [given, value] of entries) {
    const name = given.toLowerCase();
    const why = refusedName(given, name) ?? (seen.has(name) ? "it is there twice" : refusedValue(value));
    if (why !== null) return { ok: false, header: given.slice(0, HEADER_NAME_LENGTH_MAX), why };
    seen.add(name);
    headers.push([name, value]);
  }
  return { ok: true, headers };
}

function refusedName(given: string, name: string): string | null {
  if (given.length > HEADER_NAME_LENGTH_MAX)
    return `its name is longer than ${HEADER_NAME_LENGTH_MAX} characters`;
  if (!TOKEN.test(given)) return "its name is not an HTTP token";
  return isReserved(name) ? "its name is reserved" : null;
}

function isReserved(name: string): boolean {
  return RESERVED.some((entry) => (entry.endsWith("-") ? name.startsWith(entry) : name === entry));
}

function refusedValue(value: unknown): string | null {
  if (typeof value !== "string") return "its value is not a string";
  if (value.length > HEADER_VALUE_BYTES_MAX)
    return `its value is longer than ${HEADER_VALUE_BYTES_MAX} bytes`;
  if (!VALUE.test(value)) return "its value has characters other than printable ASCII and tab";
  return /^[\t ]|[\t ]$/.test(value) ? "its value begins or ends with white space" : null;
}
