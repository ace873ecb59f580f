import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createSlowSync } from "../../src/bench/faults/slow-sync.ts";
import { MIGRATIONS } from "../../src/store/sqlite/migrations.ts";
import { HOOKD } from "../support/daemon.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { contentsOf, setup } from "./setup.ts";

/** Each test plants one fault: doctor has to find it, and nothing else. */

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** A server whose Date is so far from this machine's. */
async function startReference(offMs: number): Promise<string> {
  const server = createHttpServer((_request, response) => {
    response.setHeader("date", new Date(Date.now() + offMs).toUTCString());
    response.end();
  });
  return `http://127.0.0.1:${await portOf(server)}`;
}

test("a limit of 256 open files is a problem, with the ways to raise it", async () => {
  const patient = await setup();
  const { problems, of, exitCode } = await patient.examine(
    [],
    ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", HOOKD],
  );
  expect(problems).toEqual(["open files"]);
  expect(exitCode).toBe(1);
  expect(of("open files").finding).toMatch(/^only 256 files may be open; hookd may need 5120: 4096 /);
  expect(of("open files").remedy).toMatch(/ulimit -n 65536.*LimitNOFILE=65536.*--ulimit nofile=65536/);
});

test("the limit that counts is that of the running hookd, not of the shell", async () => {
  const patient = await setup();
  const daemon = await patient.start();
  spawnSync("prlimit", [`--pid=${daemon.process.pid}`, "--nofile=256:256"]);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["open files"]);
  expect(of("open files").finding).toContain(
    `only 256 files may be open for the running hookd (process ${daemon.process.pid})`,
  );
});

test.each(["master.key", "admin.key", "hookd.db"])("%s, readable by others, is a problem", async (name) => {
  const patient = await setup();
  await patient.startAndStop();
  const path = join(patient.dataDir, name);
  chmodSync(path, 0o644);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["key files"]);
  expect(of("key files").finding).toContain(`${path} (mode 644)`);
  expect(of("key files").remedy).toContain(`chmod 600 ${path}`);
});

test.each([
  ["ahead of", -300_000],
  ["behind", 300_000],
])("a clock that is 5 minutes %s a reference is a problem", async (words, offMs) => {
  const patient = await setup();
  const reference = await startReference(offMs);
  const { problems, of } = await patient.examine(["--reference", reference]);
  expect(problems).toEqual(["clock"]);
  expect(of("clock").finding).toMatch(
    new RegExp(`^the clock is (299|300|301) s ${words} ${reference}: receivers`),
  );
  expect(of("clock").remedy).toMatch(/timedatectl set-ntp true|chrony/);
});

test("a clock that is right by the reference is good, and a silent reference is named", async () => {
  const patient = await setup();
  const right = await patient.examine(["--reference", await startReference(0)]);
  expect(right.of("clock")).toMatchObject({ state: "ok", finding: expect.stringMatching(/^right by http/) });
  const port = await portOf(createServer((socket) => socket.destroy()));
  const silent = await patient.examine(["--reference", `http://127.0.0.1:${port}`]);
  expect(silent.of("clock")).toMatchObject({
    state: "warning",
    finding: expect.stringContaining("does not answer"),
  });
});

test("a database from the future tells of a clock that was wrong", async () => {
  const patient = await setup();
  await patient.startAndStop();
  patient.change(`update setting set value = '${Date.now() + 7_200_000}' where name = 'careful_clock'`);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["clock"]);
  expect(of("clock").finding).toMatch(/^the database was last written at .*, which is 2h from now$/);
});

test("a name server that does not answer is a problem", async () => {
  await using dead = await startDnsServer(() => "silent");
  const patient = await setup(`net: {dns_servers: ["${dead.address}"]}\n`);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["name servers"]);
  expect(of("name servers").finding).toContain(`${dead.address} (net.dns_servers) does not answer`);
  expect(of("name servers").remedy).toContain("put name servers that answer into net.dns_servers");
  expect(dead.queries.length).toBeGreaterThan(0);
});

test("one dead name server of two, or one that fails, is a warning", async () => {
  await using dead = await startDnsServer(() => "silent");
  await using failing = await startDnsServer(() => "servfail");
  await using alive = await startDnsServer(() => "nxdomain");
  const one = await setup(`net: {dns_servers: ["${dead.address}", "${alive.address}"]}\n`);
  expect((await one.examine()).of("name servers")).toMatchObject({
    state: "warning",
    finding: expect.stringMatching(new RegExp(`^${dead.address} .*does not answer`)),
  });
  const other = await setup(`net: {dns_servers: ["${failing.address}"]}\n`);
  expect((await other.examine()).of("name servers")).toMatchObject({
    state: "warning",
    finding: expect.stringContaining(`${failing.address} (ESERVFAIL)`),
  });
});

test("a disk that takes 2 s to sync is a problem, and who waits for it is told", async () => {
  const patient = await setup();
  const slow = createSlowSync();
  onTestFinished(() => slow.remove());
  Object.assign(patient.env, slow.env);
  slow.begin();
  const { problems, of, stderr } = await patient.examine();
  expect(problems).toEqual(["disk sync"]);
  expect(of("disk sync").finding).toMatch(
    /^the disk is too slow: a sync takes 2\d\d\d ms \(median of [23]\)/,
  );
  expect(of("disk sync").remedy).toContain("put data_dir on a local SSD");
  expect(stderr).toMatch(/disk sync: \d s, sync \d of 20/);
});

test("a disk with less free than limits.disk_free is a problem", async () => {
  const patient = await setup("limits: {disk_free: 1TiB}\n");
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["disk space"]);
  expect(of("disk space").finding).toMatch(
    /free for .*; limits\.disk_free is 1TiB: events are refused with 503/,
  );
  expect(of("disk space").remedy).toMatch(/free space.*retention\.success.*lower limits\.disk_free/);
});

test("a wrong master key is a problem, after a stop and after a crash", async () => {
  const patient = await setup();
  const path = join(patient.dataDir, "master.key");
  await patient.startAndStop();
  const right = readFileSync(path, "utf8");
  const wrong = `${Buffer.alloc(32, 7).toString("base64")}\n`;
  writeFileSync(path, wrong);
  const stopped = await patient.examine();
  expect(stopped.problems).toEqual(["master key"]);
  expect(stopped.of("master key").finding).toMatch(
    /master\.key is not the key that the database was written with: id [0-9a-f]{8}, not [0-9a-f]{8}$/,
  );
  expect(stopped.of("master key").remedy).toContain(`put the right key there from where it is kept`);

  const crashed = await setup();
  const daemon = await crashed.start();
  await daemon.kill();
  writeFileSync(join(crashed.dataDir, "master.key"), right);
  expect((await crashed.examine()).problems).toEqual(["master key"]);
});

test("a master key that is gone, or no key, is a problem", async () => {
  const patient = await setup();
  await patient.startAndStop();
  const path = join(patient.dataDir, "master.key");
  writeFileSync(path, "c2hvcnQ=\n");
  const short = await patient.examine();
  expect(short.problems).toEqual(["master key"]);
  expect(short.of("master key").finding).toContain("does not hold 32 bytes as base64");
  expect(JSON.stringify(short.findings)).not.toContain("c2hvcnQ=");
  rmSync(path);
  const gone = await patient.examine();
  expect(gone.problems).toEqual(["master key"]);
  expect(gone.of("master key").finding).toContain(
    "is missing, and the database's secrets cannot be read without it",
  );
  expect(existsSync(path)).toBe(false);
});

test("a port that something else listens on is a problem, and that is named", async () => {
  const patient = await setup();
  const port = await portOf(createServer());
  const { problems, of } = await patient.examine(["--listen", `127.0.0.1:${port}`]);
  expect(problems).toEqual(["listen address"]);
  expect(of("listen address").finding).toMatch(
    new RegExp(`^127\\.0\\.0\\.1:${port} is taken by .* \\(process ${process.pid}\\)$`),
  );
  expect(of("listen address").remedy).toMatch(/stop that .*or choose another address \(--listen\)/);
});

test("a port of a hookd on other data is a problem, and an address of another machine", async () => {
  const [other, patient] = [await setup(), await setup()];
  const daemon = await other.start();
  const { port } = new URL(daemon.server);
  const { problems, of } = await patient.examine(["--listen", `127.0.0.1:${port}`]);
  expect(problems).toEqual(["listen address"]);
  expect(of("listen address").finding).toContain("a hookd on another data directory");
  const foreign = await patient.examine(["--listen", "192.0.2.1:8420"]);
  expect(foreign.of("listen address").finding).toContain(
    "192.0.2.1:8420 cannot be listened on: EADDRNOTAVAIL",
  );
});

test("a database of a newer hookd is a problem, and stays as it is", async () => {
  const patient = await setup();
  await patient.startAndStop();
  patient.change(`pragma user_version = ${MIGRATIONS.length + 3}`);
  const before = contentsOf(patient.dataDir);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["database"]);
  expect(of("database").finding).toMatch(
    new RegExp(`newer hookd: schema ${MIGRATIONS.length + 3}, and this one knows ${MIGRATIONS.length}$`),
  );
  expect(of("database").remedy).toMatch(/run that version of hookd, or restore a backup/);
  expect(contentsOf(patient.dataDir)).toEqual(before);
});

test("a file that is no database is a problem, and stays as it is", async () => {
  const patient = await setup();
  await patient.startAndStop();
  const path = join(patient.dataDir, "hookd.db");
  writeFileSync(path, "this is no database, it is a diary. ".repeat(1_000));
  const before = contentsOf(patient.dataDir);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["database"]);
  expect(of("database").finding).toMatch(/hookd\.db cannot be read: it is not a SQLite database$/);
  expect(of("database").remedy).toContain("restore it from a backup");
  expect(contentsOf(patient.dataDir)).toEqual(before);
});

test.each([
  ["no YAML", "delivery: {timeout: [\n", /hookd\.yaml:\d+: not valid YAML/],
  [
    "an unknown key",
    "delivery: {timeuot: 15s}\n",
    /there is no key delivery\.timeuot: did you mean delivery\.timeout\?/,
  ],
  ["a bad value", "delivery: {timeout: soon}\n", /delivery\.timeout: "soon" is not a duration/],
])("a configuration with %s is a problem, told in the loader's words", async (_what, yaml, words) => {
  const patient = await setup(yaml);
  const { exitCode, problems, of } = await patient.examine();
  expect(exitCode).toBe(1);
  expect(problems).toEqual(["configuration"]);
  expect(of("configuration").finding).toMatch(words);
  expect(of("configuration").remedy).toContain("hookd config print --defaults");
});

test("a configuration file that is not there is a problem", async () => {
  const patient = await setup();
  const { exitCode, problems } = await patient.examine(["--config", "/nonexistent.yaml"]);
  expect([exitCode, problems]).toEqual([1, ["configuration"]]);
});

test("a data directory that others may write in is a problem, and a file in its place too", async () => {
  const patient = await setup();
  await patient.startAndStop();
  chmodSync(patient.dataDir, 0o777);
  const open = await patient.examine();
  expect(open.problems).toEqual(["data directory"]);
  expect(open.of("data directory").remedy).toBe(`chmod 700 ${patient.dataDir}`);
  const file = await patient.examine(["--data-dir", patient.config]);
  expect(file.problems).toContain("data directory");
  expect(file.of("data directory").finding).toBe(`${patient.config} is no directory`);
});

test("a collector that is not there, or wants a key, is a problem, and its headers are not shown", async () => {
  const patient = await setup();
  const server = createHttpServer((request, response) => {
    response.writeHead(request.headers["x-api-key"] === "right-key" ? 200 : 401).end();
  });
  patient.env.HOOKD_TRACE_ENDPOINT = `http://127.0.0.1:${await portOf(server)}`;
  patient.env.HOOKD_TRACE_HEADERS = "x-api-key=wrong-key";
  const refused = await patient.examine();
  expect(refused.problems).toEqual(["traces"]);
  expect(refused.of("traces")).toMatchObject({
    finding: `the collector at ${patient.env.HOOKD_TRACE_ENDPOINT}/v1/traces answers 401`,
    remedy: "put its key into trace.headers",
  });
  expect(JSON.stringify(refused.findings)).not.toContain("wrong-key");
  patient.env.HOOKD_TRACE_HEADERS = "x-api-key=right-key";
  expect((await patient.examine()).of("traces").state).toBe("ok");
  const gone = createServer();
  patient.env.HOOKD_TRACE_ENDPOINT = `http://127.0.0.1:${await portOf(gone)}/v1/traces`;
  await new Promise((resolve) => gone.close(resolve));
  const away = await patient.examine();
  expect(away.problems).toEqual(["traces"]);
  expect(away.of("traces").finding).toContain("does not answer: connect ECONNREFUSED");
});

test("an archive that is a file, and certificates that are none, are problems", async () => {
  const patient = await setup();
  const archived = { HOOKD_RETENTION_ARCHIVE_DIR: patient.config, HOOKD_NET_CA_FILE: patient.config };
  Object.assign(patient.env, archived);
  const { problems, of } = await patient.examine();
  expect(problems).toEqual(["certificates", "archive"]);
  expect(of("archive").finding).toBe(`${patient.config} is no directory`);
  expect(of("certificates").finding).toContain("holds no certificate");
});

test("entries of net.allow that open too much, or have no effect, are told", async () => {
  const patient = await setup();
  patient.env.HOOKD_NET_ALLOW =
    "0.0.0.0/0,127.0.0.0/8,10.0.0.0/8,10.0.0.0/8,169.254.0.0/16,8.8.8.0/24,::1/128";
  const { of } = await patient.examine();
  expect(of("net.allow").state).toBe("warning");
  const odd = of("net.allow").finding.split("; ");
  expect(odd.map((text) => text.split(" ").slice(0, 3).join(" "))).toEqual([
    "0.0.0.0/0 opens nearly",
    "127.0.0.0/8 opens this",
    "10.0.0.0/8 is there",
    "169.254.0.0/16 has no",
    "8.8.8.0/24 has no",
    "::1/128 opens this",
  ]);
  patient.env.HOOKD_NET_ALLOW = "10.0.0.0/8,fd00::/8";
  expect((await patient.examine()).of("net.allow").state).toBe("ok");
});
