import { hostname } from "node:os";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import type { Span } from "../domain/span.ts";
import type { TraceContext } from "../domain/trace-context.ts";

type ReadableSpan = Parameters<typeof ProtobufTraceSerializer.serializeRequest>[0][number];
type HrTime = ReadableSpan["startTime"];

export const OTLP_TYPE = "application/x-protobuf";

/** OpenTelemetry's numbers (the API's SpanKind and SpanStatusCode). */
const KINDS = { server: 1, client: 2 } as const;
const UNSET = 0;
const FAILED = 2;

/** Makes the bodies of OTLP's export requests, in protobuf: what every collector takes. */
export function createOtlpEncoder(version: string): (spans: readonly Span[]) => Uint8Array {
  const resource = resourceFromAttributes({
    "service.name": "hookd",
    "service.version": version,
    "host.name": hostname(),
  });
  const instrumentationScope = { name: "hookd", version };

  function readable(span: Span): ReadableSpan {
    const { context, parentSpanId, startedAt, durationMs } = span;
    const own = contextOf(context);
    return {
      name: span.name,
      kind: KINDS[span.kind],
      spanContext: () => own,
      ...(parentSpanId === null
        ? {}
        : {
            parentSpanContext: {
              ...contextOf({ ...context, spanId: parentSpanId }),
              isRemote: span.isParentRemote,
            },
          }),
      startTime: timeOf(startedAt),
      endTime: timeOf(startedAt + durationMs),
      duration: timeOf(durationMs),
      ended: true,
      status: span.error === null ? { code: UNSET } : { code: FAILED, message: span.error },
      attributes: span.attributes,
      links: [],
      events: [],
      resource,
      instrumentationScope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }

  return (spans) => {
    const bytes = ProtobufTraceSerializer.serializeRequest(spans.map(readable));
    if (bytes === undefined) throw new Error("the spans could not be encoded");
    return bytes;
  };
}

function contextOf({ traceId, spanId, flags }: TraceContext) {
  return { traceId, spanId, traceFlags: flags };
}

/** Seconds and nanoseconds. */
function timeOf(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.floor((ms - seconds * 1_000) * 1e6)];
}
