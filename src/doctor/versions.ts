import { type Check, ok, problem } from "./check.ts";

/** What hookd is tested with; older ones lack what it uses. */
const NODE_MAJOR_MIN = 24;

export const versions: Check = {
  name: "versions",
  about: "Node.js, and the SQLite that it brings along, are new enough.",
  async run() {
    const node = process.versions.node;
    if (Number(node.split(".")[0]) < NODE_MAJOR_MIN) {
      return problem(
        `this runs on Node.js ${node}; hookd needs ${NODE_MAJOR_MIN} or newer`,
        "start hookd by bin/hookd, which finds the right one, or install that Node.js",
      );
    }
    let sqlite: { version: string; versionMin: string; isEnough: boolean };
    try {
      // Loaded here, so that a Node.js without SQLite is a finding and not the end of doctor.
      const { sqliteVersion } = await import("../store/sqlite/database.ts");
      sqlite = sqliteVersion();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return problem(`SQLite cannot be loaded: ${why}`, "install hookd anew: npm ci");
    }
    if (!sqlite.isEnough) {
      return problem(
        `SQLite ${sqlite.version} can corrupt its log; hookd needs ${sqlite.versionMin} or newer`,
        "install hookd anew: npm ci",
      );
    }
    return ok(`Node.js ${node}, SQLite ${sqlite.version}`);
  },
};
