/** A span as a collector reads it: opentelemetry/proto/trace/v1/trace.proto. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** 2: server, 3: client. */
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** 2: error. */
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly flags: number;
  readonly resource: Readonly<Record<string, unknown>>;
}

type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>;

/** ExportTraceServiceRequest. */
export function decodeExport(body: Buffer): CollectedSpan[] {
  return messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1)[0] ?? new Map(), 1);
    return messages(resourceSpans, 2).flatMap((scopeSpans) =>
      messages(scopeSpans, 2).map((span) => spanOf(span, resource)),
    );
  });
}

function spanOf(span: Fields, resource: CollectedSpan["resource"]): CollectedSpan {
  const status = messages(span, 15)[0] ?? new Map();
  return {
    traceId: bytesOf(span, 1).toString("hex"),
    spanId: bytesOf(span, 2).toString("hex"),
    parentSpanId: bytesOf(span, 4).toString("hex"),
    name: bytesOf(span, 5).toString("utf8"),
    kind: numberOf(span, 6),
    startMs: numberOf(span, 7) / 1e6,
    endMs: numberOf(span, 8) / 1e6,
    attributes: attributesOf(span, 9),
    statusCode: numberOf(status, 3),
    statusMessage: bytesOf(status, 2).toString("utf8"),
    flags: numberOf(span, 16),
    resource,
  };
}

function attributesOf(message: Fields, number: number): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    messages(message, number).map((pair) => {
      const value = messages(pair, 2)[0] ?? new Map();
      return [bytesOf(pair, 1).toString("utf8"), anyValueOf(value)];
    }),
  );
}

/** AnyValue: text, truth, or whole number. */
function anyValueOf(value: Fields): unknown {
  if (value.has(1)) return bytesOf(value, 1).toString("utf8");
  if (value.has(2)) return numberOf(value, 2) === 1;
  return value.has(3) ? numberOf(value, 3) : null;
}

function messages(message: Fields, number: number): Fields[] {
  return (message.get(number) ?? []).map((bytes) => fieldsOf(bytes as Buffer));
}

function bytesOf(message: Fields, number: number): Buffer {
  return (message.get(number)?.[0] as Buffer | undefined) ?? Buffer.alloc(0);
}

function numberOf(message: Fields, number: number): number {
  return Number(message.get(number)?.[0] ?? 0);
}

/** Protobuf's wire format (protobuf.dev/programming-guides/encoding). */
function fieldsOf(bytes: Buffer): Fields {
  const fields = new Map<number, (Buffer | bigint)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    let value: Buffer | bigint;
    switch (tag & 7) {
      case 0:
        value = varint();
        break;
      case 1:
        value = bytes.readBigUInt64LE(at);
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        value = bytes.subarray(at, at + length);
        at += length;
        break;
      }
      case 5:
        value = BigInt(bytes.readUInt32LE(at));
        at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7}`);
    }
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}
