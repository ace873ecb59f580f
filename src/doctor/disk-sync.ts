import { unlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type Check, type Finding, ok, problem, skipped, warning } from "./check.ts";
import { mayWrite, nearestDirectory } from "./writable.ts";

const SYNCS = 20;
/** As much as a commit of a few events adds to the log. */
const APPEND_BYTES = 4_096;
/** A disk so slow is known by then: the rest is not waited for. */
const LIMIT_MS = 5_000;
/**
 * Every 202 waits for a sync. A disk with a write cache or flash takes 0.1-10 ms; a spinning one up to 20.
 */
const MEDIAN_WARNING_MS = 20;
/**
 * A tenth of what 12,000 events a second take to fill the 20,000 places of those that wait for a commit: the
 * next slow moment refuses events.
 */
const MEDIAN_PROBLEM_MS = 200;
/** Others keep the disk busy now and then. */
const WORST_WARNING_MS = 500;

export const diskSync: Check = {
  name: "disk sync",
  about:
    `${SYNCS} small appends in the data directory are synced (fdatasync), as every commit is. A warning ` +
    `over ${MEDIAN_WARNING_MS} ms (median) or ${WORST_WARNING_MS} ms (worst), a problem over ` +
    `${MEDIAN_PROBLEM_MS} ms (median).`,
  async run(site, tell) {
    const directory = nearestDirectory(site.config.dataDir);
    if (!mayWrite(directory)) return skipped(`this user cannot write in ${directory}`);
    const tookMs = await measure(directory, tell);
    tookMs.sort((a, b) => a - b);
    return judge(tookMs[Math.floor(tookMs.length / 2)] ?? 0, tookMs.at(-1) ?? 0, tookMs.length);
  },
};

/** The file has no name while it is written, so whatever ends doctor, nothing stays behind. */
async function measure(directory: string, tell: (progress: string) => void): Promise<number[]> {
  const path = join(directory, `.doctor-${process.pid}`);
  const file = await open(path, "wx", 0o600);
  try {
    unlinkSync(path);
    const bytes = Buffer.alloc(APPEND_BYTES, 1);
    const tookMs: number[] = [];
    const startedMono = performance.now();
    while (tookMs.length < SYNCS && performance.now() - startedMono < LIMIT_MS) {
      tell(`sync ${tookMs.length + 1} of ${SYNCS}`);
      await file.write(bytes);
      const beforeMono = performance.now();
      await file.datasync();
      tookMs.push(performance.now() - beforeMono);
    }
    return tookMs;
  } finally {
    await file.close();
  }
}

function judge(medianMs: number, worstMs: number, count: number): Finding {
  const found = `a sync takes ${shown(medianMs)} (median of ${count}), ${shown(worstMs)} at worst`;
  const remedy =
    "put data_dir on a local SSD, not on a network disk, nor on one that others keep busy (iostat -x 1 " +
    "shows that); give a throttled cloud disk more IOPS";
  if (medianMs > MEDIAN_PROBLEM_MS) {
    return problem(`the disk is too slow: ${found}; every accepted event waits for one`, remedy);
  }
  if (medianMs > MEDIAN_WARNING_MS || worstMs > WORST_WARNING_MS) {
    return warning(`the disk is slow: ${found}; every accepted event waits for one`, remedy);
  }
  return ok(found);
}

function shown(ms: number): string {
  return ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
}
