import type { Command } from "commander";
import { BUILD, VERSION } from "../version.ts";
import { addCommand, type Call, run } from "./command.ts";
import { printFields } from "./table.ts";

export function addVersionCommand(program: Command): void {
  addCommand(program, "version", "Print the version, and what this hookd is made of", [
    "hookd version",
    "hookd version --json",
  ])
    .option("--json", "print it as JSON")
    .action(run<[], { json?: boolean }>(version));
}

async function version({ options, terminal }: Call<[], { json?: boolean }>): Promise<void> {
  const info = {
    version: VERSION,
    commit: BUILD.commit,
    built_at: BUILD.builtAt,
    node: process.versions.node,
    sqlite: BUILD.sqlite ?? (await ownSqlite()),
    platform: process.platform,
    arch: process.arch,
  };
  if (options.json === true) return terminal.json(JSON.stringify(info));
  printFields(terminal, [
    ["hookd", info.version],
    ["commit", info.commit ?? "unknown: it runs from its sources"],
    ["built", info.built_at],
    ["node", info.node],
    ["sqlite", info.sqlite ?? "cannot be loaded: run npm ci"],
    ["platform", `${info.platform} ${info.arch}`],
  ]);
}

/** Null where it cannot be loaded: the version is what is asked for when something is wrong. */
async function ownSqlite(): Promise<string | null> {
  try {
    const { sqliteVersion } = await import("../store/sqlite/database.ts");
    return sqliteVersion().version;
  } catch {
    return null;
  }
}
