import fc from "fast-check";

/** Lines and pieces of answers, good and bad, as a receiver may put them together. */
const line = fc.constantFrom(
  "content-length: 5\r\n",
  "Content-Length: 0\r\n",
  "content-length: 05\r\n",
  "content-length: -1\r\n",
  "transfer-encoding: chunked\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "transfer-encoding: gzip\r\n",
  "connection: close\r\n",
  "Connection: Keep-Alive, x\r\n",
  "keep-alive: timeout=5\r\n",
  "retry-after: 5\r\n",
  "x: y\r\n",
  "x:\t \r\n",
  "x : y\r\n",
  " folded\r\n",
  "x: a\rb\r\n",
  "x: y\n",
  "\0: x\r\n",
  ": x\r\n",
);
const body = fc.constantFrom(
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nt: u\r\n\r\n",
  "5\r\nhello\r\n",
  "5\r\nhelloo\r\n0\r\n\r\n",
  "zz\r\n",
  "fffffffffffffffff\r\n",
  "hello!",
);
const statusLine = fc.constantFrom(
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.1 200\r\n",
  "HTTP/1.1 204 \r\n",
  "HTTP/1.1 304 X\r\n",
  "HTTP/1.1 500 X\r\n",
  "HTTP/1.1 999 X\r\n",
  "HTTP/1.0 200 OK\r\n",
  "HTTP/1.1 099 X\r\n",
  "HTTP/1.1 2000 X\r\n",
  "HTTP/2.0 200 X\r\n",
  "HTTP/1.1 200 O\nK\r\n",
);
const interim = fc.constantFrom(
  "",
  "",
  "",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.1 103 X\r\nlink: a\r\n\r\n",
  "HTTP/1.1 101 X\r\n\r\n",
);

const message = fc
  .tuple(
    interim,
    statusLine,
    fc.array(line, { maxLength: 3 }),
    body,
    fc.constantFrom("", "", "", "x", "\r\n"),
  )
  .map(([first, status, lines, rest, more]) => `${first}${status}${lines.join("")}\r\n${rest}${more}`);

/** Answers as they are, cut off, and with one byte changed. */
export const responseBytes: fc.Arbitrary<Buffer> = fc
  .tuple(message, fc.constantFrom("whole", "whole", "cut", "changed"), fc.nat(), fc.nat(255))
  .map(([text, how, place, byte]) => {
    const bytes = Buffer.from(text, "latin1");
    if (how === "cut") return bytes.subarray(0, place % (bytes.length + 1));
    if (how === "changed" && bytes.length > 0) bytes[place % bytes.length] = byte;
    return bytes;
  });
