import type { TraceContext } from "./trace-context.ts";

/** One piece of work of a trace, ended: what OpenTelemetry calls a span. Plain, as it crosses threads. */
export interface Span {
  /** Its own. */
  readonly context: TraceContext;
  /** Null: the trace begins with it. */
  readonly parentSpanId: string | null;
  /** The parent is another program's. */
  readonly isParentRemote: boolean;
  readonly name: "accept" | "attempt";
  /** `server`: hookd was called. `client`: hookd called. */
  readonly kind: "server" | "client";
  readonly startedAt: number;
  readonly durationMs: number;
  readonly attributes: SpanAttributes;
  /** Why it failed, in a few words; null where it did not. */
  readonly error: string | null;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;
