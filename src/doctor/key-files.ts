import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Check, ok, problem, skipped } from "./check.ts";

const OPEN_TO_OTHERS = 0o077;

export const keyFiles: Check = {
  name: "key files",
  about: "master.key, admin.key and the database may be read by hookd's user only.",
  run({ config: { dataDir }, masterKeyPath, adminKeyPath }) {
    const paths = [masterKeyPath, adminKeyPath, ...databaseFiles(dataDir)];
    const present = paths.flatMap((path) => {
      const found = statSync(path, { throwIfNoEntry: false });
      return found === undefined ? [] : [{ path, mode: found.mode }];
    });
    if (present.length === 0) return skipped("there are none yet");
    const open = present.filter(({ mode }) => (mode & OPEN_TO_OTHERS) !== 0);
    if (open.length === 0) return ok("only their owner may read them");
    return problem(
      `others may read or change ${open.map(({ path, mode }) => `${path} (mode ${octal(mode)})`).join(", ")}`,
      `chmod 600 ${open.map(({ path }) => path).join(" ")}; if strangers use this machine, make new keys`,
    );
  },
};

function databaseFiles(dataDir: string): string[] {
  try {
    return readdirSync(dataDir)
      .filter((name) => name.startsWith("hookd.db"))
      .map((name) => join(dataDir, name));
  } catch {
    return [];
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8);
}
