import { describe, expect, it } from "vitest";
import { connect } from "../../src/store/sqlite/connection.ts";
import { VERSION } from "../../src/version.ts";
import { hookd } from "./support.ts";

describe("hookd version", () => {
  it("tells what it is made of, and with --version the version alone", async () => {
    const db = connect(":memory:");
    const sqlite = db.pluck("select sqlite_version()").get();
    db.close();
    const { stdout, exitCode } = await hookd(["version", "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      version: VERSION,
      // From its sources: a build puts them in.
      commit: null,
      built_at: null,
      node: process.versions.node,
      sqlite,
      platform: process.platform,
      arch: process.arch,
    });
    expect((await hookd(["version"])).stdout).toContain(`hookd\t${VERSION}\ncommit\tunknown`);
    expect((await hookd(["--version"])).stdout).toBe(`${VERSION}\n`);
  });
});
