import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BODY_BYTES_MAX, ResponseRecord } from "../../src/sender/response.ts";
import {
  HEAD_BYTES_MAX,
  INTERIM_MAX,
  ResponseParser,
  SIZE_LINE_BYTES_MAX,
} from "../../src/sender/response-parser.ts";
import { responseBytes } from "./response-arbitrary.ts";

/** Feeds the pieces through one buffer that is used again, as a connection does, and ends the connection. */
function parse(pieces: readonly Buffer[]) {
  const record = new ResponseRecord(BODY_BYTES_MAX);
  const parser = new ResponseParser();
  parser.begin(record);
  const shared = Buffer.alloc(Math.max(1, ...pieces.map(({ length }) => length)));
  let progress = "more";
  for (const piece of pieces) {
    shared.fill(0x0a);
    piece.copy(shared);
    progress = parser.feed(shared, piece.length);
  }
  return {
    beforeEnd: progress,
    progress: parser.finish(),
    failure: parser.failure?.kind ?? null,
    statusCode: record.statusCode,
    bodyBytes: record.bodyBytes,
    body: Buffer.from(record.excerpt ?? []).toString("latin1"),
    isReusable: progress === "done" && parser.isReusable,
    keepAliveSeconds: parser.keepAliveSeconds,
  };
}

const whole = (text: string) => parse([Buffer.from(text, "latin1")]);
const byteByByte = (text: string) => parse([...Buffer.from(text, "latin1")].map((byte) => Buffer.of(byte)));

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const cuts = [0, ...at.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
}

const HEAD_200 = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${HEAD_200}transfer-encoding: chunked\r\n\r\n`;

describe("the parser", () => {
  it("finds the same in the same bytes, however they are cut", () => {
    fc.assert(
      fc.property(responseBytes, fc.array(fc.nat(), { maxLength: 20 }), (bytes, cuts) => {
        const expected = parse([bytes]);
        expect(parse(cut(bytes, cuts))).toEqual(expected);
        expect(byteByByte(bytes.toString("latin1"))).toEqual(expected);
      }),
      { numRuns: 5_000 },
    );
  });

  it("takes any bytes at all: it neither throws nor goes on after their end", () => {
    let ended = 0;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), responseBytes), fc.nat(), (given, place) => {
        const { progress, statusCode, failure, isReusable } = parse(cut(Buffer.from(given), [place]));
        expect(progress === "failed").toBe(failure !== null);
        if (statusCode !== 0) expect(statusCode).toBeGreaterThanOrEqual(200);
        if (isReusable) expect(progress).toBe("done");
        if (progress === "done") ended += 1;
      }),
      { numRuns: 100_000 },
    );
    expect(ended).toBeGreaterThan(1_000);
  }, 120_000);

  it("can be used for one message after the other, whatever the last one came to", () => {
    const parser = new ResponseParser();
    fc.assert(
      fc.property(responseBytes, (bytes) => {
        parser.begin(new ResponseRecord(0));
        parser.feed(bytes, bytes.length);
        const record = new ResponseRecord(10);
        parser.begin(record);
        const good = Buffer.from(`${HEAD_200}content-length: 2\r\n\r\nok`);
        expect(parser.feed(good, good.length)).toBe("done");
        expect([record.statusCode, parser.isReusable, parser.failure]).toEqual([200, true, null]);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a body", () => {
  it.each([
    ["of Content-Length", `${HEAD_200}Content-Length: 5\r\n\r\nhello`, "hello", true],
    ["of no bytes", `${HEAD_200}content-length: 0\r\n\r\n`, "", true],
    ["in chunks", `${CHUNKED}5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n`, "hello!", true],
    [
      "in chunks with sizes in any case and zeros",
      `${CHUNKED}00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n`,
      "01234567890123456789",
      true,
    ],
    ["in chunks with extensions", `${CHUNKED}5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n`, "hello", true],
    [
      "in chunks with a trailer",
      `${CHUNKED}5\r\nhello\r\n0\r\nx: y\r\ncontent-length: x\r\nconnection: close\r\n\r\n`,
      "hello",
      true,
    ],
    [
      "in chunks behind another coding",
      `${HEAD_200}transfer-encoding: gzip, Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`,
      "ab",
      false,
    ],
    [
      "in chunks, said in two lines",
      `${HEAD_200}transfer-encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "",
      false,
    ],
    [
      "in chunks of HTTP/1.0",
      "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "",
      false,
    ],
    ["of a 204, which has none", "HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\n", "", true],
    ["of a 304, which has none", "HTTP/1.1 304 X\r\ntransfer-encoding: chunked\r\n\r\n", "", true],
  ])("%s ends by itself", (_name, text, body, isReusable) => {
    const expected = { beforeEnd: "done", progress: "done", failure: null, body, isReusable };
    expect(whole(text)).toMatchObject(expected);
    expect(byteByByte(text)).toMatchObject(expected);
  });

  it.each([
    ["without framing", `${HEAD_200}\r\nhello`],
    ["of HTTP/1.0", "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n\r\nhello"],
    ["in a coding that is not known", `${HEAD_200}transfer-encoding: gzip\r\n\r\nhello`],
  ])("%s goes on until the connection ends, which is then of no more use", (_name, text) => {
    expect(whole(text)).toMatchObject({
      beforeEnd: "more",
      progress: "done",
      body: "hello",
      isReusable: false,
    });
  });

  it.each([
    ["with Content-Length", `${HEAD_200}content-length: 6\r\n\r\nhello`],
    ["in chunks", `${CHUNKED}5\r\nhello\r\n`],
    ["in a trailer", `${CHUNKED}5\r\nhello\r\n0\r\n`],
  ])("%s that is cut off is not done", (_name, text) => {
    expect(whole(text)).toMatchObject({ progress: "more", statusCode: 200, body: "hello", failure: null });
  });

  it.each([
    ["Content-Length", `content-length: 1000000\r\n\r\n`, ""],
    ["chunks", "transfer-encoding: chunked\r\n\r\nfffff\r\n", ""],
    ["the connection's end", "\r\n", ""],
  ])("of more bytes than are read fails, framed by %s", (_name, framing) => {
    const body = "x".repeat(BODY_BYTES_MAX);
    expect(whole(HEAD_200 + framing + body)).toMatchObject({ failure: null, bodyBytes: BODY_BYTES_MAX });
    const more = whole(`${HEAD_200}${framing}${body}x`);
    expect(more).toMatchObject({ failure: "too_large", statusCode: 200, bodyBytes: BODY_BYTES_MAX });
  });

  it.each([
    "x\r\n",
    "\r\n",
    "\r\n\r\n",
    ";x\r\n\r\n",
    "-1\r\n",
    "0x5\r\n",
    "5 \r\n",
    " 5\r\n",
    "5\n",
    "5\rx",
    "5;\0\r\n",
    "20000000000000\r\nhello",
  ])("with a chunk size line of %j fails", (line) => {
    expect(whole(`${CHUNKED}${line}hello\r\n0\r\n\r\n`)).toMatchObject({
      failure: "protocol",
      statusCode: 200,
    });
  });

  it.each([
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\rx",
    "5\r\nhello\r\n0\r\n x: y\r\n\r\n",
  ])("with chunks of %j fails", (chunks) => {
    expect(whole(CHUNKED + chunks)).toMatchObject({ failure: "protocol", statusCode: 200, body: "hello" });
  });
});

describe("what follows a message", () => {
  it.each([
    `${HEAD_200}content-length: 2\r\n\r\nok`,
    `${HEAD_200}content-length: 0\r\n\r\n`,
    `${CHUNKED}2\r\nok\r\n0\r\n\r\n`,
    "HTTP/1.1 204 X\r\n\r\n",
  ])("leaves %j as it is, and its connection of no more use", (message) => {
    for (const more of ["\r\n", "x", `${HEAD_200}content-length: 0\r\n\r\n`]) {
      const [plain, followed] = [whole(message), whole(message + more)];
      expect(plain.isReusable).toBe(true);
      expect(followed).toEqual({ ...plain, isReusable: false });
      expect(parse([Buffer.from(message), Buffer.from(more)])).toEqual(followed);
    }
  });
});

describe("interim responses", () => {
  const interim = "HTTP/1.1 103 X\r\nlink: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
  const final = `${HEAD_200}content-length: 2\r\n\r\nok`;

  it("are passed over, hundreds of them, and say nothing about the final one", () => {
    for (const count of [1, 10, INTERIM_MAX]) {
      expect(whole(interim.repeat(count) + final)).toEqual(whole(final));
    }
  });

  it("fail when there are more", () => {
    expect(whole(interim.repeat(INTERIM_MAX + 1) + final)).toMatchObject({
      failure: "protocol",
      statusCode: 0,
    });
  });

  it("that switch protocols fail", () => {
    expect(whole(`HTTP/1.1 101 X\r\nupgrade: x\r\n\r\n${final}`)).toMatchObject({
      failure: "protocol",
      statusCode: 0,
    });
  });
});

describe("a head", () => {
  it.each([
    ["a status line without reason", "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"],
    ["a status line without the space either", "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n"],
    ["a reason with a tab and obs-text", "HTTP/1.1 200 \tO\xe9K\r\ncontent-length: 0\r\n\r\n"],
    ["values without space, or with a lot", `${HEAD_200}content-length:0\r\nx:\r\ny: \t z \t \r\n\r\n`],
    ["names of every token character", `${HEAD_200}!#$%&'*+-.^_\`|~aZ09: x\r\ncontent-length: 0\r\n\r\n`],
    ["values of every text byte", `${HEAD_200}x: \t !~\x80\xff\r\ncontent-length: 0\r\n\r\n`],
    ["a Content-Length with zeros", `${HEAD_200}content-length: 000\r\n\r\n`],
    ["a Content-Length with white space around", `${HEAD_200}content-length:\t 0 \t\r\n\r\n`],
    [
      "names that only resemble",
      `${HEAD_200}content-lengtm: x\r\ncontent\x0e-length: 1\r\n\r\n`.replace("\x0e", "+"),
    ],
  ])("with %s is taken", (_name, text) => {
    expect(whole(text)).toMatchObject({ statusCode: 200, progress: "done", failure: null });
  });

  it.each([
    ["another protocol", "HTTQ/1.1 200 OK\r\n"],
    ["a lower-case protocol", "http/1.1 200 OK\r\n"],
    [
      "HTTP/0.9, 1.2, 2 or 11",
      "HTTP/0.9 200 OK\r\n",
      "HTTP/1.2 200 OK\r\n",
      "HTTP/2.0 200 OK\r\n",
      "HTTP/1.11 200 OK\r\n",
    ],
    ["an empty line first", `\r\n${HEAD_200}`],
    ["a status of two or four digits", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n"],
    [
      "a status that is no number, or below 100",
      "HTTP/1.1 2x0 OK\r\n",
      "HTTP/1.1 099 OK\r\n",
      "HTTP/1.1 -20 OK\r\n",
    ],
    ["two spaces, or a tab, in front of the status", "HTTP/1.1  200 OK\r\n", "HTTP/1.1\t200 OK\r\n"],
    [
      "NUL, CR or LF in the reason",
      "HTTP/1.1 200 O\0K\r\n",
      "HTTP/1.1 200 O\rK\r\n",
      "HTTP/1.1 200 O\nK\r\n",
    ],
    [
      "a line that ends in LF alone, or behind another byte",
      "HTTP/1.1 200 OK\nx: y\r\n",
      "HTTP/1.1 200 OK\n\n",
      `${HEAD_200}x: y\n`,
      `${HEAD_200}x: y\n\n`,
      `${HEAD_200}x: y\0\nz: y\r\n`,
    ],
    ["a bare CR", `${HEAD_200}x: a\rb\r\n`, `${HEAD_200}x\r: a\r\n`, `${HEAD_200}\rx: a\r\n`],
    ["a folded line", `${HEAD_200}x: a\r\n b\r\n`, `${HEAD_200} x: a\r\n`, `${HEAD_200}x: a\r\n\tb\r\n`],
    ["a space before the colon", `${HEAD_200}content-length : 0\r\n`, `${HEAD_200}x\t: 0\r\n`],
    ["no name, or no colon", `${HEAD_200}: x\r\n`, `${HEAD_200}nothing\r\n`],
    [
      "a name of other characters",
      `${HEAD_200}a(b: x\r\n`,
      `${HEAD_200}a\xe9: x\r\n`,
      `${HEAD_200}a b: x\r\n`,
    ],
    [
      "a control character in a value",
      `${HEAD_200}x: a\0\r\n`,
      `${HEAD_200}x: a\x7f\r\n`,
      `${HEAD_200}x: \x1b[2J\r\n`,
    ],
    [
      "a Content-Length that is no number",
      ...["", "a", "1a", "+1", "-1", "0x1", "1.0", "1,1", "1 1", "9007199254740992", "9".repeat(400)].map(
        (value) => `${HEAD_200}content-length: ${value}\r\n`,
      ),
    ],
    [
      "two Content-Lengths, even the same",
      `${HEAD_200}content-length: 1\r\nContent-Length: 1\r\n`,
      `${HEAD_200}content-length: 1\r\nContent-Length: 2\r\n`,
    ],
    [
      "both framings",
      `${HEAD_200}content-length: 0\r\ntransfer-encoding: chunked\r\n`,
      `${HEAD_200}transfer-encoding: x\r\ncontent-length: 0\r\n`,
    ],
    [
      "chunked twice, in front, or an empty coding",
      ...["chunked, chunked", "chunked, gzip", ",chunked", "", "gzip,,chunked"].map(
        (value) => `${HEAD_200}transfer-encoding: ${value}\r\n`,
      ),
    ],
  ])("with %s fails", (_name, ...heads) => {
    for (const head of heads) {
      const expected = { statusCode: 0, progress: "failed", failure: "protocol", body: "" };
      expect(whole(`${head}\r\nhello`), head).toMatchObject(expected);
      expect(byteByByte(`${head}\r\nhello`), head).toMatchObject(expected);
    }
  });

  it("that is no HTTP fails at the byte that shows it", () => {
    expect(whole("220 mail")).toMatchObject({ failure: "protocol" });
    expect(whole("HTTP/1.")).toMatchObject({ progress: "more", failure: null });
    expect(whole("HTTP/2")).toMatchObject({ failure: "protocol" });
  });

  it.each([
    ["one value", (bytes: number) => `${HEAD_200}x: ${"y".repeat(bytes - HEAD_200.length - 7)}\r\n\r\n`],
    ["one name", (bytes: number) => `${HEAD_200}${"y".repeat(bytes - HEAD_200.length - 6)}: \r\n\r\n`],
    ["the reason", (bytes: number) => `${HEAD_200.trim()}${"y".repeat(bytes - HEAD_200.length - 2)}\r\n\r\n`],
    [
      "short lines",
      (bytes: number) =>
        `${HEAD_200}${"x:y\r\n".repeat((bytes - HEAD_200.length - 2) / 5 - 1)}x:${"y".repeat(1 + ((bytes - HEAD_200.length - 2) % 5))}\r\n\r\n`,
    ],
  ])("may have so many bytes and not one more: %s", (_name, make) => {
    for (const parseIt of [whole, byteByByte]) {
      expect(make(HEAD_BYTES_MAX)).toHaveLength(HEAD_BYTES_MAX);
      expect(parseIt(make(HEAD_BYTES_MAX))).toMatchObject({ statusCode: 200, failure: null });
      expect(parseIt(make(HEAD_BYTES_MAX + 1))).toMatchObject({ statusCode: 0, failure: "too_large" });
    }
  });

  it("has its limit for itself, apart from interim ones and the trailer", () => {
    const filler = `x: ${"y".repeat(HEAD_BYTES_MAX - 100)}\r\n`;
    const text = `HTTP/1.1 103 X\r\n${filler}\r\n${HEAD_200}transfer-encoding: chunked\r\n${filler}\r\n0\r\n${filler}\r\n`;
    expect(whole(text)).toMatchObject({ progress: "done", failure: null });
    const trailer = `${CHUNKED}0\r\n${filler}${filler}\r\n`;
    expect(whole(trailer)).toMatchObject({ statusCode: 200, failure: "too_large" });
    const extension = `${CHUNKED}1;${"x".repeat(SIZE_LINE_BYTES_MAX)}`;
    expect(whole(extension)).toMatchObject({ statusCode: 200, failure: "too_large" });
    expect(whole(CHUNKED + "1;x\r\ny\r\n".repeat(SIZE_LINE_BYTES_MAX / 4))).toMatchObject({ failure: null });
  });
});

describe("a connection's further use", () => {
  it.each([
    ["HTTP/1.1", "", true],
    ["HTTP/1.1", "connection: close\r\n", false],
    ["HTTP/1.1", "Connection: CLOSE\r\n", false],
    ["HTTP/1.1", "connection: keep-alive, x, Close\r\n", false],
    ["HTTP/1.1", "connection: keep-alive\r\nconnection: close\r\n", false],
    ["HTTP/1.1", "connection: x, keep-alive\r\n", true],
    ["HTTP/1.1", "x-connection: close\r\n", true],
    ["HTTP/1.0", "", false],
    ["HTTP/1.0", "connection: keep-alive\r\n", true],
    ["HTTP/1.0", "connection: x, Keep-Alive\r\n", true],
    ["HTTP/1.0", "connection: keep-alive, close\r\n", false],
  ])("is as %s with %j says", (version, lines, isReusable) => {
    expect(whole(`${version} 200 OK\r\n${lines}content-length: 0\r\n\r\n`).isReusable).toBe(isReusable);
  });

  it.each([
    ["timeout=5", 5],
    ["timeout=5, max=100", 5],
    ["max=100, Timeout=60", 60],
    ["timeout=0", 0],
    ["timeout=x", null],
    ["timeout=", null],
    ["xtimeout=5", null],
    ["", null],
  ])("lasts as long as Keep-Alive: %s says", (value, seconds) => {
    const text = `${HEAD_200}keep-alive: ${value}\r\ncontent-length: 0\r\n\r\n`;
    expect(whole(text).keepAliveSeconds).toBe(seconds);
  });
});
