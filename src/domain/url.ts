import { isIP } from "node:net";
import type { AddressPolicy } from "./address.ts";

export interface UrlRules {
  readonly allowHttp: boolean;
  readonly policy: AddressPolicy;
  /** Also lets the name `localhost` through; the policy decides about loopback addresses. */
  readonly allowLoopback: boolean;
}

export type UrlVerdict =
  | { readonly ok: true; readonly url: string }
  | { readonly ok: false; readonly why: string };

/** Longest callback URL, in characters: what every server and proxy on the way takes. */
export const URL_LENGTH_MAX = 2_048;
const HOST_LENGTH_MAX = 253;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Below 1024 only the web's own ports. These above it speak something else, which a POST can be made to mean.
 */
const PORT_MIN = 1_024;
const WEB_PORTS = new Set([80, 443]);
const REFUSED_PORTS = new Set([
  1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5671, 5672, 5900, 5984, 6000, 6379,
  6380, 8500, 8600, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 26379, 27017, 27018,
]);

/**
 * Names that only mean something inside a network. Cosmetic: what they resolve to is checked when it is
 * dialled.
 */
const REFUSED_NAMES = new Set(["localhost", "metadata.google.internal"]);
const REFUSED_SUFFIXES = [
  ".localhost",
  ".local",
  ".internal",
  ".lan",
  ".home.arpa",
  ".cluster.local",
  ".svc",
];

/**
 * A callback URL as hookd stores and uses it: the `href` of the WHATWG parser, which undoes every spelling of
 * a host (octal, hex, full-width, percent-encoded) before it is looked at. `why` never repeats the URL: it
 * may hold a password.
 */
export function parseCallbackUrl(text: string, rules: UrlRules): UrlVerdict {
  if (text.length > URL_LENGTH_MAX) return refuse(`it is longer than ${URL_LENGTH_MAX} characters`);
  if (!URL.canParse(text)) return refuse("it is not an absolute URL");
  const url = new URL(text);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && rules.allowHttp)) {
    return refuse(rules.allowHttp ? "its scheme is neither https nor http" : "its scheme is not https");
  }
  if (url.username !== "" || url.password !== "") return refuse("it holds a user name or password");
  if (url.href.includes("#")) return refuse("it has a fragment");
  if (url.hostname.endsWith(".")) url.hostname = url.hostname.slice(0, -1);
  const why = refusedPort(url) ?? refusedHost(url.hostname, rules);
  if (why !== null) return refuse(why);
  if (url.href.length > URL_LENGTH_MAX) return refuse(`it is longer than ${URL_LENGTH_MAX} characters`);
  return { ok: true, url: url.href };
}

/** The host of a URL without the brackets of an IPv6 literal: what an address check or a resolver takes. */
export function bareHost(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

function refusedPort(url: URL): string | null {
  if (url.port === "") return null;
  const port = Number(url.port);
  const isFine = WEB_PORTS.has(port) || (port >= PORT_MIN && !REFUSED_PORTS.has(port));
  return isFine ? null : `port ${port} is not open to callbacks`;
}

function refusedHost(hostname: string, rules: UrlRules): string | null {
  const host = bareHost(hostname);
  if (isIP(host) !== 0) {
    const verdict = rules.policy.check(host);
    return verdict.ok ? null : `its address ${verdict.why}`;
  }
  if (host.length > HOST_LENGTH_MAX) return `its host is longer than ${HOST_LENGTH_MAX} characters`;
  if (rules.allowLoopback && host === "localhost") return null;
  const labels = host.split(".");
  if (!labels.every((label) => LABEL.test(label))) return "its host is not a valid name";
  if (labels.length < 2) return "its host is not a fully qualified name";
  if (REFUSED_NAMES.has(host) || REFUSED_SUFFIXES.some((suffix) => host.endsWith(suffix))) {
    return "its host is a name inside a network";
  }
  return null;
}

function refuse(why: string): UrlVerdict {
  return { ok: false, why: `the callback URL is refused: ${why}` };
}
