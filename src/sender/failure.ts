import type { AttemptError } from "../domain/delivery.ts";

/**
 * Why an attempt came to no answer. `kind` is what users see; the message, with addresses and system codes,
 * is for the operator's log. It never holds bytes of a receiver.
 */
export class SendFailure extends Error {
  readonly kind: AttemptError;

  constructor(kind: AttemptError, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = "SendFailure";
    this.kind = kind;
  }
}

/** Errors of this machine, not of the receiver: out of files, ports or memory, or not permitted. */
const OWN_CODES = new Set(["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS", "ENOMEM", "EACCES", "EPERM"]);
const RESET_CODES = new Set([
  "ECONNRESET",
  "EPIPE",
  "ECONNABORTED",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
]);

/** A failure of a connection that was made: Node's or OpenSSL's error to one of ours. */
export function requestFailure(error: unknown): SendFailure {
  const code = codeOf(error);
  return new SendFailure(requestKind(code), describe(code, error), error);
}

/** A failure to get a TCP connection, or (`tls`) to secure it. */
export function connectFailure(phase: "connect" | "tls", error: unknown): SendFailure {
  const code = codeOf(error);
  const kind = OWN_CODES.has(code) ? "internal" : phase;
  return new SendFailure(kind, describe(code, error), error);
}

/** A failure of hookd itself, before anything was sent. The error is one of ours: it holds no byte of a receiver. */
export function ownFailure(what: string, error: unknown): SendFailure {
  return new SendFailure("internal", `${what}: ${messageOf(error)}`, error);
}

function requestKind(code: string): AttemptError {
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
