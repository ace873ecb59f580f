import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { temporaryDirectory } from "./world.ts";

export const ROOT = new URL("../..", import.meta.url).pathname;
export const HOOKD = join(ROOT, "bin/hookd");

export interface TestDaemon {
  readonly dataDir: string;
  readonly server: string;
  readonly key: string;
  readonly process: ChildProcess;
  /** Standard error so far: the log. */
  log(): string;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<ApiAnswer>;
  /** SIGKILL, then resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any;
}

export interface DaemonOptions {
  readonly dataDir?: string;
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** Port of an earlier daemon, to be found again by webhooks and publishers; default: any free one. */
  readonly port?: number;
  /** False: without --dev, as in production. */
  readonly isDev?: boolean;
  /** Who ends it; default: the end of the test. */
  readonly onEnd?: (end: () => Promise<void>) => void;
}

/** A real `hookd serve` in a process of its own. */
export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  const dataDir = options.dataDir ?? temporaryDirectory();
  const dev = options.isDev === false ? [] : ["--dev"];
  const args = ["serve", ...dev, "--data-dir", dataDir, "--listen", `127.0.0.1:${options.port ?? 0}`];
  const child = spawn(HOOKD, [...args, ...(options.args ?? [])], {
    env: { PATH: process.env.PATH ?? "", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  (options.onEnd ?? onTestFinished)(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const server = await new Promise<string>((resolve, reject) => {
    const look = () => {
      const found = /"address":"(http:[^"]+)".*"msg":"hookd is ready"/.exec(stderr);
      if (found?.[1]) resolve(found[1]);
    };
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk;
      look();
    });
    child.once("exit", (code) => reject(new Error(`hookd serve ended with ${code}:\n${stdout}\n${stderr}`)));
  });
  const key = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
  return {
    dataDir,
    server,
    key,
    process: child,
    log: () => stderr,
    async call(method, path, body, headers = {}) {
      const isRaw = typeof body === "string" || body instanceof Uint8Array;
      const response = await fetch(`${server}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
      });
      const text = await response.text();
      let json: unknown = null;
      try {
        json = JSON.parse(text);
      } catch {
        // Not every answer is JSON.
      }
      return { status: response.status, headers: response.headers, text, json };
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    async stop() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
