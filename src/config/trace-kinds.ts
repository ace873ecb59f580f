import { type Kind, nullOrText } from "./kinds.ts";

/** Where OTLP has traces (OTLP specification 1.x, "OTLP/HTTP Request"). */
const TRACES_PATH = "/v1/traces";
const URL_LENGTH_MAX = 2_048;
const HEADERS_MAX = 20;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/; // RFC 9110 5.6.2
const VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]{0,4094}[\x21-\x7e])?$/;
/** What the export sets itself. */
const OURS = ["content-type", "content-length", "host", "connection", "transfer-encoding"];

/** A collector's URL, in full: the address of one gets the path of OTLP's traces. */
export function collectorEndpoint(example: string): Kind<string | null> {
  return {
    expects:
      "an http or https URL without a user, a query or a fragment, or null (credentials go into trace.headers)",
    range: "",
    example,
    // What is wrong with it may be that it has a password.
    isHiddenInFaults: true,
    parse: (raw) => (raw === null ? null : typeof raw === "string" ? parseEndpoint(raw) : undefined),
    fromText: nullOrText,
  };
}

/** A mapping, or `name=value` pairs with commas as OTEL_EXPORTER_OTLP_HEADERS has them. Names in lower case. */
export function requestHeaders(example: string): Kind<Readonly<Record<string, string>>> {
  return {
    expects: `up to ${HEADERS_MAX} header names with their values: a mapping, or name=value pairs with commas`,
    range: "",
    example,
    isSecret: true,
    parse: (raw) => parseHeaders(typeof raw === "string" ? pairsOf(raw) : raw),
    fromText: (text) => text,
  };
}

function parseEndpoint(text: string): string | undefined {
  if (text.length > URL_LENGTH_MAX || !/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined;
  const path = url.pathname.replace(/\/+$/, "");
  return url.origin + (path.endsWith(TRACES_PATH) ? path : path + TRACES_PATH);
}

/** Undefined where a pair has no `=`. */
function pairsOf(text: string): unknown {
  const pairs = text.split(",").map((pair) => /^\s*([^=]+?)\s*=\s*(.*?)\s*$/.exec(pair));
  return pairs.includes(null) ? undefined : Object.fromEntries(pairs.map((pair) => [pair?.[1], pair?.[2]]));
}

function parseHeaders(raw: unknown): Readonly<Record<string, string>> | undefined {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return undefined;
  const entries = Object.entries(raw).map(([name, value]) => [name.toLowerCase(), value] as const);
  const isGood = entries.every(
    ([name, value]) =>
      TOKEN.test(name) && !OURS.includes(name) && typeof value === "string" && VALUE.test(value),
  );
  return isGood && entries.length <= HEADERS_MAX ? Object.fromEntries(entries) : undefined;
}
