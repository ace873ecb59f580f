import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/** What Linux tells of a process (proc(5)). */

/** USER_HZ: the unit of CPU times in /proc, on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const KiB = 1_024;

export interface ProcessCpu {
  readonly seconds: number;
  /** By name; threads of the same name together. Node's workers carry the names that they were given. */
  readonly threads: Readonly<Record<string, number>>;
}

/** CPU time of all threads so far; null: the process is gone. */
export function processCpu(pid: number): ProcessCpu | null {
  try {
    const seconds = parseStat(readFileSync(`/proc/${pid}/stat`, "utf8")).seconds;
    const threads: Record<string, number> = {};
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const stat = parseStat(readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8"));
      threads[stat.name] = (threads[stat.name] ?? 0) + stat.seconds;
    }
    return { seconds, threads };
  } catch {
    return null;
  }
}

export const NO_CPU: ProcessCpu = { seconds: 0, threads: {} };

/** Of two processes together. */
export function sumOfCpu(one: ProcessCpu, other: ProcessCpu): ProcessCpu {
  const threads = { ...one.threads };
  for (const [name, seconds] of Object.entries(other.threads)) threads[name] = (threads[name] ?? 0) + seconds;
  return { seconds: one.seconds + other.seconds, threads };
}

/** What all cores did so far, seconds. Stolen: what the machine wanted, and its host gave to others. */
export interface HostCpu {
  readonly seconds: number;
  readonly stolenSeconds: number;
}

/** The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already. */
export function hostCpu(stat: string = readFileSync("/proc/stat", "utf8")): HostCpu {
  const fields = (stat.split("\n", 1)[0] ?? "").trim().split(/\s+/).slice(1, 9).map(Number);
  const ticks = fields.reduce((sum, field) => sum + field, 0);
  return { seconds: ticks / TICKS_PER_SECOND, stolenSeconds: (fields[7] ?? 0) / TICKS_PER_SECOND };
}

export interface ProcessMemory {
  readonly rssBytes: number;
  /** The most that it has had. */
  readonly peakBytes: number;
}

export function processMemory(pid: number): ProcessMemory | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    return { rssBytes: field(status, "VmRSS"), peakBytes: field(status, "VmHWM") };
  } catch {
    return null;
  }
}

/** Bytes of the files in a directory, as they are allocated. 0: it is not there. */
export function directoryBytes(path: string): number {
  try {
    return readdirSync(path, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + (sizeOf(join(entry.parentPath, entry.name)) ?? 0), 0);
  } catch {
    return 0;
  }
}

/** A name may hold spaces and brackets: what counts comes behind the last one. */
export function parseStat(stat: string): { name: string; seconds: number } {
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  return { name: stat.slice(stat.indexOf("(") + 1, end), seconds: ticks / TICKS_PER_SECOND };
}

function field(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * KiB;
}

/** A file may go between two looks. */
function sizeOf(path: string): number | null {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? null : stat.blocks * 512;
}
