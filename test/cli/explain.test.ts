import { describe, expect, it } from "vitest";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";
import { fakeApi, hookd } from "./support.ts";

const envOf = ({ server, key }: TestDaemon) => ({ HOOKD_SERVER: server, HOOKD_API_KEY: key });

/** A delivery that a receiver refused twice, with an answer that would act on a terminal. */
async function setup() {
  const daemon = await startDaemon();
  const receiver = await startReceiver();
  receiver.answer = () => ({ status: 500, body: "\u001b]0;owned\u0007 no\nspace left" });
  const { json: webhook } = await daemon.call("POST", "/v1/webhooks", {
    event_id: "user.created",
    callback_url: `${receiver.url}/hooks`,
    retry: { schedule: ["10ms"] },
  });
  const { json } = await daemon.call("POST", "/v1/events", { event_id: "user.created", payload: {} });
  const id: string = json.deliveries[0].id;
  await until(
    "it is dead",
    async () => (await daemon.call("GET", `/v1/deliveries/${id}`)).json.status === "dead",
  );
  const explain = (...args: string[]) =>
    hookd(["deliveries", "explain", id, ...args], { env: envOf(daemon) });
  return { daemon, receiver, webhook, id, explain };
}

describe("hookd deliveries explain", () => {
  it(
    "tells what happened, why, what comes next, and gives the command that delivers it after " + "all",
    async () => {
      const { daemon, receiver, webhook, id, explain } = await setup();
      const { stdout, exitCode } = await explain();
      expect(exitCode).toBe(0);
      expect(stdout.split("\n")[0]).toBe(
        `${id} ended without success, and is kept for a replay (exhausted).`,
      );
      expect(stdout).toMatch(
        /What happened\n {2}user\.created .* for webhook wh_\w+ \(http:\/\/127\.0\.0\.1:\d+\/hooks\)/,
      );
      expect(stdout).toMatch(/Attempt 2, \d+s ago \(\S+Z\): 500 after .*\\x1b\]0;owned\\x07 no\\nspace left/);
      expect(stdout).not.toContain("\u001b");
      expect(stdout).toContain("Attempt 2: The receiver failed (500).");
      expect(stdout).toContain("What comes next\n  Nothing, by itself");
      expect(stdout).toContain(`hookd dlq replay --webhook ${webhook.id} --reason exhausted`);

      receiver.answer = () => ({ status: 200 });
      const command = /^ {4}hookd (deliveries retry .*)$/m.exec(stdout)?.[1] ?? "";
      const replayed = await hookd(command.split(" "), { env: envOf(daemon) });
      expect(replayed).toMatchObject({
        exitCode: 0,
        stdout: expect.stringContaining("delivered, 200, attempt 3"),
      });
      const after = await explain();
      expect(after.stdout).toContain(`${id} was delivered.`);
      expect(after.stdout).toContain("2 attempts failed.");
    },
  );

  it("gives the same facts as one object with --json", async () => {
    const { webhook, id, explain } = await setup();
    const { stdout } = await explain("--json");
    expect(stdout).not.toContain("\u001b");
    expect(JSON.parse(stdout)).toMatchObject({
      headline: expect.stringContaining("exhausted"),
      happened: expect.any(Array),
      why: [expect.stringContaining("Every attempt"), expect.stringContaining("500")],
      next: { kind: "none", at: null, held_by: [] },
      fixes: expect.arrayContaining([
        { text: "Replay this one:", command: `hookd deliveries retry ${id} --wait` },
      ]),
      delivery: { id, status: "dead", reason: "exhausted", attempts: [{ number: 1 }, { number: 2 }] },
      webhook: { id: webhook.id, live: { breaker: "closed" } },
    });
  });

  it("still tells of a delivery whose webhook is deleted", async () => {
    const { daemon, webhook, explain } = await setup();
    await daemon.call("DELETE", `/v1/webhooks/${webhook.id}`);
    const { stdout, exitCode } = await explain();
    expect(exitCode).toBe(0);
    expect(stdout).toContain("(since deleted)");
    expect(stdout).toContain("hookd webhooks add --event user.created --url https://... --user default");
  });

  it("tells of one that waits what it waits for", async () => {
    const { daemon, webhook } = await setup();
    await daemon.call("POST", `/v1/webhooks/${webhook.id}/pause`);
    const { json } = await daemon.call("POST", "/v1/events", { event_id: "user.created", payload: {} });
    const { stdout } = await hookd(["deliveries", "explain", json.deliveries[0].id], { env: envOf(daemon) });
    expect(stdout).toContain("waits for its first attempt.");
    expect(stdout).toContain("Its webhook is paused");
    expect(stdout).toContain(`hookd webhooks resume ${webhook.id}`);
  });

  it("tells that hookd as a whole is paused, until it is resumed", async () => {
    const { daemon } = await setup();
    await daemon.call("POST", "/v1/pause");
    const { json } = await daemon.call("POST", "/v1/events", { event_id: "user.created", payload: {} });
    const explain = (...args: string[]) =>
      hookd(["deliveries", "explain", json.deliveries[0].id, ...args], { env: envOf(daemon) });
    const { stdout } = await explain();
    expect(stdout).toMatch(/hookd as a whole is paused since .* until `hookd resume`\.$/m);
    expect(stdout).toMatch(/^ {4}hookd resume$/m);
    const facts = JSON.parse((await explain("--json")).stdout);
    expect(facts).toMatchObject({ next: { held_by: ["hookd_paused"] }, paused: { reason: "operator" } });
    await hookd(["resume"], { env: envOf(daemon) });
    expect((await explain()).stdout).not.toContain("paused");
  });

  it(
    "fails as other commands do where there is no such delivery, or the webhook cannot be " + "read",
    async () => {
      await using api = await fakeApi(({ path }) =>
        path.startsWith("/v1/deliveries/dlv_1")
          ? { body: { id: "dlv_1", webhook_id: "wh_1", status: "dead", attempts: [] } }
          : path.startsWith("/v1/deliveries/")
            ? { status: 404, body: { code: "not_found", detail: "there is no such delivery" } }
            : { status: 503, body: { code: "store_unavailable", detail: "not now" } },
      );
      expect(await api.hookd("deliveries", "explain", "dlv_2")).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining("no such delivery"),
      });
      expect(await api.hookd("deliveries", "explain", "dlv_1")).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining("not now"),
      });
    },
  );
});
