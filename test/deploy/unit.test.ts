import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { BlockList, isIPv4 } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { loadConfig } from "../../src/config/load.ts";
import { compileAddressPolicy } from "../../src/domain/address.ts";
import { HOOKD, ROOT } from "../support/daemon.ts";
import { temporaryDirectory } from "../support/world.ts";
import { parseUnit } from "./unit-file.ts";

const text = readFileSync(join(ROOT, "deploy/hookd.service"), "utf8");
const fenceText = readFileSync(join(ROOT, "deploy/fence.conf"), "utf8");
const unit = parseUnit(text);
const only = (name: string): string => {
  const values = unit.get(name) ?? [];
  expect(values, name).toHaveLength(1);
  return values[0] ?? "";
};

describe("the systemd unit", () => {
  it("says what systemd understands, the fence too", () => {
    expect(parseUnit(fenceText).size).toBe(2);
    expect(() => parseUnit("[Service]\nNoNewPrivilege=yes\n")).toThrow(
      "line 2: [Service] takes no NoNewPriv",
    );
    expect(complaints(text)).toEqual([]);
    // Where systemd is there it is asked, and does tell.
    if (hasSystemd())
      expect(complaints(`${text}\n[Service]\nNoNewPrivilege=yes\n`).join()).toMatch(/NoNewPrivilege/);
  });

  it("leaves little to whoever gets in", () => {
    for (const name of ["NoNewPrivileges", "PrivateDevices", "PrivateTmp", "PrivateUsers", "ProtectHome"]) {
      expect(only(name)).toBe("yes");
    }
    for (const name of ["RestrictNamespaces", "RestrictSUIDSGID", "LockPersonality", "RestrictRealtime"]) {
      expect(only(name)).toBe("yes");
    }
    expect(only("ProtectSystem")).toBe("strict");
    expect(only("CapabilityBoundingSet")).toBe("");
    expect(only("UMask")).toBe("0077");
    expect(only("StateDirectoryMode")).toBe("0700");
    expect(only("LimitCORE")).toBe("0");
    expect(unit.get("SystemCallFilter")?.[0]).toBe("@system-service");
    if (hasSystemd()) expect(exposure()).toBeLessThan(2);
  });

  it("lets V8 compile, and hookd ask for this machine's addresses", () => {
    expect(only("MemoryDenyWriteExecute")).toBe("no");
    expect(only("RestrictAddressFamilies").split(" ").sort()).toEqual([
      "AF_INET",
      "AF_INET6",
      "AF_NETLINK",
      "AF_UNIX",
    ]);
  });

  it("starts the daemon with options that it has", async () => {
    const [path, ...words] = only("ExecStart").split(" ");
    expect(path).toBe("/usr/local/bin/hookd");
    const serve = (await createProgram(["serve"])).commands.find((one) => one.name() === words[0]);
    const given = words.filter((word) => word.startsWith("--"));
    expect(serve?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(given));
    expect(only("ExecReload")).toBe("/bin/kill -HUP $MAINPID");
  });

  it("waits for a stop as long as the daemon may take, and has files for all it may open", () => {
    const { delivery, net } = loadConfig({ env: {} });
    const closingMs = 10_000;
    expect(Number(only("TimeoutStopSec")) * 1_000).toBeGreaterThanOrEqual(delivery.drainMs + closingMs);
    // Four senders are the most that hookd starts by itself; publishers' connections are 20,000 at most.
    const files = delivery.inFlightMax + 4 * net.idleConnectionsMax + 20_000;
    expect(Number(only("LimitNOFILE"))).toBeGreaterThan(files);
  });

  it("does not start again what cannot start: the exit code of a wrong configuration is 2", () => {
    const file = join(temporaryDirectory(), "hookd.yaml");
    writeFileSync(file, "listne: 127.0.0.1:0\n");
    const { status } = spawnSync(HOOKD, ["serve", "--config", file], { timeout: 10_000 });
    expect(status).toBe(Number(only("RestartPreventExitStatus")));
  });
});

describe("the fence", () => {
  const policy = compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: [] });
  // One of each: a list of both judges IPv4 addresses by IPv6 rules too.
  const denied = { ipv4: new BlockList(), ipv6: new BlockList() };
  const isDenied = (address: string) => denied[familyOf(address)].check(address, familyOf(address));
  const fence = parseUnit(fenceText);
  const ranges = (fence.get("IPAddressDeny") ?? []).flatMap((line) => line.split(" "));
  for (const range of ranges) {
    const [address = "", bits = ""] = range.split("/");
    denied[familyOf(address)].addSubnet(address, Number(bits), familyOf(address));
  }

  it("denies the addresses that the policy refuses, and no others", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
        expect(isDenied(address)).toBe(!policy.check(address).ok);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each(ranges)("denies %s to its ends, where the policy does", (range) => {
    for (const address of edges(range)) {
      expect(isDenied(address), address).toBe(!policy.check(address).ok);
    }
  });

  it.each([
    "0.1.2.3",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::1",
    "2620:4f:8000::1",
    "3fff::1",
    "fd00:ec2::254",
    "fe80::1",
  ])("denies %s, which is too rare to be met by chance", (address) => {
    expect(policy.check(address).ok).toBe(false);
    expect(isDenied(address)).toBe(true);
  });

  it("lets the API be reached on loopback", () => {
    expect(fence.get("IPAddressAllow")).toEqual(["localhost"]);
  });
});

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6";
}

function hasSystemd(): boolean {
  return spawnSync("systemd-analyze", ["--version"]).status === 0;
}

/** What systemd says of the unit with the fence; without systemd, what the list of directives does. */
function complaints(unitText: string): string[] {
  if (!hasSystemd()) {
    parseUnit(unitText);
    return [];
  }
  const answer = spawnSync("systemd-analyze", ["verify", "--man=no", placed(unitText)], { encoding: "utf8" });
  return `${answer.stdout}${answer.stderr}`.split("\n").filter((line) => line !== "");
}

/** systemd's own measure, 0 to 10. */
function exposure(): number {
  const answer = execFileSync("systemd-analyze", ["security", "--offline=true", placed(text)], {
    encoding: "utf8",
  });
  return Number(/exposure level for \S+: ([\d.]+)/.exec(answer)?.[1] ?? Number.NaN);
}

/** The unit where it can be verified: systemd looks whether what it starts is there. */
function placed(unitText: string): string {
  const directory = temporaryDirectory();
  const path = join(directory, "hookd.service");
  writeFileSync(path, unitText.replace("/usr/local/bin/hookd", HOOKD));
  mkdirSync(`${path}.d`);
  cpSync(join(ROOT, "deploy/fence.conf"), join(`${path}.d`, "fence.conf"));
  return path;
}

/** First and last address of a range, and the two beside it. */
function edges(range: string): string[] {
  const [address = "", bits = ""] = range.split("/");
  const isV4 = isIPv4(address);
  const width = isV4 ? 32n : 128n;
  const first = numberOf(address);
  const last = first + (1n << (width - BigInt(bits))) - 1n;
  return [first - 1n, first, last, last + 1n]
    .filter((one) => one >= (isV4 ? 0n : 1n << 96n) && one < 1n << width)
    .map((one) => textOf(one, isV4));
}

function numberOf(address: string): bigint {
  if (isIPv4(address)) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = "", tail = ""] = address.split("::");
  const parts = (part: string) => (part === "" ? [] : part.split(":"));
  const zeros = Array(8 - parts(head).length - parts(tail).length).fill("0");
  return [...parts(head), ...zeros, ...parts(tail)].reduce(
    (sum, part) => sum * 65_536n + BigInt(`0x${part}`),
    0n,
  );
}

function textOf(value: bigint, isV4: boolean): string {
  const [count, bits, radix, dot] = isV4 ? [4, 8n, 10, "."] : [8, 16n, 16, ":"];
  const part = (index: number) =>
    (value >> ((bits as bigint) * BigInt(count - 1 - index))) & ((1n << (bits as bigint)) - 1n);
  return Array.from({ length: count }, (_, index) => part(index).toString(radix)).join(dot);
}
