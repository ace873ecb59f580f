import { readFileSync } from "node:fs";

/** Files and sockets that this process may have open (proc(5), limits); Infinity where that cannot be told. */
export function openFilesMax(limits: () => string = () => readFileSync("/proc/self/limits", "utf8")): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(limits());
    return found ? Number(found[1]) : Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
