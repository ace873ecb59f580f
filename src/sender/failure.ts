import { errors } from "undici";
import type { AttemptError } from "../domain/delivery.ts";

/**
 * Why an attempt came to no answer. `kind` is what users see; the message, with addresses and system codes,
 * is for the operator's log. It never holds bytes of a receiver.
 */
export class SendFailure extends Error {
  readonly kind: AttemptError;
  /**
   * Keeps undici off its own meanings: of UND_ERR_SOCKET and UND_ERR_INFO it would dial again without end.
   */
  readonly code = "HOOKD_SEND_FAILURE";

  constructor(kind: AttemptError, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "SendFailure";
    this.kind = kind;
  }
}

/** Errors of this machine, not of the receiver: out of files, ports or memory, or not permitted. */
const OWN_CODES = new Set([
  "EMFILE",
  "ENFILE",
  "EADDRNOTAVAIL",
  "ENOBUFS",
  "ENOMEM",
  "EACCES",
  "EPERM",
  "UND_ERR_INVALID_ARG",
  "UND_ERR_NOT_SUPPORTED",
]);
const RESET_CODES = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNABORTED",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);
/** undici raises an assertion for a status below 100. */
const PROTOCOL_CODES = new Set([
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_RES_EXCEEDED_MAX_SIZE",
  "ERR_ASSERTION",
]);

/** A failure on a socket that was dialled: undici's, Node's or OpenSSL's error to one of ours. */
export function requestFailure(error: unknown): SendFailure {
  if (error instanceof SendFailure) return error;
  const code = codeOf(error);
  return new SendFailure(requestKind(code, error), describe(code, error), error);
}

/** A failure to get a TCP connection, or (`tls`) to secure it. */
export function connectFailure(phase: "connect" | "tls", error: unknown): SendFailure {
  const code = codeOf(error);
  const kind = OWN_CODES.has(code) ? "internal" : phase;
  return new SendFailure(kind, describe(code, error), error);
}

function requestKind(code: string, error: unknown): AttemptError {
  if (code === "UND_ERR_HEADERS_OVERFLOW") return "too_large";
  if (error instanceof errors.HTTPParserError || PROTOCOL_CODES.has(code)) return "protocol";
  // "bad response": a 100 that was not asked for, or a response without request; "bad upgrade": a 101.
  if (code === "UND_ERR_SOCKET") return messageOf(error).startsWith("bad ") ? "protocol" : "reset";
  if (RESET_CODES.has(code)) return "reset";
  if (code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_") || code === "EPROTO") return "tls";
  return "internal";
}

function describe(code: string, error: unknown): string {
  const message = messageOf(error);
  return code === "" || message.includes(code) ? message : `${code}: ${message}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An AggregateError of several addresses carries the first one's code, or none. */
function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : "";
}
