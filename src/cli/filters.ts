import type { Command } from "commander";

export interface FilterOptions {
  readonly event?: string;
  readonly webhook?: string;
  readonly user?: string;
  readonly reason?: string;
  readonly since?: string;
  readonly until?: string;
}

export function addFilterOptions(command: Command): Command {
  return command
    .option("--event <event>", "of this event")
    .option("--webhook <id>", "to this webhook")
    .option("--user <user>", "of this user")
    .option(
      "--reason <reason>",
      "dead for this reason: exhausted, permanent, expired, disabled, blocked, ...",
    )
    .option("--since <time>", "made since: 2h, or 2026-11-22T08:00:00Z")
    .option("--until <time>", "made before: 2h, or 2026-11-22T08:00:00Z");
}

/** The filter as the API names it. */
export function filterOf(options: FilterOptions): Record<string, string> {
  return Object.fromEntries(
    [
      ["event_id", options.event],
      ["webhook_id", options.webhook],
      ["user_id", options.user],
      ["reason", options.reason],
      ["since", options.since],
      ["until", options.until],
    ].filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}
