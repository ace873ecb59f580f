import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { verifyStandard } from "../../src/domain/sign.ts";
import { hookd } from "../cli/support.ts";
import { startDaemon, type TestDaemon } from "../support/daemon.ts";
import { type Received, startReceiver } from "../support/receiver.ts";
import { temporaryDirectory, until } from "../support/world.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY = Buffer.from(SECRET.slice("whsec_".length), "base64");
const PUBLISHERS = 8;
const FEW = 600;

test("a backup under load, restored elsewhere, has every event acknowledged before, and sends what is open once resumed", async () => {
  const [first, receiver] = await Promise.all([startDaemon(), startReceiver()]);
  let isMended = false;
  receiver.answer = ({ path }) => ({ status: path === "/open" && !isMended ? 500 : 200 });
  await register(first, "ok", `${receiver.url}/ok`);
  await register(first, "open", `${receiver.url}/open`);
  for (const uid of ["open-1", "open-2"]) await publish(first, "open", uid);
  await until("both were tried", () =>
    ["open-1", "open-2"].every((uid) => seen(receiver.received, uid).length > 0),
  );

  const load = startLoad(first);
  await until("there is load", () => load.acknowledged.length >= FEW);
  const before = [...load.acknowledged];
  const target = join(temporaryDirectory(), "moved.db");
  const made = await hookd(["backup", target, "--with-master-key", "--data-dir", first.dataDir], {
    env: { HOOKD_SERVER: first.server },
  });
  expect(made).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/moved\.db: .* made and checked in/),
  });
  expect(made.stderr).toMatch(/holds the master key\. Whoever has both files/);
  await load.end();
  expect(load.acknowledged.length).toBeGreaterThan(before.length);
  await first.kill();
  for (const file of [target, `${target}.master.key`]) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(first.dataDir, "backups"))).toEqual([]);

  const dataDir = join(temporaryDirectory(), "elsewhere");
  const restored = await hookd([
    ...["restore", target, "--data-dir", dataDir, "--master-key", `${target}.master.key`],
  ]);
  expect(restored).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/start paused/) });
  const tried = receiver.received.length;
  const second = await startDaemon({ dataDir });
  await expectPaused(second);
  for (const uid of before) {
    const { status, json } = await second.call("GET", `/v1/events/${uid}`);
    expect([uid, status, json.delivery_count]).toEqual([uid, 200, 1]);
  }
  await publish(second, "ok", "while-paused");
  await second.stop();
  const third = await startDaemon({ dataDir });
  await expectPaused(third);
  expect(receiver.received.length).toBe(tried);

  isMended = true;
  const resumed = await hookd(["resume", "--data-dir", dataDir], { env: { HOOKD_SERVER: third.server } });
  expect(resumed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Resumed") });
  const after = () => receiver.received.slice(tried);
  for (const uid of ["open-1", "open-2", "while-paused"]) {
    const request = await until(`${uid} was sent`, () => seen(after(), uid)[0]);
    expect(verifyStandard([KEY], standardHeaders(request), request.body, Date.now() / 1000)).toMatchObject({
      ok: true,
    });
    await until(`${uid} is a success`, async () => {
      const { json } = await third.call("GET", `/v1/events/${uid}`);
      return json.deliveries[0].status === "success";
    });
  }
  // The key of before is still one; the new one was left for the commands of this machine.
  const old = { authorization: `Bearer ${first.key}` };
  expect((await third.call("GET", "/v1/keys", undefined, old)).json.data).toHaveLength(2);
  expect((await third.call("GET", "/readyz")).json).toEqual({ status: "ready", paused: null });
});

async function expectPaused(daemon: TestDaemon): Promise<void> {
  expect(daemon.log()).toContain("hookd is paused: it takes events and sends nothing");
  expect((await daemon.call("GET", "/readyz")).json).toMatchObject({ paused: { reason: "restored" } });
  expect((await daemon.call("GET", "/metrics")).text).toContain("\nhookd_paused 1\n");
}

async function register(daemon: TestDaemon, event: string, url: string): Promise<void> {
  const retry = { schedule: Array.from({ length: 50 }, () => "2s") };
  const body = { event_id: event, callback_url: url, secret: SECRET, retry };
  expect((await daemon.call("POST", "/v1/webhooks", body)).status).toBe(201);
}

async function publish(daemon: TestDaemon, event: string, uid: string): Promise<void> {
  const body = { event_id: event, event_uid: uid, payload: { uid, filler: "x".repeat(1_000) } };
  expect((await daemon.call("POST", "/v1/events", body)).status).toBe(202);
}

/** Publishers that go on until they are told to end, and what was acknowledged to them. */
function startLoad(daemon: TestDaemon) {
  const acknowledged: string[] = [];
  let made = 0;
  let isEnding = false;
  const publishers = Array.from({ length: PUBLISHERS }, async () => {
    while (!isEnding) {
      made += 1;
      const uid = `load-${made}`;
      await publish(daemon, "ok", uid);
      acknowledged.push(uid);
    }
  });
  return {
    acknowledged,
    async end() {
      isEnding = true;
      await Promise.all(publishers);
    },
  };
}

function seen(received: readonly Received[], uid: string): Received[] {
  return received.filter(({ headers }) => headers["webhook-id"] === uid);
}

function standardHeaders({ headers }: Received) {
  return {
    id: String(headers["webhook-id"]),
    timestamp: String(headers["webhook-timestamp"]),
    signature: String(headers["webhook-signature"]),
  };
}

test("a backup stays with the daemon where no file is named, is listed there, and goes when it is deleted", async () => {
  const daemon = await startDaemon();
  const env = { HOOKD_SERVER: daemon.server, HOOKD_DATA_DIR: daemon.dataDir };
  const made = await hookd(["backup", "--name", "first", "--json"], { env });
  const path = join(daemon.dataDir, "backups", "first.db");
  expect(JSON.parse(made.stdout)).toMatchObject({ name: "first", path, checked: true, master_key: null });
  const again = await hookd(["backup", "--name", "first"], { env });
  expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("409 backup_exists") });
  const listed = await hookd(["backups", "list"], { env });
  expect(listed.stdout).toMatch(/^first\tdone\t100%\t\d+\t\S+\t.*first\.db\n$/);
  expect(await hookd(["backups", "delete", "first"], { env })).toMatchObject({ exitCode: 2 });
  expect(await hookd(["backups", "delete", "first", "--yes"], { env })).toMatchObject({ exitCode: 0 });
  expect(existsSync(path)).toBe(false);
  const directory = temporaryDirectory();
  const put = await hookd(["backup", directory, "--name", "second"], { env });
  expect(put.exitCode).toBe(0);
  expect(readdirSync(directory)).toEqual(["second.db"]);
  expect((await hookd(["backups", "list"], { env })).stderr).toContain("No backups");
});
