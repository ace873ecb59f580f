// npm run build: hookd as one file, build/hookd or the path given. Nothing of the machine that it is built on ends up in it;
// SOURCE_DATE_EPOCH says another time than now (https://reproducible-builds.org/specs/source-date-epoch/).
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { TEXTS } from "../src/lib/embedded.ts";
import type { Build } from "../src/version.ts";
import { bundle } from "./build/bundles.ts";
import { makeExecutable } from "./build/executable.ts";
import { assertNode } from "./run.ts";

const BYTES_MAX = 130_000_000;
const STARTS = 10;

const root = resolve(import.meta.dirname, "..");

assertNode();
const output = resolve(process.argv[2] ?? join(root, "build/hookd"));
mkdirSync(dirname(output), { recursive: true });
// Beside the output: what is ready gets its name at once, also where an older one is running.
const workDir = mkdtempSync(join(dirname(output), ".build-"));
try {
  const draft = join(workDir, "hookd");
  await buildTo(draft, workDir);
  const { size } = statSync(draft);
  if (size > BYTES_MAX)
    throw new Error(`the binary has ${megabytes(size)}, and may have ${megabytes(BYTES_MAX)}`);
  renameSync(draft, output);
  const ms = startMedianMs(output).toFixed(0);
  console.log(
    `${relative(process.cwd(), output)}: ${megabytes(size)}, --version takes ${ms} ms (median of ${STARTS})`,
  );
} finally {
  rmSync(workDir, { recursive: true, force: true });
}

async function buildTo(path: string, directory: string): Promise<void> {
  const told: Build = { commit: commit(), builtAt: builtAt(), sqlite: process.versions.sqlite ?? "" };
  const { atStart, atRun } = nodeFlags();
  const { main, threads } = await bundle(root, join(directory, "bundles"), told, atRun);
  const texts = Object.entries(TEXTS).map(([name, from]) => [name, textPath(from)]);
  const assets = { ...threads, ...Object.fromEntries(texts) };
  await makeExecutable({ main, assets, execArgv: atStart }, path, directory);
}

/** As src/lib/embedded.ts finds it. */
function textPath(from: string): string {
  return from.startsWith(".") ? join(root, "src/lib", from) : fileURLToPath(import.meta.resolve(from));
}

/**
 * The flags that bin/hookd gives to Node. Some are needed when the first heap is made, and may be given with the file; the
 * others are looked at by each collection, and the program sets them first of all.
 */
function nodeFlags(): { atStart: string[]; atRun: string[] } {
  const found = /^exec "\$node" (--.+?) "\$root\//m.exec(readFileSync(join(root, "bin/hookd"), "utf8"));
  if (found?.[1] === undefined) throw new Error("bin/hookd does not tell the flags that it gives to Node");
  const flags = found[1].split(" ");
  const isForStart = (flag: string) => process.allowedNodeEnvironmentFlags.has(flag.replace(/=.*/, ""));
  return { atStart: flags.filter(isForStart), atRun: flags.filter((flag) => !isForStart(flag)) };
}

/** Null outside of a repository. */
function commit(): string | null {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const isChanged = git("status", "--porcelain", "--", "bin", "src", "scripts", "package-lock.json") !== "";
    return `${git("rev-parse", "HEAD")}${isChanged ? "+" : ""}`;
  } catch {
    return null;
  }
}

function builtAt(): string {
  const { SOURCE_DATE_EPOCH = "" } = process.env;
  const at = SOURCE_DATE_EPOCH === "" ? new Date() : new Date(Number(SOURCE_DATE_EPOCH) * 1_000);
  return `${at.toISOString().slice(0, 19)}Z`;
}

function startMedianMs(path: string): number {
  const times = Array.from({ length: STARTS }, () => {
    const begun = performance.now();
    execFileSync(path, ["--version"], { env: {} });
    return performance.now() - begun;
  }).toSorted((a, b) => a - b);
  return ((times[STARTS / 2 - 1] ?? 0) + (times[STARTS / 2] ?? 0)) / 2;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
