import { Webhook } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import type { WebhookId } from "../../src/domain/ids.ts";
import { verifyLegacy } from "../../src/domain/sign.ts";
import type { SendOrder } from "../../src/sender/port.ts";
import { answerOk, headerLines, receiver, SECRET, setup } from "./setup.ts";

const bodyOf = (request: string) => request.slice(request.indexOf("\r\n\r\n") + 4);
const OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

describe("a request on the wire", () => {
  it("has the headers of the contract, in order, then the webhook's own", async () => {
    const { post } = setup();
    const server = await receiver(answerOk);
    const outcome = await post(
      `${server.url}?a=b%20c`,
      { attemptNumber: 3, eventUid: "evt_x" },
      {},
      {
        headers: [
          ["authorization", "Bearer t"],
          ["x-own", "1"],
        ],
      },
    );

    expect(server.requests[0]).toMatch(/^POST \/hook\?a=b%20c HTTP\/1\.1\r\n/);
    const lines = headerLines(server.requests[0]!);
    expect(lines.map(([name]) => name)).toEqual([
      "host",
      "connection",
      "content-type",
      "user-agent",
      "webhook-id",
      "webhook-timestamp",
      "webhook-signature",
      "x-webhook-id",
      "x-signature",
      "hookd-event-id",
      "hookd-webhook-id",
      "hookd-attempt",
      "accept-encoding",
      "authorization",
      "x-own",
      "content-length",
    ]);
    expect(Object.fromEntries(lines)).toMatchObject({
      host: `127.0.0.1:${server.port}`,
      "content-type": "application/json",
      "user-agent": "hookd/1.2.3",
      "webhook-id": "evt_x",
      "x-webhook-id": "evt_x",
      "hookd-event-id": "user.created",
      "hookd-webhook-id": "wh_test",
      "hookd-attempt": "3",
      "accept-encoding": "identity",
      authorization: "Bearer t",
      "content-length": "9",
    });
    expect(bodyOf(server.requests[0]!)).toBe('{"a":1.0}');
    expect(outcome).toMatchObject({
      token: outcome.deliveryId + 1_000,
      webhookId: 1,
      retryAfterMs: null,
      attempt: { number: 3, verdict: "success", statusCode: 200, error: null },
    });
    expect(Buffer.from(outcome.attempt.excerpt!).toString()).toBe("ok");
  });

  it("verifies with the receivers' libraries of both conventions", async () => {
    const { post } = setup();
    const server = await receiver(answerOk);
    await post(server.url, { payload: Buffer.from('{"n":12345678901234567890, "é":1}') });
    const headers = Object.fromEntries(headerLines(server.requests[0]!));
    const body = Buffer.from(bodyOf(server.requests[0]!), "latin1");
    expect(() => new Webhook(SECRET).verify(body, headers)).not.toThrow();
    expect(() => new Webhook(OTHER_SECRET).verify(body, headers)).toThrow();
    expect(verifyLegacy([SECRET], headers["x-signature"], body, Date.now() / 1_000).ok).toBe(true);
  });

  it("carries every byte as published, none and many", async () => {
    const { post } = setup();
    const server = await receiver(answerOk);
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    // A view in the middle of a larger buffer, as orders come out of a batch.
    const view = new Uint8Array(
      Buffer.concat([Buffer.from("xx"), all, Buffer.from("yy")]).buffer.slice(0),
    ).subarray(0);
    const inner = view.subarray(Buffer.from(view).indexOf(all), Buffer.from(view).indexOf(all) + 256);
    for (const payload of [Buffer.alloc(0), new Uint8Array(0), inner, Buffer.alloc(1_048_576, 7)]) {
      const outcome = await post(server.url, { payload });
      expect(outcome.attempt.verdict).toBe("success");
      const request = server.requests.at(-1)!;
      expect(Buffer.from(bodyOf(request), "latin1").equals(payload)).toBe(true);
      expect(Object.fromEntries(headerLines(request))["content-length"]).toBe(String(payload.length));
      const headers = Object.fromEntries(headerLines(request));
      expect(verifyLegacy([SECRET], headers["x-signature"], payload, Date.now() / 1_000).ok).toBe(true);
    }
  });

  it("is signed by both secrets of a rotation until the old one ends", async () => {
    const { post, order, clock } = setup();
    const server = await receiver(answerOk);
    const secrets = [
      { secret: OTHER_SECRET, expiresAt: null },
      { secret: SECRET, expiresAt: Date.now() + 60_000 },
    ];
    await post(server.url, {}, {}, { secrets });
    clock.advance(60_001);
    await order();
    const [during, after] = server.requests.map((request) => Object.fromEntries(headerLines(request)));
    expect(during!["webhook-signature"]!.split(" ")).toHaveLength(2);
    expect(during!["x-signature"]!.match(/v1=/g)).toHaveLength(2);
    expect(after!["webhook-signature"]!.split(" ")).toHaveLength(1);
    const now = clock.now() / 1_000;
    expect(verifyLegacy([OTHER_SECRET], after!["x-signature"], Buffer.from('{"a":1.0}'), now).ok).toBe(true);
    expect(verifyLegacy([SECRET], after!["x-signature"], Buffer.from('{"a":1.0}'), now).ok).toBe(false);
  });

  it("is not made when every secret has ended: nothing goes out unsigned", async () => {
    const { post } = setup();
    const server = await receiver(answerOk);
    const outcome = await post(server.url, {}, {}, { secrets: [{ secret: SECRET, expiresAt: 1 }] });
    expect(outcome.attempt).toMatchObject({ verdict: "retry", error: "internal", statusCode: null });
    expect(server.connections).toBe(0);
  });

  it("holds no header that a publisher's content type smuggles in", async () => {
    const { post, sender, failures } = setup();
    const server = await receiver(answerOk);
    for (const contentType of ["text/plain\r\nx-evil: 1", "text/plain\n", "a\0b", "te\u0100xt"]) {
      const outcome = await post(server.url, { contentType });
      expect(outcome.attempt).toMatchObject({ verdict: "retry", error: "internal" });
    }
    expect(server.requests).toEqual([]);
    // Nor on a connection in use; and it is no reason for a second try.
    expect((await post(server.url)).attempt.verdict).toBe("success");
    const refused = post(server.url, { contentType: "a\nb" });
    expect(sender.counts()).toMatchObject({ takenConnections: 0, idleConnections: 1 });
    expect((await refused).attempt.error).toBe("internal");
    expect(failures).toHaveLength(5);
    expect(server.requests).toHaveLength(1);
  });
});

describe("an order", () => {
  it("for an unknown or dropped target fails as internal, to be retried", async () => {
    const { sender, order, target } = setup();
    const server = await receiver(answerOk);
    expect((await order()).attempt).toMatchObject({ verdict: "retry", error: "internal", statusCode: null });
    target(server.url);
    expect((await order()).attempt.verdict).toBe("success");
    sender.dropTarget(1 as WebhookId);
    expect((await order()).attempt).toMatchObject({ verdict: "retry", error: "internal" });
  });

  it("goes by the target that was put last", async () => {
    const { post } = setup();
    const [first, second] = [await receiver(answerOk), await receiver(answerOk)];
    await post(first.url);
    await post(second.url);
    expect([first.requests.length, second.requests.length]).toEqual([1, 1]);
  });

  it("for a target that cannot be opened or compiled fails as internal", async () => {
    const { post } = setup();
    const server = await receiver(answerOk);
    for (const [given, parts] of [
      [{ sealed: Buffer.from("other key") }, {}],
      [{ permanent: ["nonsense"] }, {}],
      [{}, { secrets: [{ secret: "whsec_short", expiresAt: null }] }],
    ] as const) {
      expect((await post(server.url, {}, given, parts)).attempt).toMatchObject({
        verdict: "retry",
        error: "internal",
      });
    }
    expect(server.connections).toBe(0);
  });

  it("for a URL that the rules refuse is blocked without a connection", async () => {
    const { post } = setup({ allowHttp: false });
    const server = await receiver(answerOk);
    expect((await post(server.url)).attempt).toMatchObject({ verdict: "blocked", error: "blocked" });
    expect(server.connections).toBe(0);
  });

  it("gets one outcome each, in a batch of hundreds over few connections", async () => {
    const { post, order, sender } = setup();
    const server = await receiver(answerOk);
    await post(server.url);
    const outcomes = await Promise.all(Array.from({ length: 300 }, () => order()));
    expect(new Set(outcomes.map(({ deliveryId }) => deliveryId)).size).toBe(300);
    expect(outcomes.every(({ attempt }) => attempt.verdict === "success")).toBe(true);
    expect(server.requests).toHaveLength(301);
    expect(sender.counts()).toMatchObject({
      inFlight: 0,
      takenConnections: 0,
      // More than the limit of 64: as many as were taken at once a moment ago are kept for a moment.
      idleConnections: 300,
      idleOrigins: 1,
    });
  });
});

describe("a status", () => {
  const answer = (head: string) => (socket: { write(text: string): void }) => {
    socket.write(`HTTP/1.1 ${head}\r\ncontent-length: 0\r\n\r\n`);
  };

  it.each([
    [200, "success"],
    [201, "success"],
    [299, "success"],
    [301, "retry"],
    [304, "retry"],
    [400, "permanent"],
    [404, "permanent"],
    [408, "retry"],
    [410, "gone"],
    [425, "retry"],
    [429, "retry"],
    [500, "retry"],
    [503, "retry"],
    [600, "retry"],
    [999, "retry"],
  ])("of %i is %s", async (status, verdict) => {
    const { post } = setup();
    const server = await receiver(answer(`${status} X`));
    const { attempt } = await post(server.url);
    expect(attempt).toMatchObject({ statusCode: status, verdict, error: null });
    // 304 and 204 aside, an empty body leaves no excerpt either.
    expect(attempt.excerpt).toBeNull();
  });

  it("of the webhook's own list is permanent", async () => {
    const { post } = setup();
    const server = await receiver(answer("503 X"));
    expect((await post(server.url, {}, { permanent: ["503"] })).attempt.verdict).toBe("permanent");
  });

  it.each([
    ["429 X\r\nretry-after: 7", 7_000],
    ["503 X\r\nRetry-After: 1000000000", 86_400_000],
    ["503 X\r\nretry-after: -1", null],
    ["503 X\r\nretry-after: soon", null],
    ["503 X\r\nretry-after: 5\r\nretry-after: 9", 5_000],
    ["500 X\r\nretry-after: 7", null],
    ["200 X\r\nretry-after: 7", null],
  ])("%j asks for a wait of %s ms", async (head, expected) => {
    const { post } = setup();
    const server = await receiver(answer(head));
    expect((await post(server.url)).retryAfterMs).toBe(expected);
  });
});

describe("an excerpt", () => {
  const bodyOfBytes = (length: number) => Buffer.from(Array.from({ length }, (_, index) => index % 251));

  it.each([
    [10, 1_024],
    [1_024, 1_024],
    [1_025, 1_024],
    [60_000, 1_024],
    [60_000, 30_000],
    [10, 0],
    [0, 10],
  ])("of a body of %i bytes is its begin, at most %i", async (length, excerptBytes) => {
    const { post } = setup({ excerptBytes });
    const body = bodyOfBytes(length);
    const server = await receiver((socket) => {
      socket.write(`HTTP/1.1 500 X\r\ncontent-length: ${length}\r\n\r\n`);
      // In pieces, so that it is put together from several chunks.
      const pieces = Array.from({ length: Math.ceil(length / 700) }, (_, i) =>
        body.subarray(i * 700, i * 700 + 700),
      );
      const next = () => {
        const piece = pieces.shift();
        if (piece !== undefined) socket.write(piece, () => setImmediate(next));
      };
      next();
    });
    const { attempt } = await post(server.url);
    const expected = body.subarray(0, excerptBytes);
    if (expected.length === 0) expect(attempt.excerpt).toBeNull();
    else expect(Buffer.from(attempt.excerpt!).equals(expected)).toBe(true);
  });

  it("keeps its bytes when the parser's buffer is used again", async () => {
    const { post, order } = setup();
    const server = await receiver((socket, n) => {
      socket.write(`HTTP/1.1 200 X\r\ncontent-length: 8\r\n\r\nbody ${String(n).padStart(3, "0")}`);
    });
    await post(server.url);
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => order({} as Partial<SendOrder>)));
    const texts = outcomes.map(({ attempt }) => Buffer.from(attempt.excerpt!).toString());
    expect(new Set(texts).size).toBe(50);
    expect(texts.every((text) => /^body \d{3}$/.test(text))).toBe(true);
  });
});
