import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startDaemon } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { temporaryDirectory } from "../support/world.ts";
import { fakeApi, hookd, type Reply, type Seen } from "./support.ts";

const ACCEPTED = { event_uid: "evt_1", delivery_count: 1, deliveries: [], duplicate: false };

function refusal(code: string, retryable: boolean) {
  return { type: "x", title: "t", status: 429, code, detail: `${code} it is`, retryable, request_id: "r" };
}

/** One event a line. */
function eventsFile(lines: readonly string[]): string {
  const file = join(temporaryDirectory(), "events.ndjson");
  writeFileSync(file, lines.join("\n"));
  return file;
}

const event = (n: number, more = "") => `{"event_id":"a","payload":{"n":  ${n}.0}${more}}`;
const events = (count: number) => Array.from({ length: count }, (_, n) => event(n));
const linesOf = ({ body }: Seen) => body.toString().replace(/\n$/, "").split("\n");

/** Answers each item with what `of` says of its line; accepted where that is nothing. */
function answering(of: (line: string, request: number) => object | null, more: Omit<Reply, "body"> = {}) {
  return (seen: Seen, request: number): Reply => ({
    status: 202,
    ...more,
    body: {
      results: linesOf(seen).map((line, index) => {
        const error = of(line, request);
        return error === null ? { index, accepted: ACCEPTED } : { index, error };
      }),
    },
  });
}

describe("hookd events send --file", () => {
  it("publishes every line as it is written, in batches, and says exactly what came of them", async () => {
    await using api = await fakeApi(answering(() => null));
    const lines = [...events(5), "", `  ${event(5)}\r`];
    const { stdout, exitCode } = await api.hookd(
      "events",
      "send",
      "--file",
      eventsFile(lines),
      "--batch",
      "4",
    );
    expect(exitCode).toBe(0);
    expect(stdout).toBe("6 events: 6 accepted, 0 refused, 6 deliveries\n");
    expect(api.requests.map(linesOf)).toEqual([events(4), [event(4), `  ${event(5)}\r`]]);
    expect(api.requests[0]).toMatchObject({
      path: "/v1/events/batch",
      headers: { "content-type": "application/x-ndjson" },
    });
  });

  it("reads what is piped in", async () => {
    await using api = await fakeApi(answering(() => null));
    const input = events(3).join("\n");
    const { stdout } = await api.hookdWith({ input }, "events", "send", "--file", "-");
    expect(stdout).toContain("3 events: 3 accepted");
  });

  it("sends again what is refused for now, when hookd says, and nothing else", async () => {
    const isBusy = (line: string, request: number) => request === 0 && line.includes("1.0");
    await using api = await fakeApi(
      answering((line, request) => (isBusy(line, request) ? refusal("lane_full", true) : null), {
        headers: { "retry-after": "1" },
      }),
    );
    const { stdout, exitCode } = await api.hookd("events", "send", "--file", eventsFile(events(3)));
    expect(exitCode).toBe(0);
    expect(stdout).toContain("3 events: 3 accepted, 0 refused");
    expect(api.requests.map((request) => linesOf(request).length)).toEqual([3, 1]);
    expect(linesOf(api.requests[1]!)).toEqual([event(1)]);
  });

  it("waits as long as hookd says where a whole batch is refused for now", async () => {
    const answer = answering(() => null);
    await using api = await fakeApi((seen, request) =>
      request === 0
        ? { status: 503, body: refusal("overloaded", true), headers: { "retry-after": "1" } }
        : answer(seen, request),
    );
    const { stdout, exitCode } = await api.hookd("events", "send", "--file", eventsFile(events(2)));
    expect({ stdout, exitCode }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("2 accepted"),
    });
    expect(api.requests).toHaveLength(2);
  });

  it("gives up on what stays refused beyond --timeout, and exits 1", async () => {
    await using api = await fakeApi(
      answering((line) => (line.includes("1.0") ? refusal("user_full", true) : null), {
        headers: { "retry-after": "30" },
      }),
    );
    const file = eventsFile(events(3));
    const { stdout, stderr, exitCode } = await api.hookd("events", "send", "--file", file, "--timeout", "5s");
    expect(exitCode).toBe(1);
    expect(stdout).toBe("3 events: 2 accepted, 1 refused, 2 deliveries\n");
    expect(stderr).toContain("line 2: user_full it is (user_full)");
    expect(api.requests).toHaveLength(1);
  });

  it("tells each refused line by its number, twenty at most, and all with --json", async () => {
    const refuseAll = answering(() => refusal("invalid_field", false));
    await using api = await fakeApi(refuseAll);
    const file = eventsFile(["", ...events(25)]);
    const { stderr, exitCode } = await api.hookd("events", "send", "--file", file, "--batch", "10");
    expect(exitCode).toBe(1);
    expect(stderr.match(/^line /gm)).toHaveLength(20);
    expect(stderr).toContain("line 2: invalid_field");
    expect(stderr).toContain("... and 5 more");

    const { stdout } = await api.hookd("events", "send", "--file", file, "--json");
    const printed = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(printed).toHaveLength(26);
    expect(printed[24]).toMatchObject({ line: 26, error: { code: "invalid_field" } });
    expect(printed[25]).toEqual({
      summary: {
        events: 25,
        accepted: 0,
        duplicates: 0,
        unmatched: 0,
        deliveries: 0,
        refused: 25,
        unknown: 0,
      },
    });
  });

  it("halves a batch that is refused because of single lines, until those are found", async () => {
    const answer = answering(() => null);
    await using api = await fakeApi((seen, request) =>
      seen.body.includes("3.0")
        ? { status: 413, body: refusal("payload_too_large", false) }
        : answer(seen, request),
    );
    const { stdout, stderr } = await api.hookd("events", "send", "--file", eventsFile(events(5)));
    expect(stdout).toContain("5 events: 4 accepted, 1 refused");
    expect(stderr).toContain("line 4: ");
  });

  it("stops where nothing else has a chance, and says what came of all it sent", async () => {
    const answer = answering(() => null);
    await using api = await fakeApi((seen, request) =>
      request === 1 ? { status: 403, body: refusal("forbidden", false) } : answer(seen, request),
    );
    const file = eventsFile(events(9));
    const { stdout, stderr, exitCode } = await api.hookd("events", "send", "--file", file, "--batch", "3");
    expect(exitCode).toBe(1);
    expect(stdout).toBe("6 events: 3 accepted, 3 refused, 3 deliveries\n");
    expect(stderr).toContain("forbidden");
    expect(api.requests).toHaveLength(2);
  });

  it("tells an answer that was lost from a refusal", async () => {
    const api = await fakeApi(() => ({ status: 200, text: "<html>" }));
    const { stdout, stderr, exitCode } = await api.hookd("events", "send", "--file", eventsFile(events(2)));
    await api[Symbol.asyncDispose]();
    expect(exitCode).toBe(1);
    expect(stdout).toBe("2 events: 0 accepted, 0 refused, 2 unknown, 0 deliveries\n");
    expect(stderr).toContain("The answer for lines 1 to 2 was lost");

    const env = { HOOKD_SERVER: api.url, HOOKD_API_KEY: "hk_x" };
    const unsent = await hookd(["events", "send", "--file", eventsFile(events(2))], { env });
    expect(unsent).toMatchObject({ exitCode: 1, stdout: "2 events: 0 accepted, 2 refused, 0 deliveries\n" });
  });

  it("says how far it got when it is stopped with Ctrl-C", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = answering(() => null);
    await using api = await fakeApi((seen, request) => {
      if (request === 0) return answer(seen, request);
      asked.resolve();
      return { isSilent: true };
    });
    const file = eventsFile(events(9));
    const running = api.hookd("events", "send", "--file", file, "--batch", "3");
    await asked.promise;
    running.kill("SIGINT");
    const { stdout, stderr, exitCode } = await running;
    expect(exitCode).toBe(130);
    expect(stdout).toBe("6 events: 3 accepted, 0 refused, 3 unknown, 3 deliveries\n");
    expect(stderr).toContain("The answer for lines 4 to 6 was lost");
  });

  it("with --event takes each line as a payload, which stays as it is", async () => {
    await using api = await fakeApi(answering(() => null));
    const file = eventsFile(['{"n":  1.0}', '1,"user_id":"other"', "[2]"]);
    const args = ["events", "send", "--file", file, "--event", "a.b", "--user", "acme"];
    const { stdout, stderr, exitCode } = await api.hookd(...args);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("3 events: 2 accepted, 1 refused");
    expect(stderr).toContain("line 2: the line is not JSON (invalid_json)");
    expect(linesOf(api.requests[0]!)).toEqual([
      '{"event_id":"a.b","user_id":"acme","payload":{"n":  1.0}}',
      '{"event_id":"a.b","user_id":"acme","payload":[2]}',
    ]);
  });

  it("prints the first request with --curl, and sends nothing", async () => {
    await using api = await fakeApi(answering(() => null));
    const { stdout, exitCode } = await api.hookd("events", "send", "--file", eventsFile(events(2)), "--curl");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^(curl|printf) .*\/v1\/events\/batch/);
    expect(api.requests).toEqual([]);
  });

  it.each([
    [["--file", "/nonexistent"], "/nonexistent: ENOENT"],
    [["a", "--file", "x"], "does not go with an event as argument"],
    [["--file", "x", "--uid", "u", "--wait"], "does not go with --uid, --wait"],
    [["--file", "x", "--user", "u"], "needs --event"],
    [["a", "{}", "--batch", "5"], "--batch goes with --file"],
    [["--file", "x", "--batch", "1001"], "from 1 to 1000"],
  ])("is asked wrongly by %j", async (args, words) => {
    const result = await hookd(["events", "send", ...args], { env: { HOOKD_API_KEY: "hk_x" } });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(words);
  });

  it("delivers every event of a file, against a real hookd, once even if it is sent twice", async () => {
    const daemon = await startDaemon();
    const receiver = await startReceiver();
    await daemon.call("POST", "/v1/webhooks", { event_id: "a", callback_url: receiver.url });
    const env = { HOOKD_SERVER: daemon.server, HOOKD_API_KEY: daemon.key };
    const lines = Array.from({ length: 30 }, (_, n) => event(n, `,"event_uid":"u${n}"`));
    const file = eventsFile([...lines, '{"event_id":"none","payload":1}', "{broken"]);
    const first = await hookd(["events", "send", "--file", file, "--batch", "7"], { env });
    expect(first.stdout).toBe("32 events: 31 accepted (1 without a webhook), 1 refused, 30 deliveries\n");
    expect(first.stderr).toContain("line 32: ");
    expect(first.exitCode).toBe(1);
    const received = await receiver.waitFor(30);
    expect(received.map(({ body }) => body.toString())).toContain('{"n":  7.0}');
    const again = await hookd(["events", "send", "--file", file], { env });
    expect(again.stdout).toContain("31 accepted (30 published before, 1 without a webhook)");
  });
});

describe("hookd events send", () => {
  it("takes the event and its payload as arguments or as options", async () => {
    await using api = await fakeApi(() => ({ status: 202, body: ACCEPTED }));
    await api.hookd("events", "send", "--event", "a.b", "--payload", "{}", "--user", "acme", "--uid", "u1");
    await api.hookd("events", "send", "--event", "a.b", "{}");
    await api.hookd("events", "send", "a.b", "--payload", "{}");
    expect(api.requests.map(({ path }) => path)).toEqual([
      "/v1/publish/a.b?user_id=acme",
      "/v1/publish/a.b",
      "/v1/publish/a.b",
    ]);
    expect(api.requests[0]?.headers["idempotency-key"]).toBe("u1");
    expect(api.requests.map(({ body }) => body.toString())).toEqual(["{}", "{}", "{}"]);
  });

  it.each([
    [[], "nothing says which event"],
    [["a"], "nothing says what the payload is"],
    [["--payload", "{}"], "nothing says which event"],
    [["a", "{}", "--event", "b"], "given twice"],
    [["a", "{}", "--payload", "[]"], "given twice"],
  ])("is asked wrongly by %j", async (args, words) => {
    const result = await hookd(["events", "send", ...args], { env: { HOOKD_API_KEY: "hk_x" } });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain(words);
    expect(result.stderr).toContain("for example: hookd events send");
  });
});
