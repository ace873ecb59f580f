import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { HOOKD } from "../support/daemon.ts";
import { temporaryDirectory, until } from "../support/world.ts";

/** A daemon that was started on a terminal: `script` makes one, and takes it away when it ends. */
async function onTerminal(logLevel = "info") {
  const dataDir = temporaryDirectory();
  const pidFile = join(dataDir, "pid");
  const command = `echo $$ > ${pidFile}; exec ${HOOKD} serve --dev --data-dir ${dataDir}/data --listen 127.0.0.1:0`;
  const terminal = spawn("script", ["-qfc", command, "/dev/null"], {
    env: { ...process.env, HOOKD_LOG_LEVEL: logLevel },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let screen = "";
  terminal.stdout.on("data", (chunk: Buffer) => {
    screen += chunk;
  });
  const pid = await until("it has a pid", () => existsSync(pidFile) && Number(readFileSync(pidFile, "utf8")));
  onTestFinished(() => {
    terminal.kill("SIGKILL");
    if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  await until("it is ready", () => screen.includes("hookd listens on"));
  return { pid, screen: () => screen, close: () => terminal.kill("SIGKILL") };
}

describe("SIGHUP, for a daemon on a terminal,", () => {
  it("reads the configuration again while the terminal is there", async () => {
    const { pid, screen } = await onTerminal();
    process.kill(pid, "SIGHUP");
    await until("it is read", () => screen().includes("the configuration was read again"));
    expect(isRunning(pid)).toBe(true);
  });

  it("ends it when the terminal is gone, so that nothing stays behind a window that was closed", async () => {
    // A line of the log that cannot be written would end it too.
    const { pid, close } = await onTerminal("silent");
    close();
    await until("it has ended", () => !isRunning(pid));
  });
});

it("a SIGHUP while hookd starts is kept until it has", async () => {
  const dataDir = temporaryDirectory();
  const daemon = spawn(HOOKD, ["serve", "--dev", "--data-dir", dataDir, "--listen", "127.0.0.1:0"]);
  onTestFinished(() => void daemon.kill("SIGKILL"));
  let log = "";
  daemon.stderr.on("data", (chunk: Buffer) => {
    log += chunk;
  });
  // As soon as the signal would not end the process any more: the lowest bit of what it catches.
  await until("it listens for signals", () => {
    const caught =
      /^SigCgt:\s+([\da-f]+)$/m.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))?.[1] ?? "0";
    return Number.parseInt(caught.slice(-1), 16) % 2 === 1;
  });
  expect(log).not.toContain("hookd is ready");
  daemon.kill("SIGHUP");
  await until("it is read", () => log.includes("the configuration was read again"));
  expect(log.indexOf("hookd is ready")).toBeLessThan(log.indexOf("the configuration was read again"));
});

/** A zombie that nobody waits for has ended too. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
