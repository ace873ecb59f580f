/** A span's place in its trace, as W3C Trace Context (https://www.w3.org/TR/trace-context/) names it. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all 0. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  /** One byte. Bit 0: the trace is recorded. */
  readonly flags: number;
}

const SAMPLED = 0x01;
/** What of the flags is passed on: recorded, and that the trace's id is random (level 2). */
const KNOWN_FLAGS = 0x03;
const TRACE_DIGITS = 32;
const SPAN_DIGITS = 16;
const BYTES = (TRACE_DIGITS + SPAN_DIGITS) / 2 + 1;
export const TRACE_ID_BYTES = TRACE_DIGITS / 2;
export const SPAN_ID_BYTES = SPAN_DIGITS / 2;
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;

/**
 * The `traceparent` header (3.2): null where it is not valid, and so counts as not given. Of a version that is not known
 * yet the four known fields are read; something may follow them.
 */
export function parseTraceparent(header: string): TraceContext | null {
  const match = TRACEPARENT.exec(header);
  if (match === null) return null;
  const [, version = "", traceId = "", spanId = "", flags = "", rest] = match;
  if (version === "ff" || (version === "00" && rest !== undefined)) return null;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return null;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & KNOWN_FLAGS };
}

export function formatTraceparent({ traceId, spanId, flags }: TraceContext): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, "0")}`;
}

export function isSampled({ flags }: TraceContext): boolean {
  return (flags & SAMPLED) !== 0;
}

/** The first span of a trace that begins here. `bytes`: 24 random ones. */
export function newTrace(bytes: Uint8Array): TraceContext {
  const digits = Buffer.from(bytes).toString("hex");
  return { traceId: digits.slice(0, TRACE_DIGITS), spanId: digits.slice(TRACE_DIGITS), flags: SAMPLED };
}

/** A span within the trace of another one. `bytes`: 8 random ones. */
export function childOf(parent: TraceContext, bytes: Uint8Array): TraceContext {
  return { ...parent, spanId: Buffer.from(bytes).toString("hex") };
}

/** 25 bytes, as the context is stored with its event. */
export function encodeTraceContext({ traceId, spanId, flags }: TraceContext): Uint8Array {
  return Buffer.from(`${traceId}${spanId}${flags.toString(16).padStart(2, "0")}`, "hex");
}

/** Null for bytes of another length: what a hookd to come may have stored is delivered, without its trace. */
export function decodeTraceContext(bytes: Uint8Array): TraceContext | null {
  if (bytes.length !== BYTES) return null;
  const digits = Buffer.from(bytes).toString("hex");
  return {
    traceId: digits.slice(0, TRACE_DIGITS),
    spanId: digits.slice(TRACE_DIGITS, TRACE_DIGITS + SPAN_DIGITS),
    flags: bytes[BYTES - 1] ?? 0,
  };
}
