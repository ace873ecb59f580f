import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { onTestFinished } from "vitest";
import { connect } from "../../src/store/sqlite/connection.ts";
import { HOOKD, startDaemon, type TestDaemon } from "../support/daemon.ts";
import { type DnsAnswer, type DnsQuery, startDnsServer } from "../support/dns-server.ts";
import { temporaryDirectory } from "../support/world.ts";

export interface FoundByDoctor {
  readonly name: string;
  readonly state: "ok" | "warning" | "problem" | "skipped";
  readonly finding: string;
  readonly remedy: string | null;
}

export interface Diagnosis {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly findings: readonly FoundByDoctor[];
  /** Names of the checks that found a problem. */
  readonly problems: readonly string[];
  of(name: string): FoundByDoctor;
}

export interface Patient {
  readonly dataDir: string;
  /** Configuration of a hookd that has nothing wrong with it, but for what a test adds. */
  readonly config: string;
  /** Environment of doctor and daemon. */
  readonly env: Record<string, string>;
  /** `command`: what runs hookd; the default is hookd itself. */
  examine(args?: readonly string[], command?: readonly [string, ...string[]]): Promise<Diagnosis>;
  start(): Promise<TestDaemon>;
  /** Runs hookd once, so that there is a database with its keys, and stops it. */
  startAndStop(): Promise<void>;
  /** Changes the database while hookd does not run. */
  change(sql: string): void;
}

/** Every name is this machine. */
const toLoopback = ({ type }: DnsQuery): DnsAnswer => (type === "A" ? [{ type, data: "127.0.0.1" }] : []);

/**
 * A hookd of its own: a data directory, and a configuration whose name server answers. `yaml`: what else it
 * says.
 */
export async function setup(yaml = ""): Promise<Patient> {
  const root = temporaryDirectory();
  const dataDir = join(root, "data");
  const config = join(root, "hookd.yaml");
  const dns = await startDnsServer(toLoopback);
  onTestFinished(() => dns.close());
  const isNet = yaml.includes("net:");
  writeFileSync(
    config,
    `listen: 127.0.0.1:0\n${isNet ? "" : `net: {dns_servers: ["${dns.address}"]}\n`}${yaml}`,
  );
  const env: Record<string, string> = { HOOKD_CONFIG: config, HOOKD_DATA_DIR: dataDir };
  const start = () => startDaemon({ dataDir, env });
  return {
    dataDir,
    config,
    env,
    async examine(args = [], [program, ...before] = [HOOKD]) {
      const { exitCode, stdout, stderr } = await execa(program, [...before, "doctor", "--json", ...args], {
        env: { PATH: process.env.PATH ?? "", ...env },
        extendEnv: false,
        reject: false,
      });
      const findings: FoundByDoctor[] = stdout === "" ? [] : JSON.parse(stdout).findings;
      return {
        exitCode,
        stderr,
        findings,
        problems: findings.filter(({ state }) => state === "problem").map(({ name }) => name),
        of: (name) => findings.find((finding) => finding.name === name)!,
      };
    },
    start,
    async startAndStop() {
      const daemon = await start();
      await daemon.stop();
    },
    change(sql) {
      const db = connect(join(dataDir, "hookd.db"));
      db.exec(sql);
      db.close();
    },
  };
}

/** Every file's name, mode and bytes: what doctor must leave as it is. */
export function contentsOf(directory: string): string[] {
  return readdirSync(directory)
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
      return `${name} ${statSync(path).mode.toString(8)} ${digest}`;
    });
}
