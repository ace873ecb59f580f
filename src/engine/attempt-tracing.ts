import { formatId, type IdSalt } from "../domain/ids.ts";
import type { Span, SpanAttributes } from "../domain/span.ts";
import { childOf, SPAN_ID_BYTES, type TraceContext } from "../domain/trace-context.ts";
import type { SettledAttempt } from "./port.ts";

export interface AttemptTracingDeps {
  readonly onSpan: (span: Span) => void;
  /** [0, 1). */
  readonly random: () => number;
  readonly salt: IdSalt;
}

/** An attempt's own span, and the acceptance that it belongs to. */
export interface AttemptTrace {
  readonly context: TraceContext;
  readonly parentSpanId: string;
}

/** There is one only where traces are switched on. */
export interface AttemptTracing {
  begin(accepted: TraceContext): AttemptTrace;
  /** What became of it is durable. */
  ended(trace: AttemptTrace, callbackUrl: string, settled: SettledAttempt): void;
}

export function createAttemptTracing({ onSpan, random, salt }: AttemptTracingDeps): AttemptTracing {
  return {
    begin(accepted) {
      const bytes = Uint8Array.from({ length: SPAN_ID_BYTES }, () => Math.floor(random() * 256));
      // All zeros would be no id.
      if (bytes.every((byte) => byte === 0)) bytes[0] = 1;
      return { context: childOf(accepted, bytes), parentSpanId: accepted.spanId };
    },
    ended({ context, parentSpanId }, callbackUrl, settled) {
      const { startedAt, durationMs } = settled.attempt;
      onSpan({
        context,
        parentSpanId,
        isParentRemote: false,
        name: "attempt",
        kind: "client",
        startedAt,
        durationMs,
        attributes: attributesOf(settled, callbackUrl, salt),
        error: errorOf(settled),
      });
    },
  };
}

/** Null where the event is not traced, or where hookd traces nothing now. */
export function traceOf(accepted: TraceContext | null, tracing: AttemptTracing | null): AttemptTrace | null {
  return accepted === null || tracing === null ? null : tracing.begin(accepted);
}

/** The names of OpenTelemetry's conventions where there is one, else hookd's own. No header, no byte of a body. */
function attributesOf(settled: SettledAttempt, callbackUrl: string, salt: IdSalt): SpanAttributes {
  const { attempt, reason, nextRetryAt } = settled;
  const error = errorTypeOf(settled);
  return {
    "hookd.delivery_id": formatId("dlv", settled.deliveryId, salt),
    "hookd.webhook_id": formatId("wh", settled.webhookId, salt),
    "hookd.event_id": settled.eventId,
    "hookd.event_uid": settled.eventUid,
    "hookd.user_id": settled.userId,
    "hookd.attempt": attempt.number,
    "hookd.verdict": attempt.verdict,
    "hookd.status": settled.status,
    "http.request.method": "POST",
    "server.address": new URL(callbackUrl).hostname,
    ...(reason === null ? {} : { "hookd.reason": reason }),
    ...(nextRetryAt === null ? {} : { "hookd.next_retry_at": new Date(nextRetryAt).toISOString() }),
    ...(attempt.statusCode === null ? {} : { "http.response.status_code": attempt.statusCode }),
    ...(error === null ? {} : { "error.type": error }),
  };
}

function errorTypeOf({ attempt }: SettledAttempt): string | null {
  if (attempt.verdict === "success") return null;
  return attempt.error ?? String(attempt.statusCode ?? attempt.verdict);
}

function errorOf(settled: SettledAttempt): string | null {
  const { attempt, status, reason } = settled;
  if (attempt.verdict === "success") return null;
  const what = attempt.error ?? `status ${attempt.statusCode}`;
  return status === "dead" && reason !== null ? `${what}; the delivery is dead (${reason})` : what;
}
