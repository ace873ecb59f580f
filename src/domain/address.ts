import { isIP } from "node:net";

export type AddressVerdict = { readonly ok: true } | { readonly ok: false; readonly why: string };

/**
 * Which addresses hookd may connect to. Holds no state; a check costs about a microsecond (0.4 us IPv4, 1.1
 * us IPv6).
 */
export interface AddressPolicy {
  /** Takes an IP address as `net` prints it. Everything else, a zone id too, is refused. */
  check(address: string): AddressVerdict;
}

export interface AddressPolicyOptions {
  /** CIDRs that the operator opened (`net.allow`). */
  readonly allow: readonly string[];
  /** Opens 127.0.0.0/8 and ::1 (`--dev`). */
  readonly allowLoopback: boolean;
  /** Judges 64:ff9b::/96 by the IPv4 address in its last 32 bits (RFC 6052). */
  readonly nat64: boolean;
  /** Addresses of this machine and of its own servers: refused unless allowed. */
  readonly own: readonly string[];
}

interface Range {
  readonly cidr: string;
  /** 4 or 16 bytes: the length is the family. */
  readonly bytes: readonly number[];
  readonly prefixBits: number;
  readonly why: string;
}

const OK: AddressVerdict = { ok: true };

/**
 * IANA's IPv4 special-purpose registry (2025-10-09), multicast, class E, and what clouds use inside public
 * space.
 */
const IPV4_REFUSED = [
  range("0.0.0.0/8", "this network"),
  range("10.0.0.0/8", "private"),
  range("100.64.0.0/10", "carrier-grade NAT"),
  range("127.0.0.0/8", "loopback"),
  range("168.63.129.16/32", "cloud metadata"),
  range("169.254.0.0/16", "link-local"),
  range("172.16.0.0/12", "private"),
  range("192.0.0.0/24", "IETF protocol assignments"),
  range("192.0.2.0/24", "documentation"),
  range("192.31.196.0/24", "AS112"),
  range("192.52.193.0/24", "AMT"),
  range("192.88.99.0/24", "6to4 relay"),
  range("192.168.0.0/16", "private"),
  range("192.175.48.0/24", "AS112"),
  range("198.18.0.0/15", "benchmarking"),
  range("198.51.100.0/24", "documentation"),
  range("203.0.113.0/24", "documentation"),
  range("224.0.0.0/4", "multicast"),
  range("240.0.0.0/4", "reserved"),
];

/**
 * IPv6 is an allow-list: one block, less the special ranges in it. Listing what is bad instead let encodings
 * of private IPv4 addresses through in others' guards; here all of ::/8, NAT64, ULA and link-local is outside
 * already.
 */
const IPV6_GLOBAL = range("2000::/3", "global unicast");
const IPV6_REFUSED = [
  range("2001::/23", "IETF protocol assignments"),
  range("2001:db8::/32", "documentation"),
  range("2002::/16", "6to4"),
  range("2620:4f:8000::/48", "AS112"),
  range("3fff::/20", "documentation"),
];

/** Link-local and cloud metadata: handing out credentials to whoever asks, so no configuration opens them. */
const NEVER = [
  range("169.254.0.0/16", "link-local, with cloud metadata"),
  range("100.100.100.200/32", "cloud metadata"),
  range("168.63.129.16/32", "cloud metadata"),
  range("192.0.0.192/32", "cloud metadata"),
  range("fd00:ec2::254/128", "cloud metadata"),
  range("fd20:ce::254/128", "cloud metadata"),
];

const LOOPBACK = [range("127.0.0.0/8", "loopback"), range("::1/128", "loopback")];
const NAT64 = range("64:ff9b::/96", "NAT64");

/** IPv6 blocks that carry an IPv4 address, and where: an allowed block must not smuggle in one of `NEVER`. */
const EMBEDDINGS: readonly { readonly range: Range; readonly at: number; readonly inverted: boolean }[] = [
  { range: range("::/96", "IPv4-compatible"), at: 12, inverted: false },
  { range: range("::ffff:0:0/96", "IPv4-mapped"), at: 12, inverted: false },
  { range: range("::ffff:0:0:0/96", "SIIT"), at: 12, inverted: false },
  { range: NAT64, at: 12, inverted: false },
  { range: range("64:ff9b:1::/48", "NAT64, local use"), at: 12, inverted: false },
  { range: range("2002::/16", "6to4"), at: 2, inverted: false },
  { range: range("2001::/32", "Teredo"), at: 12, inverted: true },
];

/** Throws an Error that names the first invalid CIDR or address. */
export function compileAddressPolicy(options: AddressPolicyOptions): AddressPolicy {
  const allowed = options.allow.map((cidr) => range(cidr, "allowed"));
  const own = options.own.map((address) => ownRange(address));

  function check(address: string): AddressVerdict {
    const bytes = parseAddress(address);
    if (bytes === null) return refuse(address, "not an IP address");
    const never = firstMatch(NEVER, bytes) ?? embeddedNever(bytes);
    if (never !== null) return refuse(address, never.why);
    if (firstMatch(allowed, bytes) !== null) return OK;
    if (options.allowLoopback && firstMatch(LOOPBACK, bytes) !== null) return OK;
    const refused = firstMatch(own, bytes) ?? special(bytes);
    return refused === null ? OK : refuse(address, refused.why);
  }

  /** The range that makes an address no public one; null for a public one. */
  function special(bytes: readonly number[]): Range | null {
    if (bytes.length === 4) return firstMatch(IPV4_REFUSED, bytes);
    if (options.nat64 && matches(NAT64, bytes)) {
      const inner = bytes.slice(12);
      return firstMatch(own, inner) ?? firstMatch(IPV4_REFUSED, inner);
    }
    return matches(IPV6_GLOBAL, bytes) ? firstMatch(IPV6_REFUSED, bytes) : NOT_GLOBAL;
  }

  return { check };
}

/** Whether the text is an IPv4 or IPv6 prefix, such as `10.0.0.0/8`, with no bit set behind the prefix. */
export function isCidr(text: string): boolean {
  return parseCidr(text) !== null;
}

const NOT_GLOBAL: Range = { cidr: "", bytes: [], prefixBits: 0, why: "not global unicast" };

function refuse(address: string, why: string): AddressVerdict {
  return { ok: false, why: `${address} is refused: ${why}` };
}

function embeddedNever(bytes: readonly number[]): Range | null {
  if (bytes.length !== 16) return null;
  for (const { range: block, at, inverted } of EMBEDDINGS) {
    if (!matches(block, bytes)) continue;
    const inner = bytes.slice(at, at + 4).map((byte) => (inverted ? byte ^ 0xff : byte));
    const never = firstMatch(NEVER, inner);
    if (never !== null) return never;
  }
  return isIsatap(bytes) ? firstMatch(NEVER, bytes.slice(12)) : null;
}

/** RFC 5214: an interface id of 00-00-5e-fe (or 02-00-5e-fe) and an IPv4 address, under any prefix. */
function isIsatap(bytes: readonly number[]): boolean {
  return ((bytes[8] ?? 0) & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
}

function firstMatch(ranges: readonly Range[], bytes: readonly number[]): Range | null {
  for (const candidate of ranges) if (matches(candidate, bytes)) return candidate;
  return null;
}

function matches(block: Range, bytes: readonly number[]): boolean {
  if (block.bytes.length !== bytes.length) return false;
  const whole = block.prefixBits >>> 3;
  for (let index = 0; index < whole; index += 1) if (block.bytes[index] !== bytes[index]) return false;
  const rest = block.prefixBits & 7;
  if (rest === 0) return true;
  return ((block.bytes[whole] ?? 0) ^ (bytes[whole] ?? 0)) >>> (8 - rest) === 0;
}

function range(cidr: string, why: string): Range {
  const parsed = parseCidr(cidr);
  if (parsed === null) {
    throw new Error(
      `"${cidr}" is not a CIDR: write a prefix such as 10.0.0.0/8, or 10.1.2.3/32 for one address`,
    );
  }
  return { cidr, ...parsed, why };
}

function ownRange(address: string): Range {
  const bytes = parseAddress(address);
  if (bytes === null) throw new Error(`"${address}" is not an IP address`);
  return { cidr: address, bytes, prefixBits: bytes.length * 8, why: "an address of this installation" };
}

function parseCidr(text: string): { bytes: number[]; prefixBits: number } | null {
  const slash = text.indexOf("/");
  const prefix = text.slice(slash + 1);
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(prefix)) return null;
  const bytes = parseAddress(text.slice(0, slash));
  const prefixBits = Number(prefix);
  if (bytes === null || prefixBits > bytes.length * 8) return null;
  return bytes.every((byte, index) => isZeroBehind(byte, prefixBits - index * 8))
    ? { bytes, prefixBits }
    : null;
}

function isZeroBehind(byte: number, keptBits: number): boolean {
  if (keptBits >= 8) return true;
  return (byte & (0xff >>> Math.max(0, keptBits))) === 0;
}

/**
 * `net.isIP` is the judge of what an address is: it takes no octal, hex or short form. It takes zone ids: we
 * do not.
 */
function parseAddress(text: string): number[] | null {
  const family = isIP(text);
  if (family === 4) return text.split(".").map(Number);
  if (family === 6 && !text.includes("%")) return parseIpv6(text);
  return null;
}

function parseIpv6(text: string): number[] {
  const gap = text.indexOf("::");
  if (gap < 0) return ipv6Bytes(text);
  const head = ipv6Bytes(text.slice(0, gap));
  const tail = ipv6Bytes(text.slice(gap + 2));
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function ipv6Bytes(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const word = Number.parseInt(group, 16);
    return [word >>> 8, word & 0xff];
  });
}
