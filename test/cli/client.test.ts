import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { fakeApi, hookd, KEY } from "./support.ts";

const PAGE = { data: [], next_cursor: null };
const DELIVERY = {
  id: "dlv_1",
  event_uid: "evt_1",
  event_id: "user.created",
  user_id: "default",
  webhook_id: "wh_1",
  status: "pending",
  reason: null,
  attempt_count: 0,
  next_retry_at: null,
  is_leased: true,
  response_code: null,
  error: null,
  duration_ms: null,
  created_at: "2026-11-22T08:00:00.000Z",
  completed_at: null,
  attempts: [],
};
const DELIVERED = { ...DELIVERY, status: "success", attempt_count: 1, response_code: 200, duration_ms: 4 };
const DEAD = {
  ...DELIVERY,
  status: "dead",
  reason: "exhausted",
  attempt_count: 3,
  response_code: 500,
  duration_ms: 7,
};
const ACCEPTED = {
  event_uid: "evt_1",
  delivery_count: 1,
  deliveries: [{ id: "dlv_1", webhook_id: "wh_1" }],
  duplicate: false,
};

function problem(status: number, code: string, detail: string, more: object = {}) {
  const headers: Record<string, string> = status === 429 ? { "retry-after": "7" } : {};
  return { status, body: { type: "x", title: "t", status, code, detail, ...more }, headers };
}

describe("the key", () => {
  it("goes out as a bearer token, and --key wins over the environment", async () => {
    await using api = await fakeApi(() => ({ body: PAGE }));
    await api.hookd("jobs", "list");
    await api.hookd("jobs", "list", "--key", "hk_other");
    expect(api.requests.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${KEY}`,
      "Bearer hk_other",
    ]);
  });

  it("is the daemon's own where none is given", async () => {
    await using api = await fakeApi(() => ({ body: PAGE }));
    const directory = mkdtempSync(join(tmpdir(), "hookd-cli-"));
    writeFileSync(join(directory, "admin.key"), "hk_admin\n");
    await hookd(["jobs", "list", "--server", api.url, "--data-dir", directory]);
    await hookd(["jobs", "list"], { env: { HOOKD_SERVER: api.url, HOOKD_DATA_DIR: directory } });
    rmSync(directory, { recursive: true });
    expect(api.requests.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer hk_admin",
      "Bearer hk_admin",
    ]);
  });

  it("is never shown: not by --curl, not in an error", async () => {
    const secret = "hk_very\nsecret";
    const broken = await hookd(["jobs", "list"], { env: { HOOKD_API_KEY: secret } });
    expect(broken.stderr).toMatch(/HOOKD_API_KEY: this is no API key/);
    const curl = await hookd(["jobs", "list", "--curl"], { env: { HOOKD_API_KEY: "hk_secret" } });
    expect(curl.stdout).toContain('"Authorization: Bearer $HOOKD_API_KEY"');
    expect(broken.stderr + curl.stdout + curl.stderr).not.toMatch(/hk_(very|secret)/);
  });

  it("does not follow a redirect", async () => {
    await using api = await fakeApi(() => ({ status: 302, headers: { location: "http://127.0.0.1:1/" } }));
    const { exitCode, stderr } = await api.hookd("jobs", "list");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/cannot be asked/);
    expect(api.requests).toHaveLength(1);
  });
});

describe("answers", () => {
  it("where nothing listens, a command says how to start hookd", async () => {
    const api = await fakeApi(() => ({}));
    await api[Symbol.asyncDispose]();
    const { exitCode, stderr } = await api.hookd("jobs", "list");
    expect(stderr).toMatch(/nothing listens at http:\S+\nis hookd running\? start it with: hookd serve/);
    expect(exitCode).toBe(1);
  });

  it.each([
    [
      problem(401, "unauthorized", "no such key"),
      /no such key \(401 unauthorized\)\n.*admin\.key.*keys create/,
    ],
    [
      problem(403, "forbidden", "needs manage", { scope: "manage" }),
      /needs manage \(403 forbidden\)\nuse a key with that scope, or an admin key/,
    ],
    [
      problem(403, "forbidden", "belongs to bob", { field: "user_id" }),
      /bob \(403 forbidden\)\nuse a key of that user, or an admin key/,
    ],
    [problem(404, "not_found", "no webhook wh_1"), /no webhook wh_1 \(404 not_found\)\n$/],
    [
      problem(409, "webhook_exists", "exists", { webhook_id: "wh_7" }),
      /exists \(409.*\n.*webhooks update wh_7/,
    ],
    [problem(429, "rate_limited", "too fast"), /too fast \(429 rate_limited\)\ntry again in 7 s/],
    [problem(400, "invalid_field", "bad \u001b[2J value"), /bad \\x1b\[2J value/],
    [{ status: 200, text: "<html>" }, /answered 200, and not as hookd does\n.*--server/],
    [{ status: 502, text: "<html>" }, /answered 502, and not as hookd does/],
  ])("%j fails the command, with what to do", async (reply, stderr) => {
    await using api = await fakeApi(() => reply);
    const result = await api.hookd("webhooks", "get", "wh_1");
    expect(result.stderr).toMatch(stderr);
    expect(result.stdout).toBe("");
    expect(result.exitCode).toBe(1);
  });

  it("with --json come out as they came in, byte for byte but for what a terminal acts on", async () => {
    const text =
      '{"data": [], "big": 12345678901234567890, "one": 1.0, "x": "\u009b31m\\u001b", "next_cursor": null}';
    await using api = await fakeApi(() => ({ text }));
    const { stdout } = await api.hookd("jobs", "list", "--json");
    expect(stdout).toBe(`${text.replace("\u009b", "\\u009b")}\n`);
  });

  it("a list goes on over short and empty pages up to its limit, and says when there is more", async () => {
    const pages = [
      { data: [DELIVERED], next_cursor: "c1" },
      { data: [], next_cursor: "c2" },
      { data: [DEAD], next_cursor: "c3" },
    ];
    await using api = await fakeApi((_, index) => ({ body: pages[index] }));
    const { stdout, stderr } = await api.hookd("deliveries", "list", "--limit", "2", "--status", "failed");
    expect(api.requests.map(({ path }) => path)).toEqual([
      "/v1/deliveries?status=failed&limit=2",
      "/v1/deliveries?status=failed&limit=1&cursor=c1",
      "/v1/deliveries?status=failed&limit=1&cursor=c2",
    ]);
    expect(stdout.split("\n").map((line) => line.split("\t").slice(0, 3))).toEqual([
      ["dlv_1", "success", ""],
      ["dlv_1", "dead", "exhausted"],
      [""],
    ]);
    expect(stderr).toContain("--cursor c3");
  });
});

describe("requests", () => {
  it("an event goes out as the bytes that were given", async () => {
    await using api = await fakeApi(() => ({ status: 202, body: ACCEPTED }));
    const payload = '{"b": 1.0, "a": 12345678901234567890}';
    await api.hookd("events", "send", "user.created", payload, "--user", "acme", "--uid", "u1");
    await api.hookdWith({ input: "hello\n" }, "events", "send", "a", "-", "--content-type", "text/plain");
    const [first, second] = api.requests;
    expect(first).toMatchObject({ method: "POST", path: "/v1/publish/user.created?user_id=acme" });
    expect(first?.headers).toMatchObject({ "content-type": "application/json", "idempotency-key": "u1" });
    expect(first?.body.toString()).toBe(payload);
    expect(second?.headers["content-type"]).toBe("text/plain");
    expect(second?.body.toString()).toBe("hello\n");
  });

  it("a webhook is made of its options", async () => {
    const webhook = {
      id: "wh_1",
      user_id: "acme",
      event_id: "a",
      callback_url: "u",
      metadata: {},
      headers: {},
    };
    await using api = await fakeApi(() => ({
      status: 201,
      body: { ...webhook, is_active: true, retry: null },
    }));
    const base = ["--event", "order.*", "--url", "https://example.com/"];
    await api.hookd("webhooks", "add", ...base, "--retry", "1s,2s");
    await api.hookd(
      "webhooks",
      "create",
      ...base,
      "--user",
      "acme",
      "--replace",
      "--inactive",
      "--header",
      "x-a: 1",
      "--header",
      "x-b: 2",
      "--metadata",
      "k=v",
      "--rate-limit",
      "10:20",
      "--concurrency-max",
      "5",
      "--timeout",
      "5s",
      "--retry",
      "base=1m,attempts=3",
      "--permanent",
      "4xx,!429",
      "--ordering",
      "fifo",
      "--description",
      "d",
      "--secret",
      "s",
    );
    await api.hookd(
      "webhooks",
      "update",
      "wh_1",
      "--timeout",
      "default",
      "--retry",
      "default",
      "--rate-limit",
      "default",
    );
    expect(api.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /v1/webhooks",
      "PUT /v1/webhooks",
      "PATCH /v1/webhooks/wh_1",
    ]);
    expect(api.bodies()).toEqual([
      { event_id: "order.*", callback_url: "https://example.com/", retry: { schedule: ["1s", "2s"] } },
      {
        event_id: "order.*",
        callback_url: "https://example.com/",
        user_id: "acme",
        secret: "s",
        is_active: false,
        headers: { "x-a": "1", "x-b": "2" },
        metadata: { k: "v" },
        rate_limit: { per_second: 10, burst: 20 },
        concurrency_max: 5,
        timeout: "5s",
        retry: { base: "1m", attempts: 3, permanent: ["4xx", "!429"] },
        ordering: "fifo",
        description: "d",
      },
      { timeout: null, retry: null, rate_limit: null },
    ]);
  });

  it("--curl prints a command that does the same, for any body, and sends nothing", async () => {
    await using api = await fakeApi(() => ({ status: 202, body: ACCEPTED }));
    const bodies = ['{"it\'s": "$HOME `x`"}', "two\nlines", "\u0000\u001b é"];
    for (const [index, body] of bodies.entries()) {
      const args = ["events", "send", "a.b", "-", "--content-type", "text/plain", "--uid", `u${index}`];
      const { stdout, exitCode } = await api.hookdWith({ input: body }, ...args, "--curl");
      expect(exitCode).toBe(0);
      expect(api.requests).toHaveLength(index);
      // The shell takes it apart as a user's would; curl itself need not be there.
      const curl = `curl() { printf '%s\\n' "$@"; cat; }\n${stdout}`;
      const inline = await execa("/bin/sh", ["-c", curl], {
        env: { HOOKD_API_KEY: KEY },
        input: "",
        stripFinalNewline: false,
      });
      expect(inline.stdout).toContain(`${api.url}/v1/publish/a.b\n`);
      expect(inline.stdout).toContain(`Authorization: Bearer ${KEY}\n`);
      expect(inline.stdout).toContain(body);
      await api.hookdWith({ input: body }, ...args);
    }
  });
});

describe("events send --wait", () => {
  it("follows the delivery to its end: 0 when it is delivered", async () => {
    await using api = await fakeApi(({ method }, index) =>
      method === "POST" ? { status: 202, body: ACCEPTED } : { body: index < 3 ? DELIVERY : DELIVERED },
    );
    const { stdout, stderr, exitCode } = await api.hookd("events", "send", "user.created", "{}", "--wait");
    expect(stdout).toBe("202, evt_1, 1 delivery\ndelivered, 200, attempt 1, 4 ms\n");
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    expect(api.requests.map(({ path }) => path)).toEqual([
      "/v1/publish/user.created",
      ...Array(3).fill("/v1/deliveries/dlv_1"),
    ]);
  });

  it("1 when it dies, when it takes too long, and when there is no webhook", async () => {
    await using dead = await fakeApi(({ method }) =>
      method === "POST" ? { status: 202, body: ACCEPTED } : { body: DEAD },
    );
    const died = await dead.hookd("events", "send", "a", "{}", "--wait");
    expect(died).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining("dead, exhausted after 3 attempts, 500, 7 ms\n"),
    });
    await using slow = await fakeApi(({ method }) =>
      method === "POST" ? { status: 202, body: ACCEPTED } : { body: DELIVERY },
    );
    const late = await slow.hookd("events", "send", "a", "{}", "--wait", "--timeout", "50ms");
    expect(late).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/dlv_1 not delivered within 50 ms[\s\S]*deliveries get dlv_1/),
    });
    const none = { ...ACCEPTED, event_uid: null, delivery_count: 0, deliveries: [] };
    await using nobody = await fakeApi(() => ({ status: 202, body: none }));
    const unmatched = await nobody.hookd("events", "send", "a", "{}", "--wait");
    expect(unmatched).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/No webhook is registered for a[\s\S]*webhooks add --event a/),
    });
    expect((await nobody.hookd("events", "send", "a", "{}")).exitCode).toBe(0);
  });
});

describe("what changes many", () => {
  const job = {
    id: "job_1",
    kind: "replay",
    status: "done",
    total: 3,
    done: 3,
    created_at: "2026-11-22T08:00:00.000Z",
    completed_at: null,
  };
  const bulkApi = (count: number) =>
    fakeApi(({ method, body }) => {
      if (method === "GET") return { body: job };
      const isDryRun = JSON.parse(body.toString()).dry_run === true;
      return isDryRun
        ? { body: { dry_run: true, count, is_exact: true } }
        : { status: 202, body: { job_id: "job_1" } };
    });

  it("shows the count, and does nothing where nobody can be asked", async () => {
    await using api = await bulkApi(3);
    const { exitCode, stderr } = await api.hookd("dlq", "replay", "--event", "invoice.paid");
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/Replay 3 deliveries\? Nobody can be asked.*\ngive --yes/);
    expect(api.bodies()).toEqual([{ event_id: "invoice.paid", dry_run: true }]);
  });

  it("goes ahead with --yes, and waits with --wait", async () => {
    await using api = await bulkApi(3);
    const args = [
      "--webhook",
      "wh_1",
      "--reason",
      "exhausted",
      "--since",
      "2h",
      "--rate",
      "50",
      "--yes",
      "--wait",
    ];
    const { exitCode, stdout } = await api.hookd("dlq", "replay", ...args);
    expect(exitCode).toBe(0);
    expect(stdout).toBe("job_1: replaying 3 deliveries\njob_1 done, 3 of 3\n");
    const filter = { webhook_id: "wh_1", reason: "exhausted", since: "2h" };
    expect(api.bodies()).toEqual([{ ...filter, dry_run: true }, { ...filter, rate: 50 }, null]);
  });

  it("does not ask for the replay of one, asks for the deletion of one, and starts nothing for none", async () => {
    await using one = await bulkApi(1);
    expect((await one.hookd("dlq", "replay", "--event", "a")).exitCode).toBe(0);
    expect((await one.hookd("dlq", "purge", "--all")).exitCode).toBe(2);
    expect((await one.hookd("deliveries", "replay", "dlv_1")).exitCode).toBe(0);
    expect(one.bodies().at(-1)).toEqual({ ids: ["dlv_1"] });
    await using none = await bulkApi(0);
    expect((await none.hookd("dlq", "purge", "--all", "--yes")).stderr).toMatch(/Nothing matches/);
    expect(none.requests).toHaveLength(1);
  });

  it("a dry run only counts", async () => {
    await using api = await bulkApi(3);
    const { stdout } = await api.hookd("dlq", "purge", "--all", "--dry-run");
    expect(stdout).toBe("3 deliveries\n");
    expect(api.bodies()).toEqual([{ all: true, dry_run: true }]);
  });

  it("deleting a webhook asks only where deliveries are open", async () => {
    let backlog = 2;
    await using api = await fakeApi(({ method }) =>
      method === "DELETE" ? { status: 204 } : { body: { id: "wh_1", live: { backlog } } },
    );
    const asked = await api.hookd("webhooks", "remove", "wh_1");
    expect(asked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("2 open deliveries") });
    backlog = 0;
    expect(await api.hookd("webhooks", "delete", "wh_1")).toMatchObject({
      exitCode: 0,
      stdout: "wh_1 deleted\n",
    });
  });
});

describe("being cut off", () => {
  it("a reader that goes away is no error", async () => {
    const rows = Array.from({ length: 200 }, () => DELIVERED);
    await using api = await fakeApi(() => ({ body: { data: rows, next_cursor: "more" } }));
    const bin = join(import.meta.dirname, "../../bin/hookd");
    const env = { HOOKD_SERVER: api.url, HOOKD_API_KEY: KEY };
    const script = `'${bin}' deliveries list --limit 100000 | head -1`;
    const { stdout, stderr } = await execa("/bin/sh", ["-c", script], { env });
    expect(stdout).toMatch(/^dlv_1\t/);
    expect(stderr).toBe("");
  });

  it("Ctrl-C ends a wait with 130", async () => {
    let isWaiting = () => {};
    const waiting = new Promise<void>((resolve) => (isWaiting = resolve));
    await using api = await fakeApi(({ method }) => {
      if (method === "POST") return { status: 202, body: ACCEPTED };
      isWaiting();
      return { body: DELIVERY };
    });
    const child = api.hookd("events", "send", "a", "{}", "--wait");
    await waiting;
    child.kill("SIGINT");
    expect((await child).exitCode).toBe(130);
  });
});
