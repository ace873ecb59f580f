import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import {
  type Asked,
  type Check,
  type Finding,
  type Installation,
  ok,
  problem,
  skipped,
  warning,
} from "./check.ts";
import { CHECKS, CONFIGURATION } from "./checks.ts";
import { askDaemon, locateDaemon } from "./daemon-answers.ts";
import { holderOf } from "./lock-holder.ts";

/** A finding with the check that made it. */
export interface Report extends Finding {
  readonly name: string;
}

export interface Listener {
  /** A check begins, or tells how far it is. */
  onProgress(name: string, progress: string): void;
  onReport(report: Report): void;
}

/**
 * Makes every check, one after the other. Changes nothing: the database is not opened, and the one file that
 * is written, to see how fast the disk is, has no name.
 */
export async function examine(asked: Asked, listener: Listener): Promise<readonly Report[]> {
  const reports: Report[] = [];
  const report = (name: string, finding: Finding) => {
    const made = { name, ...finding };
    reports.push(made);
    listener.onReport(made);
  };
  const config = configOf(asked);
  report(CONFIGURATION.name, config.finding);
  if (config.value === null) return reports;
  const site = await visit(asked, config.value);
  for (const check of CHECKS) {
    const tell = (progress: string) => listener.onProgress(check.name, progress);
    tell("");
    report(check.name, await make(check, site, tell));
  }
  return reports;
}

function configOf({ source }: Asked): { value: Config | null; finding: Finding } {
  const file = source.file ?? (source.env.HOOKD_CONFIG || undefined);
  try {
    const value = loadConfig(source);
    return {
      value,
      finding: ok(file === undefined ? "no file is named: defaults and HOOKD_* are used" : `${file} is good`),
    };
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "ConfigError") throw error;
    const remedy =
      "correct it (hookd config print --defaults shows every key), then run hookd doctor again for the rest";
    return { value: null, finding: problem(error.message, remedy) };
  }
}

async function visit(asked: Asked, config: Config): Promise<Installation> {
  const databasePath = join(config.dataDir, "hookd.db");
  const holder = holderOf(databasePath);
  const server = locateDaemon(asked.server, config, holder);
  return {
    asked,
    config,
    databasePath,
    masterKeyPath: config.security.masterKeyFile ?? join(config.dataDir, "master.key"),
    adminKeyPath: join(config.dataDir, "admin.key"),
    holder,
    server,
    daemon: server === null ? null : await askDaemon(server),
  };
}

/** One check that fails in a way that it did not foresee must not keep the others from being made. */
async function make(check: Check, site: Installation, tell: (progress: string) => void): Promise<Finding> {
  try {
    return await check.run(site, tell);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const isForbidden = error instanceof Error && "code" in error && error.code === "EACCES";
    if (isForbidden)
      return skipped(`this user may not look: ${why}`, "run doctor as hookd's user, or as root");
    return warning(`could not be checked: ${why}`, "look at what it says; with --json it can be reported");
  }
}
