import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { describe, expect, it, onTestFinished } from "vitest";
import { HOOKD, startDaemon, type TestDaemon } from "../support/daemon.ts";
import { until } from "../support/world.ts";
import { fakeApi, KEY } from "./support.ts";

interface Listener {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly code: Promise<number | null>;
  out(): string;
  err(): string;
}

function listen(server: string, key: string, ...args: string[]): Listener {
  const env = { PATH: process.env.PATH ?? "", HOOKD_SERVER: server, HOOKD_API_KEY: key };
  const child = spawn(HOOKD, ["listen", "--port", "0", ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk;
  });
  const code = new Promise<number | null>((resolve) => child.once("close", (status) => resolve(status)));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await code;
  });
  return { child, code, out: () => out, err: () => err };
}

async function webhooksOf(daemon: TestDaemon): Promise<{ event_id: string; user_id: string }[]> {
  return (await daemon.call("GET", "/v1/webhooks")).json.data;
}

const registered = (count: number) => (listener: Listener) =>
  until(`${count} registered`, () => (listener.err().match(/^Registered /gm) ?? []).length === count);

describe("hookd listen --register", () => {
  it("registers itself for each event, verifies what comes, and removes itself at Ctrl-C", async () => {
    const daemon = await startDaemon();
    const listener = listen(
      daemon.server,
      daemon.key,
      "--register",
      "user.created,order.*",
      "--user",
      "acme",
    );
    await registered(2)(listener);
    expect(listener.err()).toMatch(
      /Registered wh_\w+ for user\.created of user acme\.\nRegistered wh_\w+ for order\.\*/,
    );
    expect((await webhooksOf(daemon)).map((one) => [one.event_id, one.user_id]).sort()).toEqual([
      ["order.*", "acme"],
      ["user.created", "acme"],
    ]);
    for (const event_id of ["user.created", "order.paid"]) {
      await daemon.call("POST", "/v1/events", { event_id, user_id: "acme", payload: { id: 1 } });
    }
    await until("both are delivered", () => (listener.out().match(/\tverified\t/g) ?? []).length === 2);
    expect(listener.out()).toContain("order.paid");

    listener.child.kill("SIGINT");
    expect(await listener.code).toBe(130);
    expect(listener.err().match(/^Removed wh_/gm)).toHaveLength(2);
    expect(await webhooksOf(daemon)).toEqual([]);
  });

  it.each(["SIGTERM", "SIGHUP"] as const)("removes itself at %s too", async (signal) => {
    const daemon = await startDaemon();
    const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const listener = listen(daemon.server, daemon.key, "--register", "a", "--secret", secret);
    await registered(1)(listener);
    const [webhook] = (await daemon.call("GET", "/v1/webhooks")).json.data;
    expect((await daemon.call("GET", `/v1/webhooks/${webhook.id}/secret`)).json.secret).toBe(secret);
    listener.child.kill(signal);
    expect(await listener.code).toBe(0);
    expect(await webhooksOf(daemon)).toEqual([]);
  });

  it("removes itself when whoever read its output has gone", async () => {
    const daemon = await startDaemon();
    const listener = listen(daemon.server, daemon.key, "--register", "a");
    await registered(1)(listener);
    listener.child.stdout.destroy();
    await daemon.call("POST", "/v1/events", { event_id: "a", payload: 1 });
    expect(await listener.code).toBe(0);
    expect(await webhooksOf(daemon)).toEqual([]);
  });

  it("removes what it registered where it cannot register all", async () => {
    const daemon = await startDaemon();
    await daemon.call("POST", "/v1/webhooks", { event_id: "taken", callback_url: "http://127.0.0.1:9009/" });
    const listener = listen(daemon.server, daemon.key, "--register", "free", "--register", "taken");
    expect(await listener.code).toBe(1);
    expect(listener.err()).toMatch(/Registered wh_\w+ for free[\s\S]*Removed wh_\w+ for free/);
    expect(listener.err()).toContain(
      "taken cannot be registered: user default has a webhook for taken already",
    );
    expect(listener.err()).toContain("or listen for another user: --user");
    expect((await webhooksOf(daemon)).map(({ event_id }) => event_id)).toEqual(["taken"]);
  });

  it("says what to do where callbacks to this machine are not allowed", async () => {
    await using api = await fakeApi(() => ({
      status: 400,
      body: { type: "x", title: "t", status: 400, code: "invalid_url", detail: "must be https" },
    }));
    const listener = listen(api.url, KEY, "--register", "a");
    expect(await listener.code).toBe(1);
    expect(listener.err()).toContain("a cannot be registered: must be https");
    expect(listener.err()).toContain("hookd serve --dev");
  });

  it("says how to remove what it could not, and exits 1", async () => {
    const webhook = {
      id: "wh_1",
      event_id: "a",
      user_id: "default",
      secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    };
    await using api = await fakeApi(({ method }) =>
      method === "POST"
        ? { status: 201, body: webhook }
        : { status: 503, body: { code: "shutting_down", detail: "hookd is stopping" } },
    );
    const listener = listen(api.url, KEY, "--register", "a");
    await registered(1)(listener);
    listener.child.kill("SIGTERM");
    expect(await listener.code).toBe(1);
    expect(listener.err()).toContain("wh_1 for a is still registered: hookd is stopping");
    expect(listener.err()).toContain("Remove it: hookd webhooks remove wh_1");
  });
});
