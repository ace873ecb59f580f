import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { OwnCommand } from "../lib/embedded.ts";
import { tellToEndWithParent } from "./end-with-parent.ts";
import { monoMs } from "./mono.ts";
import { NO_CPU, type ProcessCpu, processCpu, sumOfCpu } from "./proc.ts";

/** How to run hookd: the bench measures the executable that it is part of. */
export interface HostProgram extends OwnCommand {
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface DaemonSettings {
  readonly dataDir: string;
  /** For the configuration and the log: not on the disk that is measured. */
  readonly workDir: string;
  /** Besides the program's own. */
  readonly env: Readonly<Record<string, string>>;
}

const READY = /"address":"http:\/\/([^":]+):(\d+)".*"msg":"hookd is ready"/;
const POLL_MS = 5;
const START_MAX_MS = 600_000;
const STOP_MAX_MS = 60_000;
const LOG_SHOWN = 3_000;

/**
 * The daemon that is measured, a child process. It can be killed and started again on the same data and port; it ends
 * when the bench does, however that ends.
 */
export class DaemonProcess {
  readonly #program: HostProgram;
  readonly #settings: DaemonSettings;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #starts = 0;
  host = "127.0.0.1";
  port = 0;
  key = "";
  /** Of the next start. */
  configFile: string | null = null;
  /** It ended without being told to. */
  hasFailed = false;
  /** Times that it was killed in a way that it could not prepare for. */
  crashes = 0;
  #isExpectedToEnd = false;
  /** Of the processes that were ended. */
  #cpuBefore = NO_CPU;
  #keptPid = 0;

  constructor(program: HostProgram, settings: DaemonSettings) {
    this.#program = program;
    this.#settings = settings;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null;
  }

  /** CPU time of all threads so far, of the processes before this one too; what one took to end is not in it. */
  get cpu(): ProcessCpu {
    const isKept = this.pid === this.#keptPid;
    return sumOfCpu(this.#cpuBefore, (isKept ? null : processCpu(this.pid)) ?? NO_CPU);
  }

  /** Milliseconds from the start of the process until it took requests. */
  async start(): Promise<number> {
    const { configFile } = this;
    const { dataDir, workDir, env } = this.#settings;
    this.#starts += 1;
    const logFile = join(workDir, `daemon-${this.#starts}.log`);
    // A file and not a pipe: a daemon that logs much must not wait until the bench reads it.
    const log = openSync(logFile, "w");
    const begunMono = monoMs();
    const args = ["serve", "--dev", "--data-dir", dataDir, "--listen", `127.0.0.1:${this.port}`];
    const config = configFile === null ? [] : ["--config", configFile];
    const child = spawn(this.#program.file, [...this.#program.args, ...args, ...config], {
      env: { ...this.#program.env, ...env },
      stdio: ["ignore", log, log, "ipc"],
    });
    closeSync(log);
    tellToEndWithParent(child);
    this.#child = child;
    this.#isExpectedToEnd = false;
    this.#exited = new Promise((resolve) => {
      const ended = () => {
        if (this.#child === child) this.#child = null;
        this.hasFailed ||= !this.#isExpectedToEnd;
        resolve();
      };
      child.once("exit", ended);
      child.once("error", ended);
    });
    await this.#ready(logFile, begunMono);
    this.key = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
    return monoMs() - begunMono;
  }

  /** SIGKILL in the middle of its work. */
  async crash(): Promise<void> {
    this.crashes += 1;
    await this.kill();
  }

  /** SIGKILL, at the end. */
  async kill(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#keepCpu();
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM: it finishes what is in flight; killed when it takes longer than that may. */
  async stop(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#keepCpu();
    this.#child?.kill("SIGTERM");
    const isGone = await Promise.race([
      this.#exited.then(() => true),
      sleep(STOP_MAX_MS, false, { ref: false }),
    ]);
    if (!isGone) await this.kill();
  }

  /** For the end of this process: no time to wait. */
  killNow(): void {
    this.#isExpectedToEnd = true;
    this.#child?.kill("SIGKILL");
  }

  /** Once for each process, however often it is told to end. */
  #keepCpu(): void {
    const pid = this.pid;
    if (pid === 0 || pid === this.#keptPid) return;
    this.#cpuBefore = this.cpu;
    this.#keptPid = pid;
  }

  lastWords(): string {
    return tail(join(this.#settings.workDir, `daemon-${this.#starts}.log`));
  }

  async #ready(logFile: string, begunMono: number): Promise<void> {
    while (this.#child !== null && monoMs() - begunMono < START_MAX_MS) {
      const found = READY.exec(readFileSync(logFile, "utf8"));
      if (found !== null) {
        this.host = String(found[1]);
        this.port = Number(found[2]);
        return;
      }
      await sleep(POLL_MS);
    }
    throw new Error(`hookd serve did not start:\n${tail(logFile)}`);
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, "utf8").slice(-LOG_SHOWN);
  } catch {
    return "";
  }
}
