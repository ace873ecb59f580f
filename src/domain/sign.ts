import { createHmac, hash, timingSafeEqual } from "node:crypto";

/**
 * One signing key in both forms, made once per webhook version: what signing prepares from it is kept for as
 * long as this very object lives.
 */
export interface SigningKey {
  /** `whsec_...`, whole: the key of `x-signature`. */
  readonly text: string;
  /** The decoded bytes: the key of `webhook-signature`. */
  readonly bytes: Uint8Array;
}

export interface SignatureHeaders {
  /** Standard Webhooks: `v1,<base64>`, one per key, separated by spaces. */
  readonly webhookSignature: string;
  /** The older convention: `t=<seconds>,v1=<hex>`, one `v1` per key. */
  readonly xSignature: string;
}

/**
 * One entry of `webhook-signature` (Standard Webhooks 1.0, symmetric): `v1,` and the base64 of
 * HMAC-SHA256(key, `id.timestamp.body`). The body goes in as bytes, never through a string: not every body is
 * UTF-8.
 */
export function standardSignature(
  key: Uint8Array,
  id: string,
  timestampSeconds: number,
  body: Uint8Array,
): string {
  return `v1,${createHmac("sha256", key).update(`${id}.${timestampSeconds}.`).update(body).digest("base64")}`;
}

/** Hex of HMAC-SHA256 over `timestamp.body`, keyed with the UTF-8 of the whole `whsec_...` text. */
export function legacySignature(secretText: string, timestampSeconds: number, body: Uint8Array): string {
  return createHmac("sha256", secretText).update(`${timestampSeconds}.`).update(body).digest("hex");
}

/**
 * Both headers of one attempt. `secrets` newest first, two while rotating; none is a bug and throws, for an
 * attempt must not go out unsigned. `timestampSeconds`: whole Unix seconds of this attempt.
 */
export function signatureHeaders(
  secrets: readonly SigningKey[],
  id: string,
  timestampSeconds: number,
  body: Uint8Array,
): SignatureHeaders {
  if (secrets.length === 0) throw new Error(`event ${id} cannot be signed: its webhook has no secret`);
  if (id.length > ID_LENGTH_MAX || body.length > BODY_BYTES_MAX) {
    return inPieces(secrets, id, timestampSeconds, body);
  }
  const timestamp = `${timestampSeconds}.`;
  const bodyAt = BLOCK_BYTES + scratch.write(`${id}.${timestamp}`, BLOCK_BYTES);
  scratch.set(body, bodyAt);
  const end = bodyAt + body.length;
  let webhookSignature = "";
  for (const secret of secrets) {
    const signature = `v1,${hmacOfScratch(prepare(secret).standard, 0, end, "base64")}`;
    webhookSignature = webhookSignature === "" ? signature : `${webhookSignature} ${signature}`;
  }
  // `timestamp.body` is the end of `id.timestamp.body`, so the body is copied once for all signatures; the
  // block in front of it now takes the place of the id.
  const legacyAt = bodyAt - timestamp.length - BLOCK_BYTES;
  let xSignature = `t=${timestampSeconds}`;
  for (const secret of secrets) {
    xSignature += `,v1=${hmacOfScratch(prepare(secret).legacy, legacyAt, end, "hex")}`;
  }
  return { webhookSignature, xSignature };
}

/** For what does not fit the scratch space; there the hash itself is most of the cost. */
function inPieces(
  secrets: readonly SigningKey[],
  id: string,
  timestampSeconds: number,
  body: Uint8Array,
): SignatureHeaders {
  const standard = secrets.map((secret) => standardSignature(secret.bytes, id, timestampSeconds, body));
  const legacy = secrets.map((secret) => `,v1=${legacySignature(secret.text, timestampSeconds, body)}`);
  return { webhookSignature: standard.join(" "), xSignature: `t=${timestampSeconds}${legacy.join("")}` };
}

/** SHA-256's block: what HMAC (RFC 2104) puts the key in front of the message as. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Longer ids and bodies are signed in pieces. Event uids have 64 characters at most; most payloads fit. */
const ID_LENGTH_MAX = 256;
const BODY_BYTES_MAX = 16 * 1_024;
/** UTF-8 takes three bytes at most for a UTF-16 unit; the dots and the time take less than 32. */
const scratch = Buffer.allocUnsafeSlow(BLOCK_BYTES + 3 * ID_LENGTH_MAX + 32 + BODY_BYTES_MAX);
const outer = Buffer.allocUnsafeSlow(BLOCK_BYTES + DIGEST_BYTES);

/**
 * The two blocks of HMAC: the key, padded with zeros, XOR 0x36 and XOR 0x5c. As strings of bytes: an array of 64 bytes takes
 * 270, and each webhook in use has four.
 */
interface HmacKey {
  readonly inner: string;
  readonly outer: string;
}

/**
 * HMAC-SHA256 over what `scratch` holds behind the block at `at`, up to `end`. Two one-shot hashes and no
 * object of OpenSSL's: 1.6 us at 1 KiB, where `createHmac` takes 2.6-3.6 us (Node 24, SHA-NI) and leaves the
 * collector a handle to finalize.
 */
function hmacOfScratch(key: HmacKey, at: number, end: number, encoding: "base64" | "hex"): string {
  scratch.write(key.inner, at, "latin1");
  // As a string of bytes: it costs half of what a new Buffer for them does.
  const inner = hash("sha256", scratch.subarray(at, end), "binary");
  outer.write(key.outer, 0, "latin1");
  outer.write(inner, BLOCK_BYTES, "latin1");
  return hash("sha256", outer, encoding);
}

const prepared = new WeakMap<SigningKey, { readonly standard: HmacKey; readonly legacy: HmacKey }>();

function prepare(secret: SigningKey): { readonly standard: HmacKey; readonly legacy: HmacKey } {
  const known = prepared.get(secret);
  if (known !== undefined) return known;
  const keys = {
    standard: hmacKey(secret.bytes),
    legacy: hmacKey(Buffer.from(secret.text, "utf8")),
  };
  prepared.set(secret, keys);
  return keys;
}

function hmacKey(bytes: Uint8Array): HmacKey {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.set(bytes.length > BLOCK_BYTES ? hash("sha256", bytes, "buffer") : bytes);
  return { inner: maskedBy(0x36, block), outer: maskedBy(0x5c, block) };
}

function maskedBy(mask: number, block: Buffer): string {
  return Buffer.from(block.map((byte) => byte ^ mask)).toString("latin1");
}

/** The reference libraries' tolerance between the sender's clock and ours, either way: 5 minutes. */
export const TOLERANCE_SECONDS = 300;

/**
 * Entries of a signature header that are looked at: far above what a rotation sends, and it bounds the work.
 */
const ENTRIES_MAX = 32;

export type VerifyResult =
  | { readonly ok: true; readonly timestampSeconds: number }
  | { readonly ok: false; readonly reason: VerifyFailure };

/**
 * missing: a header is not there. malformed: it does not parse. timestamp_too_old, timestamp_too_new: outside
 * of the tolerance. no_match: no signature is of one of the keys.
 */
export type VerifyFailure = "missing" | "malformed" | "timestamp_too_old" | "timestamp_too_new" | "no_match";

/** The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` as they came. */
export interface StandardHeaders {
  readonly id: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
}

/**
 * Checks a Standard Webhooks signature (`v1` only) against any of the keys, in time that does not depend on
 * how much of it is right. Entries of other versions are passed over.
 */
export function verifyStandard(
  keys: readonly Uint8Array[],
  headers: StandardHeaders,
  body: Uint8Array,
  nowSeconds: number,
  toleranceSeconds: number = TOLERANCE_SECONDS,
): VerifyResult {
  const { id, timestamp, signature } = headers;
  if (!id || !timestamp || !signature) return failure("missing");
  const timestampSeconds = parseTimestamp(timestamp);
  const entries = signature.split(" ", ENTRIES_MAX);
  if (timestampSeconds === null || !entries.every((entry) => entry.indexOf(",") > 0))
    return failure("malformed");
  const early = outsideTolerance(timestampSeconds, nowSeconds, toleranceSeconds);
  if (early !== null) return failure(early);
  const expected = keys.map((key) => standardSignature(key, id, timestampSeconds, body));
  return matches(expected, entries) ? { ok: true, timestampSeconds } : failure("no_match");
}

/**
 * Checks an `x-signature` header (`t=<seconds>,v1=<hex>[,v1=<hex>]`) against any of the secrets' texts, as
 * above. Unknown names in it are passed over.
 */
export function verifyLegacy(
  secretTexts: readonly string[],
  header: string | undefined,
  body: Uint8Array,
  nowSeconds: number,
  toleranceSeconds: number = TOLERANCE_SECONDS,
): VerifyResult {
  if (!header) return failure("missing");
  const parsed = parseLegacy(header);
  if (parsed === null) return failure("malformed");
  const { timestampSeconds, signatures } = parsed;
  const early = outsideTolerance(timestampSeconds, nowSeconds, toleranceSeconds);
  if (early !== null) return failure(early);
  const expected = secretTexts.map((text) => legacySignature(text, timestampSeconds, body));
  return matches(expected, signatures) ? { ok: true, timestampSeconds } : failure("no_match");
}

function parseLegacy(header: string): { timestampSeconds: number; signatures: string[] } | null {
  let timestampSeconds: number | null = null;
  const signatures: string[] = [];
  for (const part of header.split(",", ENTRIES_MAX)) {
    const equals = part.indexOf("=");
    if (equals <= 0) return null;
    const name = part.slice(0, equals);
    const value = part.slice(equals + 1);
    if (name === "v1") signatures.push(value);
    if (name !== "t") continue;
    // A second time would let a reader and a verifier take different ones.
    if (timestampSeconds !== null) return null;
    timestampSeconds = parseTimestamp(value);
    if (timestampSeconds === null) return null;
  }
  return timestampSeconds === null || signatures.length === 0 ? null : { timestampSeconds, signatures };
}

/** Canonical whole seconds only: the signed text holds the number as written. */
function parseTimestamp(text: string): number | null {
  return /^(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : null;
}

function outsideTolerance(
  timestampSeconds: number,
  nowSeconds: number,
  toleranceSeconds: number,
): VerifyFailure | null {
  if (timestampSeconds < nowSeconds - toleranceSeconds) return "timestamp_too_old";
  if (timestampSeconds > nowSeconds + toleranceSeconds) return "timestamp_too_new";
  return null;
}

/** Compares every pair, without stopping at the first that is equal. */
function matches(expected: readonly string[], given: readonly string[]): boolean {
  let isMatch = false;
  for (const one of expected) {
    const wanted = Buffer.from(one);
    for (const other of given) {
      const bytes = Buffer.from(other);
      if (bytes.length === wanted.length && timingSafeEqual(bytes, wanted)) isMatch = true;
    }
  }
  return isMatch;
}

function failure(reason: VerifyFailure): VerifyResult {
  return { ok: false, reason };
}
