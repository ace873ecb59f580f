import { statfsSync, statSync } from "node:fs";
import { type Check, ok, problem, warning } from "./check.ts";
import { roundedSize } from "./rounded-size.ts";
import { mayWrite, nearestDirectory } from "./writable.ts";

const GIB = 1_024 ** 3;

export const archive: Check = {
  name: "archive",
  about:
    "`retention.archive_dir`, where it is set, can be written, and the running hookd does write it " +
    "(nothing old is deleted otherwise). Less than 1GiB free is a warning.",
  run({ config, daemon }) {
    const path = config.retention.archiveDir;
    if (path === null) return ok("none: what is old is deleted without being kept (retention.archive_dir)");
    const remedy = `let hookd's user write there, or name another directory: retention.archive_dir`;
    if (daemon?.metric("hookd_archive_failing") === 1) {
      return problem(
        `the running hookd cannot write ${path}: nothing old is deleted, and the disk fills`,
        `${remedy}; it goes on by itself. Its log says what failed`,
      );
    }
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined && !found.isDirectory()) return problem(`${path} is no directory`, remedy);
    const directory = nearestDirectory(path);
    if (!mayWrite(directory)) return problem(`this user cannot write in ${directory}`, remedy);
    const { bavail, bsize } = statfsSync(directory);
    const free = `${roundedSize(bavail * bsize)} free for ${path}`;
    if (bavail * bsize < GIB) return warning(free, "move older files of the archive elsewhere");
    return ok(found === undefined ? `${free}, which hookd makes when it needs it` : free);
  },
};
