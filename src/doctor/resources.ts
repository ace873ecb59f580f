import { readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { type Check, ok, problem, warning } from "./check.ts";
import type { Holder } from "./lock-holder.ts";
import { roundedSize } from "./rounded-size.ts";

const MIB = 1_024 * 1_024;
/** hookd takes 170 MiB without load, and 270 MiB under a light one (docs/PERFORMANCE.md). */
const MEMORY_PROBLEM_MIB = 256;
/** What it took at most under 12,000 events a second. */
const MEMORY_WARNING_MIB = 512;
/** One for the API, one for the store. */
const CORES_MIN = 2;

export const resources: Check = {
  name: "memory and cores",
  about:
    `Memory, by the control group's limit too: less than ${MEMORY_PROBLEM_MIB} MiB is a problem, less than ` +
    `${MEMORY_WARNING_MIB} MiB a warning; so is a single core.`,
  run({ holder }) {
    const bytes = Math.min(totalmem(), groupLimit(holder));
    const cores = availableParallelism();
    const found = `${roundedSize(bytes)} of memory, ${cores} ${cores === 1 ? "core" : "cores"}`;
    const more =
      `give it ${MEMORY_WARNING_MIB} MiB or more: MemoryMax= in a systemd unit, ` +
      "--memory for a container";
    if (bytes < MEMORY_PROBLEM_MIB * MIB) return problem(`${found}: under load hookd will be killed`, more);
    if (bytes < MEMORY_WARNING_MIB * MIB) return warning(`${found}: enough for a light load`, more);
    if (cores < CORES_MIN) {
      return warning(
        `${found}: accepting, storing and sending take turns`,
        "give it two or more for over 1,000 events a second",
      );
    }
    return ok(found);
  },
};

/** The running hookd's own limit, which may be another than this shell's; control groups of version 2. */
function groupLimit(holder: Holder): number {
  // Node gives a number beyond all memory where there is no limit, and 0 where it cannot tell.
  const own = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  if (holder.kind !== "process") return own;
  try {
    const group = /^0::(.*)$/m.exec(readFileSync(`/proc/${holder.pid}/cgroup`, "utf8"))?.[1] ?? "";
    const text = readFileSync(`/sys/fs/cgroup${group}/memory.max`, "utf8").trim();
    return text === "max" ? Number.POSITIVE_INFINITY : Number(text);
  } catch {
    return own;
  }
}
