import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished } from "vitest";

const PORT = 8_080;
const PUBLIC = "93.184.216.34";
const OWN = "93.184.216.35";
/** Addresses on the far side that a broken guard would reach: they are routed there. */
const CANARIES = ["169.254.169.254", "10.77.0.1", "100.100.100.200", "168.63.129.16"];

/**
 * Only here can a public address be dialled: two network namespaces that see nothing but each other, one of
 * which has an address that looks public. Loopback cannot stand in for it, for the guard refuses loopback.
 */
it("an address that looks public is reached, and metadata and private ones beside it are not", async () => {
  const { near, far } = twoNamespaces();
  const seen: string[] = [];
  const receiver = inNamespace(far, ["netns-receiver.ts", PUBLIC, String(PORT), ...CANARIES]);
  await linesUntil(receiver, "ready", seen);

  const cases: [url: string, verdict: string, status: number | string][] = [
    [`http://${PUBLIC}:${PORT}/`, "success", 200],
    [`http://public.test:${PORT}/`, "success", 200],
    [`http://public.test:${PORT}/redirect`, "retry", 307],
    [`http://mixed.test:${PORT}/`, "blocked", "blocked"],
    [`http://rebinding.test:${PORT}/`, "success", 200],
    [`http://rebinding.test:${PORT}/`, "blocked", "blocked"],
    [`http://rebinding.test:${PORT}/`, "success", 200],
    [`http://missing.test:${PORT}/`, "retry", "dns"],
    [`http://${PUBLIC}:${PORT + 1}/`, "retry", "connect"],
    [`http://${OWN}:${PORT}/`, "blocked", "blocked"],
    ...CANARIES.map((_, index): [string, string, string] => [
      `http://canary${index}.test:${PORT}/`,
      "blocked",
      "blocked",
    ]),
    ...CANARIES.map((address): [string, string, string] => [
      `http://${address}:${PORT}/`,
      "blocked",
      "blocked",
    ]),
    [`http://127.0.0.1:${PORT}/`, "blocked", "blocked"],
  ];
  const sender = inNamespace(near, ["netns-sender.ts", PUBLIC, ...cases.map(([url]) => url)]);
  const output = await wholeOutput(sender);
  expect(JSON.parse(output)).toEqual(cases);

  // The canaries are alive and routed: a plain connection from the near side is seen. So their silence meant
  // something.
  const before = seen.filter((line) => line.startsWith("canary"));
  const probe = `require("node:net").connect(${PORT}, "${CANARIES[0]}").on("close", () => process.exit())`;
  await wholeOutput(inNamespace(near, ["-e", probe]));
  await expect.poll(() => seen).toContain(`canary ${CANARIES[0]}`);
  expect(before).toEqual([]);
  const requests = seen.filter((line) => line.startsWith("request"));
  expect(requests).toEqual([
    `request ${PUBLIC}:${PORT}`,
    `request public.test:${PORT}`,
    `request public.test:${PORT}`,
    `request rebinding.test:${PORT}`,
    `request rebinding.test:${PORT}`,
  ]);
});

/** Two new namespaces with a wire between them; they go away with the test. */
function twoNamespaces(): { near: string; far: string } {
  if (process.getuid?.() !== 0 || spawnSync("ip", ["-V"]).error !== undefined) {
    throw new Error(
      "this test needs root and the `ip` command (Debian: iproute2) to make network namespaces; it is not skipped, " +
        "for nothing else shows that a public address is reached: run it as root, with iproute2 installed",
    );
  }
  const near = `hookd-n-${process.pid}`;
  const far = `hookd-f-${process.pid}`;
  onTestFinished(() => {
    for (const name of [near, far]) spawnSync("ip", ["netns", "delete", name]);
  });
  ip(`netns add ${near}`);
  ip(`netns add ${far}`);
  ip(`link add hn${process.pid} netns ${near} type veth peer name hf${process.pid} netns ${far}`);
  ip(`-n ${near} address add ${OWN}/24 dev hn${process.pid}`);
  ip(`-n ${far} address add ${PUBLIC}/24 dev hf${process.pid}`);
  for (const address of CANARIES) ip(`-n ${far} address add ${address}/32 dev lo`);
  for (const [name, device] of [
    [near, "hn"],
    [far, "hf"],
  ]) {
    ip(`-n ${name} link set lo up`);
    ip(`-n ${name} link set ${device}${process.pid} up`);
  }
  ip(`-n ${near} route add default via ${PUBLIC}`);
  return { near, far };
}

function ip(command: string): void {
  const { status, stderr } = spawnSync("ip", command.split(" "), { encoding: "utf8" });
  if (status !== 0)
    throw new Error(
      `ip ${command}: ${stderr.trim()}; network namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN`,
    );
}

function inNamespace(name: string, args: string[]): ChildProcess {
  const [first = "", ...rest] = args;
  const program = first.endsWith(".ts") ? [join(import.meta.dirname, first), ...rest] : args;
  const child = spawn("ip", ["netns", "exec", name, process.execPath, ...program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** Keeps collecting lines after the awaited one. */
function linesUntil(child: ChildProcess, awaited: string, lines: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the receiver ended with ${code}`)));
    createInterface({ input: child.stdout! }).on("line", (line) => {
      lines.push(line);
      if (line === awaited) resolve();
    });
  });
}

async function wholeOutput(child: ChildProcess): Promise<string> {
  let output = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  expect(code).toBe(0);
  return output;
}
