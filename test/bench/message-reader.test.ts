import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MessageReader } from "../../src/bench/message-reader.ts";

function readAll(chunks: readonly Buffer[]): string[] {
  const reader = new MessageReader();
  const bodies: string[] = [];
  for (const chunk of chunks) {
    reader.push(chunk, (data, start, body, end) => {
      bodies.push(`${data.toString("latin1", start, start + 4)} ${data.toString("latin1", body, end)}`);
    });
  }
  return bodies;
}

function request(body: string, header = "content-length"): string {
  return `POST /h/1 HTTP/1.1\r\nhost: a\r\n${header}: ${body.length}\r\n\r\n${body}`;
}

describe("a message reader", () => {
  it("finds several messages in one chunk", () => {
    const text = request("one") + request("") + request("three");
    expect(readAll([Buffer.from(text)])).toEqual(["POST one", "POST ", "POST three"]);
  });

  it("finds the same messages however the bytes are cut", () => {
    const text = Buffer.from(request("one\r\n\r\nHTTP") + request("") + request("x".repeat(300)));
    const whole = readAll([text]);
    expect(whole).toHaveLength(3);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 20 }), (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const chunks = at.slice(1).map((end, index) => text.subarray(at[index], end));
        expect(readAll(chunks)).toEqual(whole);
      }),
    );
  });

  it("keeps what it has not used when the buffer is filled again", () => {
    const reader = new MessageReader();
    const bodies: string[] = [];
    const onMessage = (data: Buffer, _start: number, body: number, end: number) =>
      bodies.push(data.toString("latin1", body, end));
    const text = Buffer.from(request("hello"));
    const shared = Buffer.from(text.subarray(0, 30));
    reader.push(shared, onMessage);
    shared.fill(0);
    reader.push(text.subarray(30), onMessage);
    expect(bodies).toEqual(["hello"]);
  });

  it("reads a length in any case, and takes a message without one as empty", () => {
    const answer = "HTTP/1.1 200 OK\r\n\r\n";
    expect(readAll([Buffer.from(request("abc", "Content-Length") + answer)])).toEqual(["POST abc", "HTTP "]);
  });

  it("does not take a length from the body for its own", () => {
    const first = "HTTP/1.1 204 No\r\n\r\n";
    expect(readAll([Buffer.from(first + request("abc"))])).toEqual(["HTTP ", "POST abc"]);
  });

  it("refuses what it cannot read: chunked bodies, and heads without an end", () => {
    expect(() => readAll([Buffer.from("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")])).toThrow(
      "chunked",
    );
    expect(() => readAll([Buffer.alloc(70_000, "x")])).toThrow("no end");
  });
});
