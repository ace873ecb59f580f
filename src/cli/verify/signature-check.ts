import {
  legacySignature,
  type SigningKey,
  standardSignature,
  type VerifyFailure,
  verifyLegacy,
  verifyStandard,
} from "../../domain/sign.ts";
import { formatSpan } from "../../lib/format.ts";
import { signedVariantOf } from "./signed-variant.ts";

/** What was received, and what it is to be checked with. */
export interface SignedMessage {
  readonly id: string | undefined;
  readonly timestamp: string | undefined;
  /** The header `webhook-signature`. */
  readonly signature: string | undefined;
  /** The header `x-signature`. */
  readonly xSignature: string | undefined;
  readonly body: Uint8Array;
}

export interface CheckOptions {
  readonly keys: readonly SigningKey[];
  /** Wall clock that the message's time is compared with. */
  readonly nowSeconds: number;
  readonly toleranceSeconds: number;
}

export interface SchemeCheck {
  readonly header: "webhook-signature" | "x-signature";
  readonly ok: boolean;
  /** Null where it is good. */
  readonly code: VerifyFailure | null;
  /** Null where it cannot be read. */
  readonly signedAtSeconds: number | null;
  /** What is wrong, and what to do. */
  readonly what: string | null;
  readonly fix: string | null;
}

type Found = readonly [what: string, fix: string];

/** Checks each scheme that the message has a header of. None is the caller's to refuse. */
export function checkSignatures(message: SignedMessage, options: CheckOptions): SchemeCheck[] {
  const checks: SchemeCheck[] = [];
  if (message.signature !== undefined) checks.push(checkStandard(message, options));
  if (message.xSignature !== undefined) checks.push(checkLegacy(message, options));
  return checks;
}

function checkStandard(message: SignedMessage, options: CheckOptions): SchemeCheck {
  const { keys, nowSeconds, toleranceSeconds } = options;
  const { id, timestamp, signature, body } = message;
  const bytes = keys.map((key) => key.bytes);
  const result = verifyStandard(bytes, { id, timestamp, signature }, body, nowSeconds, toleranceSeconds);
  const header = "webhook-signature";
  const signedAtSeconds = wholeSeconds(timestamp);
  if (result.ok) return { header, ok: true, code: null, signedAtSeconds, what: null, fix: null };
  // The time says when, the signature says who: both are told, whichever is wrong.
  const atItsTime = verifyStandard(bytes, { id, timestamp, signature }, body, signedAtSeconds ?? 0, 0);
  const mismatch = () => standardMismatch(message, options);
  const [what, fix] = isLate(result.reason)
    ? lateText(message.timestamp, options, atItsTime.ok ? null : mismatch)
    : result.reason === "no_match"
      ? mismatch()
      : malformedStandard(message);
  return { header, ok: false, code: result.reason, signedAtSeconds, what, fix };
}

function checkLegacy(message: SignedMessage, options: CheckOptions): SchemeCheck {
  const { keys, nowSeconds, toleranceSeconds } = options;
  const { xSignature = "", body } = message;
  const texts = keys.map((key) => key.text);
  const result = verifyLegacy(texts, xSignature, body, nowSeconds, toleranceSeconds);
  const header = "x-signature";
  const signedAtSeconds = wholeSeconds(timeOf(xSignature));
  if (result.ok) return { header, ok: true, code: null, signedAtSeconds, what: null, fix: null };
  const atItsTime = verifyLegacy(texts, xSignature, body, signedAtSeconds ?? 0, 0);
  const mismatch = () => legacyMismatch(message, options);
  const [what, fix] = isLate(result.reason)
    ? lateText(timeOf(xSignature), options, atItsTime.ok ? null : mismatch)
    : result.reason === "no_match"
      ? mismatch()
      : malformedLegacy(xSignature);
  return { header, ok: false, code: result.reason, signedAtSeconds, what, fix };
}

function isLate(reason: VerifyFailure): boolean {
  return reason === "timestamp_too_old" || reason === "timestamp_too_new";
}

function lateText(time: string | undefined, options: CheckOptions, mismatch: (() => Found) | null): Found {
  const { nowSeconds, toleranceSeconds } = options;
  const signedAt = wholeSeconds(time);
  if (signedAt === null) return badTimestamp("the timestamp", time ?? "");
  const offMs = Math.abs(nowSeconds - signedAt) * 1000;
  const direction = signedAt < nowSeconds ? "old" : "in the future";
  const overMs = offMs - toleranceSeconds * 1000;
  const what =
    `the timestamp is ${formatSpan(offMs)} ${direction}, ${formatSpan(overMs)} more than the tolerance of ` +
    `${formatSpan(toleranceSeconds * 1000)}`;
  if (mismatch !== null) {
    const [besides, fix] = mismatch();
    return [`${what}; besides, ${besides}`, fix];
  }
  const fix =
    direction === "old"
      ? "For a request that was saved a while ago: --tolerance none. Live, it is a replay, or the " +
        "receiver's clock is ahead."
      : "Set the clocks: the sender's is ahead, or the receiver's is behind.";
  return [`${what}; the signature itself is right`, fix];
}

function standardMismatch(message: SignedMessage, options: CheckOptions): Found {
  const { id = "", timestamp = "", signature = "", body } = message;
  const seconds = Number(timestamp);
  const variant = signedVariantOf(body, options.keys, (key, bytes) =>
    signature.split(" ").includes(standardSignature(key.bytes, id, seconds, bytes)),
  );
  if (variant !== null) return variant;
  const entries = signature.split(" ");
  const wrongKey = options.keys.some(({ text }) =>
    entries.includes(standardSignature(Buffer.from(text), id, seconds, body)),
  );
  if (wrongKey) {
    return [
      "it was made with the secret's text as the key, not with the bytes that its base64 stands for",
      "Decode what follows whsec_ from base64 before signing.",
    ];
  }
  if (!entries.some((entry) => entry.startsWith("v1,"))) {
    const versions = [...new Set(entries.map((entry) => entry.slice(0, entry.indexOf(","))))].join(", ");
    return [
      `it has no v1 signature, only ${versions}`,
      "Only v1 (HMAC-SHA256 with the shared secret) can be checked with a secret.",
    ];
  }
  if (isLegacyRight(message, options)) {
    return [
      "x-signature is right, so the secret, the body and its time are: webhook-id, " +
        "webhook-timestamp or this header was changed",
      "Take webhook-id and webhook-timestamp as they came, of the same request.",
    ];
  }
  return unexplained(message);
}

function legacyMismatch(message: SignedMessage, options: CheckOptions): Found {
  const { xSignature = "", body } = message;
  const seconds = wholeSeconds(timeOf(xSignature)) ?? 0;
  const given = [...xSignature.matchAll(/(?:^|,)v1=([^,]*)/g)].map((match) => match[1] ?? "");
  const variant = signedVariantOf(body, options.keys, (key, bytes) =>
    given.includes(legacySignature(key.text, seconds, bytes)),
  );
  if (variant !== null) return variant;
  if (given.some((one) => one !== one.toLowerCase())) {
    return ["its hex has capital letters, which hookd never writes", "Take the header as it came."];
  }
  if (isStandardRight(message, options)) {
    return [
      "webhook-signature is right, so the secret and the body are: this header was changed, or " +
        "keyed with the decoded secret",
      "x-signature is keyed with the whole whsec_... text, and signs `<t>.<body>`.",
    ];
  }
  return unexplained(message);
}

function isLegacyRight({ xSignature, body }: SignedMessage, { keys }: CheckOptions): boolean {
  const seconds = wholeSeconds(timeOf(xSignature ?? ""));
  if (seconds === null) return false;
  return verifyLegacy(
    keys.map(({ text }) => text),
    xSignature,
    body,
    seconds,
    0,
  ).ok;
}

function isStandardRight({ id, timestamp, signature, body }: SignedMessage, { keys }: CheckOptions): boolean {
  const seconds = wholeSeconds(timestamp);
  if (seconds === null) return false;
  return verifyStandard(
    keys.map(({ bytes }) => bytes),
    { id, timestamp, signature },
    body,
    seconds,
    0,
  ).ok;
}

/** An HMAC does not tell a wrong key from a wrong message. */
function unexplained({ body }: SignedMessage): Found {
  return [
    "it was not made with this secret over this message: the secret is another one, or the body was changed",
    "The secret: compare it with GET /v1/webhooks/<id>/secret (hookd-webhook-id names the webhook). " +
      `The body: these are ${body.length} bytes, and every one counts; take it raw, before anything ` +
      "parses it. (Line ends, a byte order mark and JSON written anew were tried, and are not it.)",
  ];
}

function malformedStandard({ id, timestamp, signature }: SignedMessage): Found {
  const missing = [
    ...(id ? [] : ["webhook-id (--id)"]),
    ...(timestamp ? [] : ["webhook-timestamp (--timestamp)"]),
    ...(signature ? [] : ["webhook-signature (--signature)"]),
  ];
  if (missing.length > 0) {
    return [
      `${missing.join(" and ")} is missing, and is part of what is signed`,
      "Give all three as they came.",
    ];
  }
  if (wholeSeconds(timestamp) === null) return badTimestamp("webhook-timestamp", timestamp ?? "");
  return [
    "the header is malformed: expected entries like v1,<base64>, separated by spaces",
    /^[0-9a-f]{64}$/i.test(signature ?? "")
      ? "This looks like the hex of another scheme: give x-signature with --x-signature."
      : "Take the header as it came, with its v1, in front.",
  ];
}

function malformedLegacy(header: string): Found {
  const time = timeOf(header);
  if (header === "") return ["the header is empty", "Take it as it came: t=<seconds>,v1=<hex>."];
  if (time !== undefined && wholeSeconds(time) === null) return badTimestamp("its t", time);
  return [
    "the header is malformed: expected t=<seconds>,v1=<hex>, with one t and a v1 for each secret",
    "Take the header as it came, without spaces.",
  ];
}

function badTimestamp(name: string, text: string): Found {
  if (/^\d{13}$/.test(text)) {
    return [`${name} is in milliseconds; it is to be whole seconds`, "Take the header as it came."];
  }
  return [`${name} is malformed: expected whole Unix seconds`, "Take the header as it came."];
}

/** What stands behind `t=` in an `x-signature` header. */
function timeOf(header: string): string | undefined {
  return /(?:^|,)t=([^,]*)/.exec(header)?.[1];
}

function wholeSeconds(text: string | undefined): number | null {
  // 12 digits are some 30,000 years: 13 are milliseconds.
  return text !== undefined && /^(?:0|[1-9]\d{0,11})$/.test(text) ? Number(text) : null;
}
