import type { IncomingHttpHeaders } from "node:http";
import type { Problem } from "../domain/problem.ts";
import type { Span, SpanAttributes } from "../domain/span.ts";
import {
  childOf,
  isSampled,
  newTrace,
  parseTraceparent,
  SPAN_ID_BYTES,
  TRACE_ID_BYTES,
  type TraceContext,
} from "../domain/trace-context.ts";
import type { Clock } from "../lib/clock.ts";

export interface AcceptTracingDeps {
  /** Share of the requests without a `traceparent` that are traced, now. */
  readonly sample: () => number;
  readonly clock: Clock;
  /** [0, 1). */
  readonly random: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Takes each span as it ends. */
  readonly onSpan: (span: Span) => void;
}

/** There is one only where traces are switched on. */
export interface AcceptTracing {
  /** A publish request has been read. Null: it is not traced. */
  begin(headers: IncomingHttpHeaders): AcceptSpan | null;
}

/** From the request, read, to its durable 202, or its refusal. Ended once, by one of the two. */
export interface AcceptSpan {
  /** What the attempts' spans have for a parent: it is stored with the events. */
  readonly context: TraceContext;
  accepted(attributes: SpanAttributes): void;
  refused(problem: Problem): void;
}

/**
 * A publisher that sends a `traceparent` has decided: its trace goes on where it is recorded, and nothing is traced
 * where it is not. Of the other requests a share begins traces of their own.
 */
export function createAcceptTracing(deps: AcceptTracingDeps): AcceptTracing {
  const { sample, clock, random, randomBytes, onSpan } = deps;

  function begin(headers: IncomingHttpHeaders): AcceptSpan | null {
    const header = headers.traceparent;
    const parent = typeof header === "string" ? parseTraceparent(header) : null;
    if (parent !== null) {
      return isSampled(parent) ? open(childOf(parent, randomBytes(SPAN_ID_BYTES)), parent) : null;
    }
    return random() < sample() ? open(newTrace(randomBytes(TRACE_ID_BYTES + SPAN_ID_BYTES)), null) : null;
  }

  function open(context: TraceContext, parent: TraceContext | null): AcceptSpan {
    const startedAt = clock.now();
    const startedMono = clock.mono();
    const end = (attributes: SpanAttributes, error: string | null) =>
      onSpan({
        context,
        parentSpanId: parent?.spanId ?? null,
        isParentRemote: parent !== null,
        name: "accept",
        kind: "server",
        startedAt,
        durationMs: clock.mono() - startedMono,
        attributes,
        error,
      });
    return {
      context,
      accepted: (attributes) => end({ ...attributes, "http.response.status_code": 202 }, null),
      // By OpenTelemetry's conventions a client's mistake is no failure of the server.
      refused: ({ code, status, message }) =>
        end({ "error.type": code, "http.response.status_code": status }, status < 500 ? null : message),
    };
  }

  return { begin };
}
