import { statfsSync } from "node:fs";
import { writableBytes } from "../domain/disk-space.ts";
import { formatSize } from "../lib/units.ts";
import { type Check, type Installation, ok, problem, warning } from "./check.ts";
import { peek } from "./database.ts";
import { roundedSize } from "./rounded-size.ts";
import { nearestDirectory } from "./writable.ts";

/** With less than this many times limits.disk_free left, it is time to do something. */
const WARNING_FACTOR = 2;

export const diskSpace: Check = {
  name: "disk space",
  about:
    "More is left on the disk, and in what deleting left of the database's file, than `limits.disk_free`, below which " +
    "events are refused (a warning below twice that).",
  run(site) {
    const directory = nearestDirectory(site.config.dataDir);
    const { bavail, bsize } = statfsSync(directory);
    const limit = site.config.limits.diskFreeBytes;
    const free = writableBytes(bavail * bsize, reusableBytes(site), limit);
    const found = `${roundedSize(free)} free for ${directory}; limits.disk_free is ${formatSize(limit)}`;
    const remedy =
      "free space or enlarge the disk; keep less: retention.success, retention.dead, `hookd dlq purge`; " +
      "or lower limits.disk_free";
    if (free < limit) return problem(`${found}: events are refused with 503 until there is more`, remedy);
    if (free < limit * WARNING_FACTOR) return warning(found, remedy);
    return ok(found);
  },
};

/** None where the file cannot be read: another check says so. */
function reusableBytes(site: Installation): number {
  const look = peek(site);
  return look.kind === "facts" ? (look.facts?.reusableBytes ?? 0) : 0;
}
