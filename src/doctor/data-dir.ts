import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Check, type Finding, ok, problem, warning } from "./check.ts";
import { mayWrite, nearestDirectory } from "./writable.ts";

const WRITABLE_BY_OTHERS = 0o022;
const OPEN_TO_OTHERS = 0o077;

export const dataDirectory: Check = {
  name: "data directory",
  about:
    "It is there, or can be made; this user can write in it; all in it belongs to its owner; others cannot " +
    "write in it (a warning where they can read it).",
  run({ config: { dataDir } }) {
    const found = statSync(dataDir, { throwIfNoEntry: false });
    if (found === undefined) return missing(dataDir);
    if (!found.isDirectory()) {
      return problem(`${dataDir} is no directory`, "name another one: data_dir, or --data-dir");
    }
    if (!mayWrite(dataDir)) {
      return problem(
        `user ${process.getuid?.()} cannot write in ${dataDir}, which belongs to user ${found.uid}`,
        `run hookd, and its doctor, as its owner (sudo -u '#${found.uid}' hookd doctor), or give it away: ` +
          `chown -R ${process.getuid?.()} ${dataDir}`,
      );
    }
    return (
      foreignFiles(dataDir, found.uid) ?? openDirectory(dataDir, found.mode) ?? owned(dataDir, found.uid)
    );
  },
};

function missing(dataDir: string): Finding {
  const parent = nearestDirectory(dataDir);
  if (mayWrite(parent)) return ok(`${dataDir} is not there yet: the first \`hookd serve\` makes it`);
  return problem(
    `${dataDir} is not there, and user ${process.getuid?.()} cannot make it in ${parent}`,
    `make it as root, for hookd's user: install -d -m 700 -o USER ${dataDir}; or name another: --data-dir`,
  );
}

/** A file that root left behind is one that hookd, as another user, can never open again. */
function foreignFiles(dataDir: string, uid: number): Finding | null {
  const foreign = readdirSync(dataDir).filter(
    (name) => statSync(join(dataDir, name), { throwIfNoEntry: false })?.uid !== uid,
  );
  if (foreign.length === 0) return null;
  return problem(
    `${dataDir} belongs to user ${uid}, but not ${foreign.slice(0, 5).join(", ")} in it`,
    `give all of it to one user: chown -R ${uid} ${dataDir}`,
  );
}

function openDirectory(dataDir: string, mode: number): Finding | null {
  const shown = (mode & 0o777).toString(8);
  if ((mode & WRITABLE_BY_OTHERS) !== 0) {
    return problem(
      `others may write in ${dataDir} (mode ${shown}), so they can put another key or database there`,
      `chmod 700 ${dataDir}`,
    );
  }
  if ((mode & OPEN_TO_OTHERS) !== 0) {
    return warning(`others may look into ${dataDir} (mode ${shown})`, `chmod 700 ${dataDir}`);
  }
  return null;
}

function owned(dataDir: string, uid: number): Finding {
  const own = process.getuid?.();
  return ok(uid === own ? dataDir : `${dataDir}, of user ${uid} (this is user ${own})`);
}
