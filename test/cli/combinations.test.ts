import { expect, it } from "vitest";
import { fakeApi, hookd } from "./support.ts";

it.each([
  ["--limit", "5"],
  ["--cursor", "abc"],
])("dlq list --group refuses %s, which it would ignore", async (...given) => {
  await using api = await fakeApi(() => ({ body: { data: [], next_cursor: null } }));
  const { exitCode, stderr } = await api.hookd("dlq", "list", "--group", "webhook", ...given);
  expect([exitCode, api.requests.length]).toEqual([2, 0]);
  expect(stderr).toContain("leave out --limit and --cursor");
});

it("listen --forward refuses --status, which it would ignore", async () => {
  const { exitCode, stderr } = await hookd([
    "listen",
    "--port",
    "0",
    "--forward",
    "http://127.0.0.1:9/",
    "--status",
    "201",
  ]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("leave out --status");
});

const accepted = { event_uid: "evt_1", duplicate: false };

it("events send --wait does not say that all is delivered of a broadcast whose deliveries are still being made", async () => {
  await using api = await fakeApi(() => ({
    status: 202,
    body: { ...accepted, delivery_count: 0, deliveries: [], fan_out: "job_1" },
  }));
  const { exitCode, stderr } = await api.hookd("events", "send", "a.b", "{}", "--user", "*", "--wait");
  expect(exitCode).toBe(1);
  expect(stderr).toContain("hookd jobs get job_1 --wait");
  expect(stderr).toContain("None of them was waited for");
});

it("events send --wait says which part of a broadcast it has watched", async () => {
  const delivery = { id: "dlv_1", status: "success", reason: null, response_code: 200, error: null };
  await using api = await fakeApi(({ path }) =>
    path.startsWith("/v1/deliveries/")
      ? { body: { ...delivery, attempt_count: 1, duration_ms: 4, attempts: [] } }
      : {
          status: 202,
          body: { ...accepted, delivery_count: 2, deliveries: [{ id: "dlv_1", webhook_id: "wh_1" }] },
        },
  );
  const { exitCode, stdout, stderr } = await api.hookd(
    "events",
    "send",
    "a.b",
    "{}",
    "--user",
    "*",
    "--wait",
  );
  expect(exitCode).toBe(1);
  expect(stdout).toContain("delivered, 200");
  expect(stderr).toContain("Only the first was waited for");
});

it.each([
  ["--user", "a"],
  ["--server", "http://127.0.0.1:9"],
  ["--key", "hk_x"],
  ["--data-dir", "/tmp"],
])("listen refuses %s without --register, which it would ignore", async (...given) => {
  const { exitCode, stderr } = await hookd(["listen", "--port", "0", ...given]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("go with --register");
});

it("events send refuses --timeout where it waits for nothing", async () => {
  const { exitCode, stderr } = await hookd(["events", "send", "a.b", "{}", "--timeout", "5s"]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("--timeout goes with --wait or --file");
});

it("config print shows what serve's own flags put in force, and --defaults takes none", async () => {
  const shown = await hookd([
    "config",
    "print",
    "--json",
    "--dev",
    "--data-dir",
    "/d",
    "--listen",
    "127.0.0.1:1",
  ]);
  expect(shown.exitCode).toBe(0);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    "net.allow_http": { value: true, origin: "flag" },
    data_dir: { value: "/d", origin: "flag" },
    listen: { value: "127.0.0.1:1", origin: "flag" },
  });
  const refused = await hookd(["config", "print", "--defaults", "--dev"]);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain("takes no other option");
});
