import type { Config } from "../config/config.ts";
import type { ConfigSource } from "../config/load.ts";
import type { DaemonAnswers } from "./daemon-answers.ts";
import type { Holder } from "./lock-holder.ts";

/**
 * `warning`: hookd works, and will not for long or not as well as it could. `problem`: it cannot do its work.
 */
export type FindingState = "ok" | "warning" | "problem" | "skipped";

export interface Finding {
  readonly state: FindingState;
  /** What was found, with its values. */
  readonly finding: string;
  /** What to do about it; null where nothing has to be done. */
  readonly remedy: string | null;
}

/** What the operator asked for. */
export interface Asked {
  readonly source: ConfigSource;
  /** Where the daemon is; null: where the configuration, or the running process, says. */
  readonly server: URL | null;
  /** Whose clock is right. */
  readonly reference: URL | null;
  /** Every webhook's callback URL, from the daemon; null: receivers are not to be connected to. */
  readonly callbackUrls: ((server: URL, dataDir: string) => Promise<readonly string[]>) | null;
}

/** The hookd that is looked at. */
export interface Installation {
  readonly asked: Asked;
  readonly config: Config;
  readonly databasePath: string;
  readonly masterKeyPath: string;
  readonly adminKeyPath: string;
  /** Who has the database open. */
  readonly holder: Holder;
  /** Null where none answers. */
  readonly daemon: DaemonAnswers | null;
  /** Where it was asked; null where nothing says where it would be. */
  readonly server: URL | null;
}

export interface Check {
  readonly name: string;
  /** For the list of checks in docs/DOCTOR.md: what is looked at, and when it is a problem or a warning. */
  readonly about: string;
  /** `tell`: how far it is, for whoever waits. What it throws means that it could not be made. */
  run(site: Installation, tell: (progress: string) => void): Finding | Promise<Finding>;
}

export function ok(finding: string): Finding {
  return { state: "ok", finding, remedy: null };
}

export function warning(finding: string, remedy: string): Finding {
  return { state: "warning", finding, remedy };
}

export function problem(finding: string, remedy: string): Finding {
  return { state: "problem", finding, remedy };
}

/** `remedy`: how it could be checked. */
export function skipped(finding: string, remedy: string | null = null): Finding {
  return { state: "skipped", finding, remedy };
}
