import { type ChildProcess, execFile, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { inject, onTestFinished } from "vitest";
import { ROOT } from "./daemon.ts";
import { temporaryDirectory, until } from "./world.ts";

const BUILD_MAX_MS = 120_000;

/** Path of the binary, as `npm run build` makes it. The first test of a run that asks builds it, the others wait. */
export async function builtBinary(): Promise<string> {
  const directory = inject("binaryDirectory");
  const [path, failure] = [join(directory, "hookd"), join(directory, "failure")];
  if (isFirst(directory)) {
    await promisify(execFile)(process.execPath, [join(ROOT, "scripts/build.ts"), path]).catch((error) => {
      writeFileSync(`${failure}.new`, `${error.stdout}${error.stderr}`);
      renameSync(`${failure}.new`, failure);
    });
  }
  await until("the binary is built", () => existsSync(path) || existsSync(failure), BUILD_MAX_MS);
  if (existsSync(failure)) throw new Error(`the binary cannot be built:\n${readFileSync(failure, "utf8")}`);
  return path;
}

function isFirst(directory: string): boolean {
  try {
    mkdirSync(join(directory, "lock"));
    return true;
  } catch {
    return false;
  }
}

export interface Running {
  readonly process: ChildProcess;
  stdout(): string;
  stderr(): string;
  /** Resolves when it has ended. */
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

export interface Place {
  /** Empty at first, and the working directory. */
  readonly directory: string;
  run(args: readonly string[], env?: Record<string, string>): Running;
  /** The same for a shell, in a terminal say: a program with what it is called with. */
  command(args: readonly string[]): readonly string[];
}

/**
 * Where nothing but the binary was copied: an empty directory and environment, and, where the tests run as root, a user
 * that the machine does not know.
 */
export async function barePlace(): Promise<Place> {
  const binary = await builtBinary();
  const directory = temporaryDirectory();
  const user = unknownUser();
  chmodSync(directory, 0o700);
  if (user !== null) chownSync(directory, user.uid, user.gid);
  const as = user === null ? [] : ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
  return {
    directory,
    run: (args, env = {}) => start(binary, args, { cwd: directory, env, ...user }),
    command: (args) => [...as, "env", "-i", `--chdir=${directory}`, binary, ...args],
  };
}

/** Resolves with its address when a `serve` takes requests. */
export function serving(daemon: Running): Promise<string> {
  return until(
    "it serves",
    () => {
      const { exitCode, signalCode } = daemon.process;
      if (exitCode !== null || signalCode !== null)
        throw new Error(`hookd serve ended with ${exitCode ?? signalCode}:\n${daemon.stderr()}`);
      return /"address":"(http:[^"]+)".*"msg":"hookd is ready"/.exec(daemon.stderr())?.[1];
    },
    60_000,
  );
}

/** Null where the tests may not start a process as somebody else. */
export function unknownUser(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const id = inject("unknownUid");
  return { uid: id, gid: id };
}

export function start(
  file: string,
  args: readonly string[],
  options: { cwd: string; env: Record<string, string>; uid?: number; gid?: number },
): Running {
  const child = spawn(file, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return { process: child, stdout: () => stdout, stderr: () => stderr, ended };
}
