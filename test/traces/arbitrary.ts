import fc from "fast-check";
import type { TraceContext } from "../../src/domain/trace-context.ts";

const digits = (count: number) =>
  fc
    .uint8Array({ minLength: count / 2, maxLength: count / 2 })
    .filter((bytes) => bytes.some((byte) => byte !== 0))
    .map((bytes) => Buffer.from(bytes).toString("hex"));

export const traceContext: fc.Arbitrary<TraceContext> = fc.record({
  traceId: digits(32),
  spanId: digits(16),
  flags: fc.nat({ max: 3 }),
});
