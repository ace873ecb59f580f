import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, type TestContext } from "vitest";
import type { BenchResult } from "../../src/bench/result.ts";
import { hookd } from "../cli/support.ts";
import { until } from "../support/world.ts";

const SHORT = [
  ...["bench", "--rate", "200", "--duration", "2s", "--warm-up", "1s", "--calibrate", "0"],
  ...["--webhooks", "10", "--quiet"],
];

// They run at once, and each starts a daemon: on a machine with other work that takes its time.
describe.concurrent("hookd bench", { timeout: 60_000 }, () => {
  it("measures a run, prints nothing but its JSON, and leaves nothing behind", async (context) => {
    const [directory, saved] = [temporaryDirectory(context), temporaryDirectory(context)];
    const report = join(saved, "page.html");
    const more = ["--json", "--save", saved, "--report", report, "--data-dir", join(directory, "data")];
    const { stdout, stderr, exitCode } = await hookd([...SHORT, ...more], { env: { TMPDIR: directory } });
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    const result = JSON.parse(stdout) as BenchResult;
    const [run] = result.runs;
    expect(run?.ledger).toMatchObject({
      offered: 600,
      accepted: 600,
      delivered: 600,
      lost: 0,
      duplicated: 0,
      unexpected: 0,
      wrong: 0,
      unknown: 0,
    });
    expect(run?.window).toMatchObject({ offered: 400, accepted: 400 });
    expect(run?.window.receive.count).toBe(400);
    expect(run?.series.length).toBeGreaterThan(2);
    expect(JSON.parse(readFileSync(join(saved, "run.json"), "utf8"))).toEqual(result);
    expect(readFileSync(report, "utf8")).toContain("hookd bench: run");
    expect(readdirSync(directory)).toEqual([]);
  });

  it("finds a planted loss, exits 1, and empties a directory that was there before", async (context) => {
    const directory = temporaryDirectory(context);
    const more = ["--plant-loss", "3", "--drain-max", "1s", "--data-dir", directory];
    const { stdout, exitCode } = await hookd([...SHORT, "--json", ...more]);
    const [run] = (JSON.parse(stdout) as BenchResult).runs;
    expect(run?.ledger).toMatchObject({ accepted: 600, delivered: 540, lost: 60 });
    expect(exitCode).toBe(1);
    expect(readdirSync(directory)).toEqual([]);
  });

  it("counts batches event by event, and what failing receivers are owed as kept", async () => {
    const { stdout, exitCode } = await hookd([...SHORT, "--json", "--batch", "20", "--failing", "20%"]);
    const [run] = (JSON.parse(stdout) as BenchResult).runs;
    expect(run?.ledger).toMatchObject({ accepted: 600, delivered: 480, kept: 120, lost: 0 });
    expect(exitCode).toBe(0);
  });

  it("stops at once with Ctrl-C, says what it knows, and takes daemon and files with it", async (context) => {
    const directory = temporaryDirectory(context);
    const running = hookd(
      ["bench", "--rate", "100", "--duration", "10m", "--calibrate", "0", "--webhooks", "5"],
      {
        env: { TMPDIR: directory },
      },
    );
    await until("the daemon runs", () => daemonLogs(directory).includes("hookd is ready"));
    running.kill("SIGINT");
    const { exitCode } = await running;
    expect(exitCode).toBe(130);
    expect(readdirSync(directory)).toEqual([]);
    expect(processesWith(directory)).toEqual([]);
  });

  it("leaves no daemon behind when it is itself killed", async (context) => {
    const directory = temporaryDirectory(context);
    const running = hookd([...SHORT, "--duration", "10m"], { env: { TMPDIR: directory } });
    await until("the daemon runs", () => daemonLogs(directory).includes("hookd is ready"));
    const daemons = processesWith(directory);
    context.onTestFinished(() => killAll(daemons));
    expect(daemons).toHaveLength(1);
    running.kill("SIGKILL");
    expect(await running).toMatchObject({ signal: "SIGKILL" });
    await until("the daemon is gone", () => processesWith(directory).length === 0);
  });

  it("does not touch a data directory that somebody uses", async (context) => {
    const directory = temporaryDirectory(context);
    writeFileSync(join(directory, "mine"), "mine");
    const { stderr, exitCode } = await hookd([...SHORT, "--data-dir", directory]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("is not empty");
    expect(readdirSync(directory)).toEqual(["mine"]);
  });

  it.each([
    [["--rate", "fast"], "Expected a whole number"],
    [["--duration", "30"], "Expected a number and a unit"],
    [["--duration", "0s"], "more than nothing"],
    [["--payload", "10B"], "from 64B to 256KiB"],
    [["--failing", "60%", "--hanging", "60%"], "more than all webhooks"],
    [["--rate", "10", "--batch", "100"], "takes more than a second to fill"],
    [["--failing", "1%", "--webhooks", "10"], "is none of them"],
    [["--origins", "10", "--webhooks", "5"], "need as many --webhooks"],
    [["--max", "--rate", "100"], "leave out --rate"],
    [["--max", "--hanging", "10%"], "leave out --failing and --hanging"],
    [["--scenario", "max", "--calibrate", "0"], "leave out --calibrate"],
    [["--scale", "0.1"], "--scale is for a --scenario"],
    [["--scenario", "calm"], "there is no scenario calm"],
    [["--scenario", "steady", "--webhooks", "5"], "leave out --webhooks"],
    [["--scenario", "flood", "--rate", "5"], "leave out --rate"],
    [["--scenario", "steady", "--max"], "leave out --max"],
  ] as const)("%j is a mistake, and exits 2", async (args, message) => {
    const { stderr, exitCode } = await hookd(["bench", ...args]);
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});

/** Deleted after the test that it was made for: of several at once, only its context tells which that is. */
function temporaryDirectory({ onTestFinished }: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "hookd-test-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function daemonLogs(directory: string): string {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("daemon-1.log"))
    .map((path) => readFileSync(join(directory, path), "utf8"))
    .join("");
}

/** What a failed test left. */
function killAll(pids: readonly string[]): void {
  for (const pid of pids) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It is gone, as it should be.
    }
  }
}

/** Processes whose command line has this in it. */
function processesWith(text: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false;
      }
    });
}
