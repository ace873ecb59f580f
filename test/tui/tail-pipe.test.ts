import { execFile } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { expect, test } from "vitest";
import { HOOKD, startDaemon } from "../support/daemon.ts";
import { setup } from "./setup.ts";

const LATER = { retry: { schedule: ["1h", "1h"] } };

/** The command in a pipe, once the daemon has it among its stream's clients. */
async function tailed(world: Awaited<ReturnType<typeof setup>>, ...args: string[]) {
  const { daemon, env } = world;
  const child = execa(HOOKD, ["deliveries", "tail", ...args], { env, reject: false });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const notes = createInterface(child.stderr)[Symbol.asyncIterator]();
  await expect
    .poll(async () => (await daemon.call("GET", "/metrics")).text, { timeout: 10_000 })
    .toContain("hookd_stream_clients 1\n");
  const next = async (from: AsyncIterator<string>): Promise<string> => (await from.next()).value;
  return { child, line: () => next(lines), note: () => next(notes) };
}

test("a line per attempt, inert, and with --json an object as the API said it", async () => {
  const world = await setup();
  const { receiver, register, publish } = world;
  const webhook = await register("order.paid", LATER);
  receiver.answer = () => ({ status: 500, body: "\u001b[2Jboom" });
  const plain = await tailed(world);
  const id = await publish("order.paid");
  const cells = (await plain.line()).split("\t");
  expect(cells.slice(1, 8)).toEqual(["retrying", "order.paid", "default", webhook, id, "attempt 1", "500"]);
  expect(Date.parse(cells[0]!)).toBeLessThan(Date.parse(cells[9]!));
  plain.child.kill("SIGINT");
  expect((await plain.child).exitCode).toBe(130);

  const json = await tailed(world, "--json");
  const other = await publish("order.paid");
  const text = await json.line();
  expect(JSON.parse(text)).toMatchObject({
    delivery_id: other,
    status: "retrying",
    attempt: { number: 1, status_code: 500, response_excerpt: "\u001b[2Jboom" },
  });
  json.child.kill("SIGTERM");
  await json.child;
});

test("only what the filter names: failed ones, of an event or a webhook or a user", async () => {
  const world = await setup();
  const { receiver, register, publish } = world;
  await register("good");
  const bad = await register("bad", LATER);
  receiver.answer = ({ path }) => ({ status: path === "/bad" ? 500 : 200 });
  for (const args of [["--failed"], ["--event", "bad"], ["--webhook", bad]]) {
    const { child, line } = await tailed(world, ...args);
    await publish("good");
    await publish("bad");
    expect((await line()).split("\t").slice(1, 3)).toEqual(["retrying", "bad"]);
    child.kill();
    await child;
    await expect
      .poll(async () => (await world.daemon.call("GET", "/metrics")).text)
      .toContain("hookd_stream_clients 0\n");
  }
});

test("a reader that leaves ends it without a word, and a daemon that comes back is told of on stderr", async () => {
  const world = await setup();
  const { daemon, env, register, publish } = world;
  await register("order.paid");
  const tail = await tailed(world);
  expect(await tail.note()).toBe("Watching attempts as they settle. Ctrl-C ends it.");
  await daemon.kill();
  expect(await tail.note()).toMatch(/127\.0\.0\.1:\d+.*; trying again in \d+ ms/);
  await startDaemon({ dataDir: daemon.dataDir, port: Number(new URL(daemon.server).port) });
  let note = await tail.note();
  while (note.includes("trying again")) note = await tail.note();
  expect(note).toBe("Connected again.");
  await publish("order.paid");
  expect(await tail.line()).toContain("success");
  tail.child.kill();
  await tail.child;

  const script = `'${HOOKD}' deliveries tail | head -n 1; echo "$?"`;
  const head = execFile("bash", ["-c", `set -o pipefail; ${script}`], { env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  head.stdout?.on("data", (chunk) => {
    stdout += chunk;
  });
  head.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const ended = once(head, "exit");
  await expect
    .poll(async () => (await daemon.call("GET", "/metrics")).text, { timeout: 10_000 })
    .toContain("hookd_stream_clients 1\n");
  await publish("order.paid");
  // The second line finds nobody who reads it.
  await once(head.stdout!, "data");
  await publish("order.paid");
  await ended;
  expect(stdout).toMatch(/success.*\n0\n$/);
  expect(stderr).toBe("Watching attempts as they settle. Ctrl-C ends it.\n");
});

test("--curl prints the request, and what cannot be asked for is said", async () => {
  const { hookd } = await import("../cli/support.ts");
  const { env, daemon } = await setup();
  const curl = await hookd(["deliveries", "tail", "--failed", "--rows", "10", "--curl"], { env });
  expect(curl.stdout).toContain(`${daemon.server}/v1/stream?status=failed&rows_per_second=10`);
  expect(curl.exitCode).toBe(0);
  const unknown = await hookd(["deliveries", "tail", "--webhook", "wh_01kb8zs5xjf7crc7a9vpz4h3tn"], { env });
  expect(unknown).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/404 not_found/) });
});
