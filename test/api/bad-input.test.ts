import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { hook, setup } from "./world.ts";

/** What every spelling of this machine, and other things that are no public https URL, is refused as. */
const urls = [
  "http://example.com/",
  "ftp://example.com/",
  "example.com",
  "https://",
  "https://localhost/",
  "https://LOCALHOST./",
  "https://foo.localhost/",
  "https://127.0.0.1/",
  "https://127.1/",
  "https://2130706433/",
  "https://0x7f.1/",
  "https://0177.0.0.1/",
  "https://①②⑦.⓪.⓪.①/",
  "https://127。0。0。1/",
  "https://%31%32%37.0.0.1/",
  "https://[::1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
  "https://ℓocalhost/",
  "https://10.0.0.1/",
  "https://169.254.169.254/latest/meta-data",
  "https://metadata.google.internal/",
  "https://intranet/",
  "https://printer.local/",
  "https://user:pw@example.com/",
  "https://example.com/#a",
  "https://example.com:22/",
  "https://example.com:0/",
  "https://example.com:6379/",
  `https://example.com/${"a".repeat(2_040)}`,
];

describe("a callback URL", () => {
  test.each(urls)("%s is refused", async (callback_url) => {
    const { call, admin } = await setup();
    const answer = await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, callback_url } });
    expect(answer.status).toBe(400);
    expect(["invalid_url", "invalid_field"]).toContain(answer.json.code);
    expect(answer.json.field).toBe("callback_url");
  });

  test("to this machine is taken in development, and metadata services are not", async () => {
    const { call, admin } = await setup({ dev: true });
    const make = (callback_url: string, event_id: string) =>
      call("POST", "/v1/webhooks", { key: admin, body: { callback_url, event_id } });
    expect((await make("http://127.0.0.1:9000/hooks", "a")).status).toBe(201);
    expect((await make("http://localhost:9000/hooks", "b")).status).toBe(201);
    expect((await make("http://169.254.169.254/", "c")).json.code).toBe("invalid_url");
  });
});

describe("a webhook's field", () => {
  test.each([
    [{ callback_url: undefined }, "invalid_field", "callback_url"],
    [{ event_id: undefined }, "invalid_field", "event_id"],
    [{ event_id: "a b" }, "invalid_field", "event_id"],
    [{ event_id: "*.created" }, "invalid_field", "event_id"],
    [{ event_id: 5 }, "invalid_field", "event_id"],
    [{ user_id: "a/b" }, "invalid_field", "user_id"],
    [{ user_id: "" }, "invalid_field", "user_id"],
    [{ user_id: null }, "invalid_field", "user_id"],
    [{ eventId: "x" }, "unknown_field", "eventId"],
    [{ url: "https://example.com" }, "unknown_field", "url"],
    [{ is_active: "true" }, "invalid_field", "is_active"],
    [{ concurrency_max: "5" }, "invalid_field", "concurrency_max"],
    [{ concurrency_max: 0 }, "invalid_field", "concurrency_max"],
    [{ concurrency_max: 1.5 }, "invalid_field", "concurrency_max"],
    [{ timeout: 15 }, "invalid_field", "timeout"],
    [{ timeout: "15" }, "invalid_field", "timeout"],
    [{ timeout: "31s" }, "invalid_field", "timeout"],
    [{ timeout: "-5s" }, "invalid_field", "timeout"],
    [{ rate_limit: { per_second: 0 } }, "invalid_field", "rate_limit.per_second"],
    // A wait for one attempt that no date can hold made every list with this webhook in it a 500.
    [{ rate_limit: { per_second: 1e-300 } }, "invalid_field", "rate_limit.per_second"],
    [{ rate_limit: { per_second: 1e-6 } }, "invalid_field", "rate_limit.per_second"],
    [{ rate_limit: { per_second: 5, burst: 0 } }, "invalid_field", "rate_limit.burst"],
    [{ rate_limit: { perSecond: 5 } }, "unknown_field", "rate_limit.perSecond"],
    [{ rate_limit: {} }, "invalid_field", "rate_limit.per_second"],
    [{ retry: { schedule: ["1s", "soon"] } }, "invalid_field", "retry.schedule.1"],
    [{ retry: { schedule: ["1s"], base: "1s" } }, "invalid_field", "retry"],
    [{ retry: { base: "1s" } }, "invalid_field", "retry"],
    [{ retry: { base: "1m", max: "1s", attempts: 3 } }, "invalid_field", "retry.max"],
    [{ retry: { permanent: ["4xx", "200"] } }, "invalid_field", "retry.permanent.1"],
    [{ retry: { shedule: [] } }, "unknown_field", "retry.shedule"],
    [{ ordering: "lifo" }, "invalid_field", "ordering"],
    [{ metadata: { a: 1 } }, "invalid_field", "metadata.a"],
    [{ metadata: [] }, "invalid_field", "metadata"],
    [{ secret: "hunter2" }, "invalid_secret", "secret"],
    [{ secret: `whsec_${Buffer.alloc(23).toString("base64")}` }, "invalid_secret", "secret"],
    [{ headers: { host: "x" } }, "invalid_header", "headers.host"],
    [{ headers: { "Webhook-Id": "x" } }, "invalid_header", "headers.Webhook-Id"],
    [{ headers: { "x-a": "a\r\nb: c" } }, "invalid_header", "headers.x-a"],
    [{ headers: { "x-a": "é" } }, "invalid_header", "headers.x-a"],
    [{ headers: { "x a": "b" } }, "invalid_header", "headers.x a"],
    [{ headers: { "X-A": "b", "x-a": "b" } }, "invalid_header", "headers.x-a"],
    [{ headers: { "x-a": 5 } }, "invalid_field", "headers.x-a"],
  ])("%j is %s", async (fields, code, field) => {
    const { call, admin, engine } = await setup();
    const answer = await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, ...fields } });
    expect(answer).toMatchObject({ status: 400, json: { code, field } });
    expect(answer.json.detail).toContain(field.split(".")[0]);
    expect(engine.state.webhooks.size).toBe(0);
  });

  test("that is spelled wrong is told how, in words", async () => {
    const { call, admin } = await setup();
    const { json } = await call("POST", "/v1/webhooks", { key: admin, body: { ...hook, user_id: "a b" } });
    expect(json.detail).toBe('user_id must be 1-64 letters, digits, _ or -, not "a b"');
    for (const query of ["/v1/dlq?group=a", "/v1/deliveries?event_id=.", "/v1/webhooks?event_id=a*"])
      expect((await call("GET", query, { key: admin })).json.detail).not.toContain('pattern "');
  });

  test("that is not known comes with the one that was meant", async () => {
    const { call, admin } = await setup();
    const { json } = await call("POST", "/v1/webhooks", {
      key: admin,
      body: { event_id: "a", callbackUrl: "https://example.com" },
    });
    expect(json).toMatchObject({ code: "unknown_field", field: "callbackUrl", did_you_mean: "callback_url" });
  });
});

describe("a body", () => {
  const json = { "content-type": "application/json" };
  test.each([
    ["", json, 400, "bad_request"],
    ["{", json, 400, "invalid_json"],
    ["null", json, 400, "bad_request"],
    ["[]", json, 400, "bad_request"],
    ["{}{}", json, 400, "invalid_json"],
    [`${"[".repeat(100_000)}${"]".repeat(100_000)}`, json, 400, "invalid_json"],
    [
      '{"__proto__":{"is_active":false},"event_id":"a","callback_url":"https://example.com"}',
      json,
      400,
      "unknown_field",
    ],
    ['{"constructor":{},"event_id":"a","callback_url":"https://example.com"}', json, 400, "unknown_field"],
    ["a=b", { "content-type": "application/x-www-form-urlencoded" }, 415, "unsupported_media_type"],
    ["{}", { "content-type": "nonsense" }, 415, "unsupported_media_type"],
    [Buffer.from('{"event_id":"\xff"}', "latin1"), json, 400, "invalid_json"],
  ])("%j is refused", async (body, headers, status, code) => {
    const { call, admin } = await setup();
    for (const path of ["/v1/webhooks", "/v1/keys", "/v1/dlq/replay"]) {
      expect(await call("POST", path, { key: admin, body, headers })).toMatchObject({
        status,
        json: { code },
      });
    }
  });

  test("of a call that takes none is refused, and not ignored", async () => {
    const { call, admin } = await setup();
    const { json: webhook } = await call("POST", "/v1/webhooks", { key: admin, body: hook });
    const pause = (body?: unknown) =>
      call("POST", `/v1/webhooks/${webhook.id}/pause`, { key: admin, body, headers: json });
    expect(await pause({ until: "2h" })).toMatchObject({
      status: 400,
      json: { code: "unknown_field", field: "until" },
    });
    expect(await pause([1])).toMatchObject({ status: 400, json: { code: "bad_request" } });
    const path = `/v1/webhooks/${webhook.id}`;
    expect((await call("DELETE", path, { key: admin, body: { soft: true } })).status).toBe(400);
    expect((await call("GET", path, { key: admin })).json.is_paused).toBe(false);
    expect((await pause({})).status).toBe(200);
    expect((await pause()).status).toBe(200);
  });

  test("that is compressed is refused, by every call", async () => {
    const { call, admin } = await setup();
    for (const path of ["/v1/webhooks", "/v1/events", "/v1/events/batch", "/v1/publish/a"]) {
      const headers = { ...json, "content-encoding": "gzip" };
      expect((await call("POST", path, { key: admin, body: "x", headers })).status).toBe(415);
    }
  });

  test("of a published event in another content type is refused", async () => {
    const { call, admin } = await setup();
    const answer = await call("POST", "/v1/events", {
      key: admin,
      body: "a=b",
      headers: { "content-type": "text/plain" },
    });
    expect(answer).toMatchObject({ status: 415, json: { code: "unsupported_media_type" } });
  });
});

describe("a query", () => {
  test.each([
    ["limit=0", "invalid_field", "limit"],
    ["limit=201", "invalid_field", "limit"],
    ["limit=ten", "invalid_field", "limit"],
    ["limit=1.5", "invalid_field", "limit"],
    ["limit=1&limit=2", "invalid_field", "limit"],
    ["status=broken", "invalid_field", "status"],
    ["reason=none", "invalid_field", "reason"],
    ["since=yesterday", "invalid_field", "since"],
    ["until=2026-11-22", "invalid_field", "until"],
    ["since=2026-13-45T00:00:00Z", "invalid_field", "since"],
    ["stauts=dead", "unknown_field", "stauts"],
    ["user_id=a%2Fb", "invalid_field", "user_id"],
    ["__proto__=1", "unknown_field", "__proto__"],
  ])("%s is refused", async (query, code, field) => {
    const { call, admin } = await setup();
    const answer = await call("GET", `/v1/deliveries?${query}`, { key: admin });
    expect(answer).toMatchObject({ status: 400, json: { code, field } });
  });
});

describe("a path", () => {
  test("that is not there is 404, and a method it does not take is 405 with those it does", async () => {
    const { call, admin } = await setup();
    expect(await call("GET", "/v1/nothing", { key: admin })).toMatchObject({
      status: 404,
      json: { code: "not_found" },
    });
    expect(await call("GET", "/", {})).toMatchObject({ status: 404 });
    expect(await call("GET", "/deliveries", { key: admin })).toMatchObject({ status: 404 });
    for (const [method, path, allow] of [
      ["PATCH", "/v1/webhooks", "POST, PUT, GET, HEAD"],
      ["DELETE", "/v1/events", "POST"],
      ["GET", "/v1/events/batch", "POST"],
      ["POST", "/healthz", "GET, HEAD"],
      ["POST", "/v1/stream", "GET"],
    ] as const) {
      const answer = await call(method, path, { body: "x" });
      expect(answer, path).toMatchObject({ status: 405, json: { code: "method_not_allowed" } });
      expect(answer.headers.allow, path).toBe(allow);
    }
  });

  test.each([
    "/v1/webhooks/wh_x",
    "/v1/webhooks/%00",
    "/v1/deliveries/wh_01m8160qt0e00vsbj0ck586evn",
    `/v1/jobs/${"a".repeat(500)}`,
  ])("with an id that is none is 404: %s", async (path) => {
    const { call, admin } = await setup();
    expect(await call("GET", path, { key: admin })).toMatchObject({
      status: 404,
      json: { code: "not_found" },
    });
  });

  test("that cannot be decoded is 400", async () => {
    const { api, admin } = await setup();
    const response = await api.server.inject({
      url: "/v1/webhooks/%zz",
      headers: { authorization: `Bearer ${admin.text}` },
    });
    expect(response.statusCode).toBe(400);
    expect(response.json().code).toBe("bad_request");
  });
});

describe("over a socket", () => {
  async function talk(text: string) {
    const { api } = await setup({ limits: { payloadBytes: 1_000 } });
    const { port } = await api.listen();
    const socket = connect(port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("error", () => undefined);
    socket.write(text);
    await once(socket, "close");
    return answer;
  }

  test("the limits on slow clients are set on the server", async () => {
    const { api } = await setup();
    const { headersTimeout, requestTimeout, maxConnections, maxRequestsPerSocket } = api.server.server;
    expect({ headersTimeout, requestTimeout, maxConnections, maxRequestsPerSocket }).toEqual({
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      maxConnections: 20_000,
      maxRequestsPerSocket: 0,
    });
  });

  test("headers of more than 16 KiB are 431", async () => {
    expect(await talk(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: ${"a".repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 [\s\S]*x-request-id: req_[\s\S]*"code":"headers_too_large"/,
    );
  });

  test("what is no HTTP is 400, with a code and a name like every answer", async () => {
    expect(await talk("nonsense\r\n\r\n")).toMatch(
      /^HTTP\/1.1 400 Bad Request[\s\S]*x-request-id: req_[\s\S]*"code":"bad_request"/,
    );
  });

  test("of requests that wait on one connection, those beyond 32 are refused, and it is closed", async () => {
    const { api, admin } = await setup();
    const { port } = await api.listen();
    const request = `GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${admin.text}\r\n\r\n`;
    const answersTo = async (count: number, end: string) => {
      const socket = connect(port, "127.0.0.1");
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk;
      });
      socket.write(request.repeat(count) + end);
      await once(socket, "close");
      return [...answer.matchAll(/HTTP\/1.1 (\d+) /g)].map(([, status]) => status);
    };
    const last = request.replace("host: x", "host: x\r\nconnection: close");
    expect(await answersTo(32, last)).toEqual(Array.from({ length: 33 }, () => "200"));
    expect(await answersTo(200, "")).toEqual([...Array.from({ length: 33 }, () => "200"), "503"]);
  });

  test("a body that is announced as too large is 413 before it is sent, and the connection ends", async () => {
    const { api, admin } = await setup({ limits: { payloadBytes: 1_000 } });
    const { port } = await api.listen();
    const answerTo = async (head: string, body: string) => {
      const socket = connect(port, "127.0.0.1");
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk;
      });
      socket.on("error", () => undefined);
      socket.write(
        `POST /v1/publish/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${admin.text}\r\n${head}\r\n\r\n${body}`,
      );
      await once(socket, "close");
      return answer;
    };
    const announced = await answerTo("content-length: 1000000000", "");
    expect(announced).toMatch(/^HTTP\/1.1 413 [\s\S]*payload_too_large[\s\S]*1000 bytes are the most/);
    const chunked = await answerTo("transfer-encoding: chunked", `7d0\r\n${"x".repeat(2_000)}\r\n`);
    expect(chunked).toMatch(/^HTTP\/1.1 413 [\s\S]*payload_too_large/);
  });
});
