import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttemptError, Verdict } from "../../src/domain/delivery.ts";
import { answerOk, canaries, drip, OK_RESPONSE, receiver, setup, TIMEOUT_MS } from "./setup.ts";

interface Expected {
  readonly verdict: Verdict;
  readonly statusCode: number | null;
  readonly error: AttemptError | null;
}
const failed = (error: AttemptError, statusCode: number | null = null): Expected => ({
  verdict: "retry",
  statusCode,
  error,
});
const succeeded: Expected = { verdict: "success", statusCode: 200, error: null };

const HEAD_200 = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${HEAD_200}transfer-encoding: chunked\r\n\r\n`;
const KIB = "x".repeat(1_024);

/** Answers that end by themselves, or that the sender ends without help of its deadline. */
const ENDING: [name: string, answer: string | ((socket: Socket) => void), expected: Expected][] = [
  ["a good answer", OK_RESPONSE, succeeded],
  ["a body until the connection ends", (s) => s.end(`${HEAD_200}\r\nbody`), succeeded],
  ["103 early hints, then an answer", `HTTP/1.1 103 X\r\nlink: a\r\n\r\n${OK_RESPONSE}`, succeeded],
  ["a flood of 103", (s) => drip(s, () => `HTTP/1.1 103 X\r\nlink: ${KIB}\r\n\r\n`), failed("too_large")],
  ["a flood of 100", (s) => drip(s, () => "HTTP/1.1 100 Continue\r\n\r\n"), failed("protocol")],
  ["a flood of chunk extensions", (s) => drip(s, (i) => (i === 0 ? `${CHUNKED}1;` : KIB)), succeeded],
  [
    "a flood of chunk extensions behind a 500",
    (s) => drip(s, (i) => (i === 0 ? `${CHUNKED.replace("200", "500")}1;` : KIB)),
    failed("too_large", 500),
  ],
  [
    "a header of 1 MiB",
    (s) => drip(s, (i) => (i === 0 ? `${HEAD_200}x: ` : KIB.repeat(16))),
    failed("too_large"),
  ],
  [
    "1 MiB of header lines",
    (s) => drip(s, (i) => (i === 0 ? HEAD_200 : `x-${i}: ${KIB}\r\n`)),
    failed("too_large"),
  ],
  [
    "17 KiB of header lines",
    `${HEAD_200}${`x: ${KIB}\r\n`.repeat(17)}content-length: 0\r\n\r\n`,
    failed("too_large"),
  ],
  ["15 KiB of header lines", `${HEAD_200}${`x: ${KIB}\r\n`.repeat(15)}content-length: 0\r\n\r\n`, succeeded],
  [
    "a status line without end",
    (s) => drip(s, (i) => (i === 0 ? "HTTP/1.1 200 " : KIB)),
    failed("too_large"),
  ],
  [
    "trailers without end",
    (s) => drip(s, (i) => (i === 0 ? `${CHUNKED}0\r\n` : `x-${i}: ${KIB}\r\n`)),
    succeeded,
  ],
  ["a body without end", (s) => drip(s, (i) => (i === 0 ? `${HEAD_200}\r\n` : KIB)), succeeded],
  ["a chunked body without end", (s) => drip(s, (i) => (i === 0 ? CHUNKED : `400\r\n${KIB}\r\n`)), succeeded],
  [
    "a 1 GiB body",
    (s) => drip(s, (i) => (i === 0 ? `${HEAD_200}content-length: 1073741824\r\n\r\n` : KIB)),
    succeeded,
  ],
  [
    "a body without end behind a 500",
    (s) => drip(s, (i) => (i === 0 ? "HTTP/1.1 500 X\r\n\r\n" : KIB)),
    failed("too_large", 500),
  ],
  [
    "a body without end behind a 404",
    (s) => drip(s, (i) => (i === 0 ? "HTTP/1.1 404 X\r\n\r\n" : KIB)),
    { verdict: "permanent", statusCode: 404, error: "too_large" },
  ],
  ["too long a Content-Length", (s) => s.end(`${HEAD_200}content-length: 10\r\n\r\nbody`), succeeded],
  [
    "too long a Content-Length behind a 500",
    (s) => s.end("HTTP/1.1 500 X\r\ncontent-length: 10\r\n\r\nbody"),
    failed("reset", 500),
  ],
  ["too short a Content-Length", `${HEAD_200}content-length: 2\r\n\r\nbody`, succeeded],
  [
    "two Content-Lengths",
    `${HEAD_200}content-length: 2\r\ncontent-length: 4\r\n\r\nbody`,
    failed("protocol"),
  ],
  ["a Content-Length that is no number", `${HEAD_200}content-length: 2x\r\n\r\nok`, failed("protocol")],
  ["a negative Content-Length", `${HEAD_200}content-length: -2\r\n\r\nok`, failed("protocol")],
  [
    "a Content-Length beyond 2^64",
    `${HEAD_200}content-length: 99999999999999999999\r\n\r\nok`,
    failed("protocol"),
  ],
  [
    "Content-Length and Transfer-Encoding",
    `${HEAD_200}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    failed("protocol"),
  ],
  ["a bad chunk size", `${CHUNKED}zz\r\nbody\r\n0\r\n\r\n`, succeeded],
  ["a bad chunk size behind a 500", `${CHUNKED.replace("200", "500")}zz\r\n`, failed("protocol", 500)],
  ["garbage", "\x00\x01\x02 this is not HTTP\r\n\r\n", failed("protocol")],
  ["a line of SMTP", "220 mail.example ESMTP\r\n", failed("protocol")],
  ["HTTP/9.9", "HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n", failed("protocol")],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", failed("protocol")],
  ["a header line with a bare line feed inside", `${HEAD_200}a: b\nc\x00: d\r\n\r\n`, failed("protocol")],
  ["a header line without name", `${HEAD_200}: x\r\n\r\n`, failed("protocol")],
  ["FIN before any byte", (s) => s.end(), failed("reset")],
  ["FIN inside the status line", (s) => s.end("HTTP/1.1 2"), failed("reset")],
  ["FIN inside the header lines", (s) => s.end(`${HEAD_200}content-`), failed("reset")],
  ["FIN inside the body", (s) => s.end(`${HEAD_200}content-length: 10\r\n\r\nbo`), succeeded],
  ["RST before any byte", (s) => s.resetAndDestroy(), failed("reset")],
  [
    "RST behind the header lines",
    (s) => s.write(`${HEAD_200}content-length: 10\r\n\r\n`, () => s.resetAndDestroy()),
    succeeded,
  ],
  [
    "101",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    failed("protocol"),
  ],
  ["101 without what it switches to", "HTTP/1.1 101 X\r\n\r\n", failed("protocol")],
  [
    "204 with a body",
    "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody",
    { ...succeeded, statusCode: 204 },
  ],
  [
    "304 with a body",
    "HTTP/1.1 304 X\r\ncontent-length: 4\r\n\r\nbody",
    { ...failed("x" as AttemptError, 304), error: null },
  ],
  ["status 099", "HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n", failed("protocol")],
  ["status 000", "HTTP/1.1 000 X\r\ncontent-length: 0\r\n\r\n", failed("protocol")],
  [
    "status 999",
    "HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
    { verdict: "retry", statusCode: 999, error: null },
  ],
  ["a status of four digits", "HTTP/1.1 2000 X\r\ncontent-length: 0\r\n\r\n", failed("protocol")],
  ["two responses at once", OK_RESPONSE + OK_RESPONSE, succeeded],
  ["a proxy's tunnel answer", "HTTP/1.1 200 Connection established\r\n\r\n", succeeded],
];

describe("a hostile receiver that sends", () => {
  it.each(ENDING)("%s is classified, and the connection ends", async (name, answer, expected) => {
    const { post, sender, failures } = setup();
    const server = await receiver((socket) => {
      if (typeof answer === "string") socket.write(answer);
      else answer(socket);
      // What the sender waits for must come from the answer or its end, not from this test's patience.
      if (name === "a proxy's tunnel answer") socket.end();
    });
    const outcome = await post(server.url);
    expect(outcome.attempt).toMatchObject(expected);
    expect(outcome.attempt.excerpt?.length ?? 0).toBeLessThanOrEqual(1_024);
    if (expected.error === null) expect(failures).toEqual([]);
    else expect(failures).toMatchObject([{ kind: expected.error }]);
    await sender.stop();
    await server.allClosed();
  });

  it("is read no further than its cap, whatever it sends", async () => {
    for (const begin of [`${HEAD_200}\r\n`, CHUNKED, `${CHUNKED}1;`, "", HEAD_200]) {
      const { post } = setup();
      const server = await receiver((socket) => drip(socket, (i) => (i === 0 ? begin : KIB.repeat(16))));
      await post(server.url);
      await server.allClosed();
      // The caps are 64 and 256 KiB; between two ticks the kernel's buffers and one read fill up at most.
      expect(server.sockets[0]!.bytesWritten).toBeLessThan(64 * 1_024 * 1_024);
    }
  });
});

/**
 * Answers that never end: only the deadline does it. `ready` is called when the receiver has done its worst.
 */
const ENDLESS: [name: string, answer: (socket: Socket, ready: () => void) => void, expected: Expected][] = [
  ["never answers", (_s, ready) => ready(), failed("timeout")],
  ["sends 103 and nothing else", (s, ready) => s.write("HTTP/1.1 103 X\r\n\r\n", ready), failed("timeout")],
  ["sends half a status line", (s, ready) => s.write("HTTP/1.1 20", ready), failed("timeout")],
  [
    "sends half of the body of a 500",
    (s, ready) => s.write("HTTP/1.1 500 X\r\ncontent-length: 4\r\n\r\nbo", ready),
    failed("timeout", 500),
  ],
  [
    "sends half of the body of a 200",
    (s, ready) => s.write(`${HEAD_200}content-length: 4\r\n\r\nbo`, ready),
    succeeded,
  ],
  ["never ends a chunked 200", (s, ready) => s.write(`${CHUNKED}2\r\nok\r\n`, ready), succeeded],
];

describe("a hostile receiver that never ends and", () => {
  it.each(ENDLESS)("%s is ended by the deadline", async (_name, answer, expected) => {
    const { post, clock, sender } = setup();
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const server = await receiver((socket) => answer(socket, resolve));
    const attempt = post(server.url);
    await ready;
    // The status line must be in before the clock moves: the receiver's ready says that it left, not that it
    // arrived.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    clock.advance(TIMEOUT_MS);
    const outcome = await attempt;
    expect(outcome.attempt).toMatchObject(expected);
    expect(outcome.attempt.durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
    await server.allClosed();
    expect(sender.counts()).toMatchObject({ inFlight: 0, takenConnections: 0, idleConnections: 0 });
  });

  it.each<[string, (index: number) => string, Expected]>([
    ["header byte by byte", (i) => (i === 0 ? `${HEAD_200}x: ` : "x"), failed("timeout")],
    ["header lines", (i) => (i === 0 ? HEAD_200 : `x${i}: y\r\n`), failed("timeout")],
    ["interim responses", () => "HTTP/1.1 103 X\r\n\r\n", failed("timeout")],
    ["the body of a 500", (i) => (i === 0 ? "HTTP/1.1 500 X\r\n\r\n" : "x"), failed("timeout", 500)],
    ["the body of a 200", (i) => (i === 0 ? `${HEAD_200}\r\n` : "x"), succeeded],
    ["the size of a chunk", (i) => (i === 0 ? CHUNKED.replace("200", "500") : "0"), failed("timeout", 500)],
  ])("drips %s is not let go on by its activity", async (_name, piece, expected) => {
    const { post, clock } = setup();
    const stepMs = 600;
    const server = await receiver((socket) => drip(socket, piece, () => clock.advance(stepMs), 30));
    const { attempt } = await post(server.url);
    expect(attempt).toMatchObject(expected);
    expect(attempt.durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS);
    await server.allClosed();
  });

  it("does not read a large request is ended by the deadline", async () => {
    const { post, clock } = setup();
    const { promise: connected, resolve } = Promise.withResolvers<void>();
    const server = await receiver(() => {}, {
      onConnection: (socket) => {
        socket.pause();
        resolve();
      },
    });
    const attempt = post(server.url, { payload: Buffer.alloc(32 * 1_024 * 1_024) });
    await connected;
    clock.advance(TIMEOUT_MS);
    expect((await attempt).attempt).toMatchObject(failed("timeout"));
    for (const socket of server.sockets) socket.resume();
    await server.allClosed();
  });

  it("has its own timeout: another target's attempt goes on", async () => {
    const { post, order, target, clock } = setup();
    const server = await receiver(() => {});
    const short = post(server.url, { webhookId: 1 as never }, { timeoutMs: 1_000 });
    target(server.url, { webhookId: 2 as never, timeoutMs: 5_000 });
    let isLongOver = false;
    const long = order({ webhookId: 2 as never }).then((outcome) => {
      isLongOver = true;
      return outcome;
    });
    await server.requested(2);
    clock.advance(1_000);
    expect((await short).attempt.error).toBe("timeout");
    expect(isLongOver).toBe(false);
    clock.advance(4_000);
    expect((await long).attempt.error).toBe("timeout");
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("with %i is a failure, and nobody goes there", async (status) => {
    const canary = await canaries();
    const { post, sender } = setup();
    for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
      const server = await receiver((socket) =>
        socket.write(
          `HTTP/1.1 ${status} X\r\nlocation: http://${host}:${canary.port}/\r\ncontent-length: 0\r\n\r\n`,
        ),
      );
      expect((await post(server.url)).attempt).toMatchObject({
        verdict: "retry",
        statusCode: status,
        error: null,
      });
    }
    await sender.stop();
    expect(canary.touched()).toBe(0);
  });
});

describe("a compressed answer", () => {
  it("is never inflated", async () => {
    const bomb = gzipSync(Buffer.alloc(10 * 1_024 * 1_024));
    const { post } = setup({ excerptBytes: 100_000 });
    const server = await receiver((socket) => {
      socket.write(`${HEAD_200}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
      socket.write(bomb);
    });
    const { attempt } = await post(server.url);
    expect(Buffer.from(attempt.excerpt!).equals(bomb)).toBe(true);
  });
});

describe("an unsolicited second response", () => {
  it("never answers the next request", async () => {
    const { post, order } = setup();
    const server = await receiver((socket, n) => {
      if (n === 1)
        socket.write(`${HEAD_200}content-length: 1\r\n\r\n1HTTP/1.1 500 Evil\r\ncontent-length: 1\r\n\r\nX`);
      else socket.write(`${HEAD_200}content-length: 1\r\n\r\n${n}`);
    });
    expect((await post(server.url)).attempt.statusCode).toBe(200);
    const second = await order();
    expect(second.attempt.statusCode).toBe(200);
    expect(Buffer.from(second.attempt.excerpt!).toString()).toBe("2");
    expect(server.connections).toBe(2);
  });

  it("that comes while the connection idles closes it", async () => {
    const { post, order } = setup();
    const server = await receiver(answerOk);
    await post(server.url);
    server.sockets[0]!.write("HTTP/1.1 500 Evil\r\ncontent-length: 0\r\n\r\n");
    await server.allClosed();
    expect((await order()).attempt.statusCode).toBe(200);
    expect(server.connections).toBe(2);
  });
});

describe("random answers", () => {
  const line = fc.constantFrom(
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 500 X\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 103 X\r\n",
    "HTTP/1.1 101 X\r\n",
    "HTTP/1.1 204 X\r\n",
    "content-length: 5\r\n",
    "content-length: 0\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "keep-alive: timeout=0\r\n",
    "upgrade: h2c\r\n",
    "\r\n",
    "\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "hello",
    "retry-after: 5\r\n",
    ": x\r\n",
    "\0",
  );
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    fc.array(line, { maxLength: 10 }).map((lines) => Buffer.from(lines.join(""), "latin1")),
    fc.tuple(fc.nat(OK_RESPONSE.length - 1), fc.nat(255)).map(([at, byte]) => {
      const answer = Buffer.from(OK_RESPONSE);
      answer[at] = byte;
      return answer;
    }),
  );

  it("are each classified, and leave no connection taken", async () => {
    const { post, order, sender } = setup();
    let answer: Buffer = Buffer.alloc(0);
    let closing: "end" | "reset" = "end";
    const server = await receiver((socket) => {
      socket.write(answer, () => (closing === "end" ? socket.end() : socket.resetAndDestroy()));
    });
    await post(server.url);
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom<"end" | "reset">("end", "reset"), async (given, how) => {
        answer = given;
        closing = how;
        const { attempt } = await order();
        if (attempt.statusCode === null) expect(["reset", "protocol", "too_large"]).toContain(attempt.error);
        else expect(attempt.statusCode).toBeGreaterThanOrEqual(200);
        expect(attempt.verdict === "success").toBe(attempt.statusCode !== null && attempt.statusCode < 300);
        expect(sender.counts()).toMatchObject({ inFlight: 0, takenConnections: 0 });
      }),
      { numRuns: 600 },
    );
  });
});

describe("a receiver that closes a connection when it accepts it", () => {
  it.each(["end", "resetAndDestroy"] as const)("by %s fails as reset", async (how) => {
    const { post } = setup();
    const server = await receiver(() => {}, { onConnection: (socket) => void socket[how]() });
    const outcome = await post(server.url);
    expect(outcome.attempt).toMatchObject({ verdict: "retry", statusCode: null });
    expect(["reset", "connect"]).toContain(outcome.attempt.error);
    await server.allClosed();
  });

  it("or is not there at all fails as connect", async () => {
    const { post } = setup();
    const server = await receiver(() => {});
    const taken = await receiver(() => {}, { host: "127.0.0.2" });
    void server;
    // Nothing listens on this port at 127.0.0.3.
    expect((await post(`http://127.0.0.3:${taken.port}/`)).attempt).toMatchObject(failed("connect"));
  });
});
