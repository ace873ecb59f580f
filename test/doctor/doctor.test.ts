import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { execa } from "execa";
import { expect, onTestFinished, test } from "vitest";
import { doctorDocument } from "../../scripts/generate-docs.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Installation } from "../../src/doctor/check.ts";
import { CHECKS, CONFIGURATION } from "../../src/doctor/checks.ts";
import { askDaemon } from "../../src/doctor/daemon-answers.ts";
import { listenAddress } from "../../src/doctor/listen-address.ts";
import { HOOKD, startDaemon } from "../support/daemon.ts";
import { until } from "../support/world.ts";
import { contentsOf, setup } from "./setup.ts";

const NAMES = [CONFIGURATION, ...CHECKS].map(({ name }) => name);

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

test("nothing is wrong with a hookd that was stopped, nor with one that was never started", async () => {
  const patient = await setup();
  const fresh = await patient.examine();
  expect(fresh).toMatchObject({ exitCode: 0, problems: [] });
  expect(fresh.findings.map(({ name }) => name)).toEqual(NAMES);
  await patient.startAndStop();
  const before = contentsOf(patient.dataDir);
  const stopped = await patient.examine();
  expect(stopped).toMatchObject({ exitCode: 0, problems: [], stderr: "" });
  expect(stopped.of("master key").finding).toMatch(/^the one that the database was written with/);
  expect(stopped.of("daemon")).toMatchObject({ state: "skipped", finding: "hookd is not running" });
  expect(contentsOf(patient.dataDir)).toEqual(before);
});

test("a hookd that was killed is looked at without being recovered", async () => {
  const patient = await setup();
  await (await patient.start()).kill();
  const before = contentsOf(patient.dataDir);
  expect(before.some((file) => file.startsWith("hookd.db-wal"))).toBe(true);
  const { exitCode, of } = await patient.examine();
  expect(exitCode).toBe(0);
  expect(of("database").finding).toMatch(/^schema \d+; /);
  expect(of("master key").finding).toMatch(/^the one that the database was written with/);
  expect(contentsOf(patient.dataDir)).toEqual(before);
});

test("beside a running hookd it finds it by itself, and leaves it in peace", async () => {
  const patient = await setup();
  const daemon = await patient.start();
  const names = () => contentsOf(patient.dataDir).map((file) => file.split(" ")[0]);
  const before = names();
  const { port } = new URL(daemon.server);
  const { exitCode, problems, of } = await patient.examine(["--listen", `127.0.0.1:${port}`]);
  expect({ exitCode, problems }).toEqual({ exitCode: 0, problems: [] });
  const { pid } = daemon.process;
  expect(of("listen address").finding).toBe(
    `127.0.0.1:${port} is in use by the running hookd (process ${pid}), as it should be`,
  );
  expect(of("database").finding).toMatch(new RegExp(`in use by .*\\(process ${pid}\\)$`));
  expect(of("daemon").finding).toMatch(new RegExp(`^hookd \\S+ at ${daemon.server} takes events$`));
  expect(of("master key").finding).toMatch(/^the one that the database was written with/);
  expect(names()).toEqual(before);
  expect((await daemon.call("GET", "/readyz")).status).toBe(200);
  expect(await daemon.stop()).toBe(0);
});

test("a running hookd that refuses events, or does not answer, is a problem", async () => {
  const refusing = await setup("limits: {disk_free: 1TiB}\n");
  await refusing.start();
  const found = await refusing.examine();
  expect(found.problems).toEqual(["disk space", "daemon"]);
  expect(found.of("daemon").finding).toContain("takes no events: the disk is nearly full");
  expect(found.of("daemon").remedy).toContain("free space");

  const hung = await setup();
  const daemon = await hung.start();
  daemon.process.kill("SIGSTOP");
  const { problems, of } = await hung.examine();
  expect(problems).toEqual(["daemon"]);
  expect(of("daemon").finding).toBe(
    `hookd (process ${daemon.process.pid}) has the database open, but does not answer at ${daemon.server}`,
  );
});

test("a hookd that listens on a name is found too", async () => {
  const patient = await setup();
  const { dataDir, env } = patient;
  await startDaemon({ dataDir, env, args: ["--listen", "localhost:0"] });
  const { problems, of } = await patient.examine();
  expect(problems).toEqual([]);
  expect(of("daemon").finding).toMatch(/takes events$/);
});

test("a port is in use by hookd where the kernel does not tell whose the database is", async () => {
  const patient = await setup();
  const { server } = await patient.start();
  const config = loadConfig({ env: { HOOKD_LISTEN: new URL(server).host } });
  const site: Installation = {
    asked: { source: { env: {} }, server: null, reference: null, callbackUrls: null },
    config,
    databasePath: "",
    masterKeyPath: "",
    adminKeyPath: "",
    holder: { kind: "unknown" },
    server: new URL(server),
    daemon: await askDaemon(new URL(server)),
  };
  const found = await listenAddress.run(site, () => {});
  expect(found).toMatchObject({
    state: "ok",
    finding: expect.stringMatching(/is in use by a running hookd$/),
  });
});

test("a daemon that is named and is not there is a problem", async () => {
  const patient = await setup();
  const { problems, of } = await patient.examine(["--server", "http://127.0.0.1:1"]);
  expect(problems).toEqual(["daemon"]);
  expect(of("daemon").finding).toBe("no hookd answers at http://127.0.0.1:1");
});

test("--reach connects to the webhooks' hosts, as policy allows, and sends not a byte", async () => {
  const patient = await setup();
  const daemon = await patient.start();
  let connections = 0;
  let bytes = 0;
  const receiver = createServer((socket) => {
    connections += 1;
    socket.on("data", (chunk) => (bytes += chunk.length)).on("error", () => {});
  });
  const port = await listen(receiver);
  onTestFinished(() => void receiver.close());
  const add = async (event_id: string, callback_url: string) => {
    const { status } = await daemon.call("POST", "/v1/webhooks", { event_id, callback_url });
    expect(status).toBe(201);
  };
  await add("a", `http://127.0.0.1:${port}/secret-path`);
  await add("b", `http://127.0.0.1:${port}/other`);
  await add("c", `http://hooks.example.com:${port}/by-name`);
  expect((await patient.examine(["--dev", "--reach"])).of("receivers")).toMatchObject({
    state: "ok",
    finding: "all 2 hosts of webhooks can be connected to",
  });
  await until("the receiver saw both", () => connections === 2);

  const gone = createServer();
  const closed = await listen(gone);
  gone.close();
  await add("d", `http://127.0.0.1:${closed}/closed`);
  const { of, exitCode } = await patient.examine(["--dev", "--reach"]);
  expect(of("receivers").state).toBe("warning");
  expect(of("receivers").finding).toMatch(
    /^1 of 3 hosts cannot be connected to: http:\/\/127\.0\.0\.1:\d+: connect: .*ECONNREFUSED/,
  );
  expect(exitCode).toBe(0);
  await until("the receiver saw both again", () => connections === 4);

  // Without --dev, as in production: loopback is refused, as a literal and behind a name, before there is a
  // connection.
  patient.env.HOOKD_NET_ALLOW_HTTP = "true";
  const strict = await patient.examine(["--reach"]);
  expect(strict.problems).toEqual(["receivers"]);
  expect(strict.of("receivers").finding).toContain(`http://hooks.example.com:${port}: blocked: `);
  expect(strict.of("receivers").finding).toContain("its address 127.0.0.1 is refused: ");
  expect(JSON.stringify(strict.findings)).not.toContain("secret-path");
  expect({ connections, bytes }).toEqual({ connections: 4, bytes: 0 });
});

test("it prints a line for each check, what to do below it, and a summary", async () => {
  const patient = await setup("limits: {disk_free: 1TiB}\n");
  const { stdout, exitCode } = await execa(HOOKD, ["doctor"], {
    env: { PATH: process.env.PATH ?? "", ...patient.env },
    extendEnv: false,
    reject: false,
  });
  expect(exitCode).toBe(1);
  const lines = stdout.split("\n");
  const titles = lines.flatMap(
    (line) => /^(?:ok|warning|problem|skipped) +(\S+(?: \S+)*) {2}/.exec(line)?.[1] ?? [],
  );
  expect(titles).toEqual(NAMES);
  const at = lines.findIndex((line) => /^problem {2}disk space {8}\S/.test(line));
  expect(lines[at + 1]).toMatch(/^ {27}-> free space/);
  expect(lines.at(-1)).toMatch(/^1 problem, \d+ warnings?, \d+ ok, \d+ skipped\.$/);
});

test.each([
  [["--reference", "yesterday"], /Expected an http or https URL/],
  [["--server", "ftp://x"], /Expected an http or https URL/],
  [["--nope"], /unknown option '--nope'/],
])("asked wrongly by %j it says so, with exit code 2", async (args, words) => {
  const patient = await setup();
  const { exitCode, stderr } = await patient.examine(args);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(words);
});

test("docs/DOCTOR.md lists the checks as they are", () => {
  const written = readFileSync(new URL("../../docs/DOCTOR.md", import.meta.url), "utf8");
  expect(written).toBe(doctorDocument());
});
