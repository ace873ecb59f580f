import fc from "fast-check";
import { expect, test } from "vitest";
import {
  childOf,
  decodeTraceContext,
  encodeTraceContext,
  formatTraceparent,
  isSampled,
  newTrace,
  parseTraceparent,
} from "../../src/domain/trace-context.ts";
import { traceContext } from "../traces/arbitrary.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const CONTEXT = { traceId: TRACE, spanId: SPAN, flags: 1 };

test("a traceparent is read as it is written", () => {
  fc.assert(
    fc.property(traceContext, (context) => {
      expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
    }),
  );
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual(CONTEXT);
  expect(formatTraceparent(CONTEXT)).toBe(`00-${TRACE}-${SPAN}-01`);
});

test("a context comes out of its 25 bytes as it went in, and out of no others", () => {
  fc.assert(
    fc.property(traceContext, (context) => {
      const bytes = encodeTraceContext(context);
      expect(bytes).toHaveLength(25);
      expect(decodeTraceContext(bytes)).toEqual(context);
      expect(decodeTraceContext(bytes.subarray(1))).toBeNull();
    }),
  );
});

test.each([
  ["version ff", `ff-${TRACE}-${SPAN}-01`],
  ["a trace id of zeros", `00-${"0".repeat(32)}-${SPAN}-01`],
  ["a span id of zeros", `00-${TRACE}-${"0".repeat(16)}-01`],
  ["upper case", `00-${TRACE.toUpperCase()}-${SPAN}-01`],
  ["a short trace id", `00-${TRACE.slice(1)}-${SPAN}-01`],
  ["more behind version 00", `00-${TRACE}-${SPAN}-01-more`],
  ["something glued to the flags", `01-${TRACE}-${SPAN}-01more`],
  ["two of them in one", `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`],
  ["a line break", `00-${TRACE}-${SPAN}-01\n`],
  ["nothing", ""],
])("%s is no traceparent", (_what, header) => {
  expect(parseTraceparent(header)).toBeNull();
});

test("any text is either refused or read to what writes its known part again", () => {
  const near = fc
    .tuple(fc.constantFrom("00", "01", "fe", "ff"), traceContext, fc.string({ maxLength: 4 }))
    .map(([version, context, tail]) => formatTraceparent(context).replace(/^00/, version) + tail);
  fc.assert(
    fc.property(fc.oneof(fc.string(), near), (header) => {
      const read = parseTraceparent(header);
      if (read !== null) expect(header.slice(2)).toMatch(formatTraceparent(read).slice(2, -3));
    }),
  );
});

test("of a version to come the known fields are read", () => {
  expect(parseTraceparent(`01-${TRACE}-${SPAN}-01`)).toEqual(CONTEXT);
  expect(parseTraceparent(`fe-${TRACE}-${SPAN}-01-what.comes.then`)).toEqual(CONTEXT);
});

test("flags that are not known are left behind, and the one for recorded decides", () => {
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-ff`)).toEqual({ ...CONTEXT, flags: 3 });
  expect(isSampled({ ...CONTEXT, flags: 3 })).toBe(true);
  expect(isSampled({ ...CONTEXT, flags: 2 })).toBe(false);
});

test("a new trace is recorded and its ids are the bytes given; a child keeps the trace", () => {
  const bytes = Uint8Array.from({ length: 24 }, (_, index) => index + 1);
  const first = newTrace(bytes);
  expect(formatTraceparent(first)).toBe("00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01");
  const child = childOf(
    first,
    Uint8Array.from({ length: 8 }, () => 0xab),
  );
  expect(child).toEqual({ ...first, spanId: "abababababababab" });
});
