import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { timeOfSeq } from "../domain/ids.ts";
import { WATERMARK } from "../domain/setting.ts";
import { formatDuration } from "../lib/units.ts";
import { type Check, type Finding, type Installation, ok, problem, skipped, warning } from "./check.ts";
import { peek } from "./database.ts";

/**
 * Receivers refuse signatures that are 5 min off (Standard Webhooks); part of that is the way's, and their
 * own error's.
 */
const OFF_PROBLEM_S = 60;
const OFF_WARNING_S = 5;
/** The steady clock runs ahead by less, when the wall clock is corrected. */
const FUTURE_MS = 60_000;
const ANSWER_MS = 5_000;
const PROGRAM_MS = 2_000;
const SET_CLOCK =
  "set the clock and keep it right: timedatectl set-ntp true, or chrony; in a container, on its host";

export const clock: Check = {
  name: "clock",
  about:
    `The clock is within ${OFF_PROBLEM_S} s of \`--reference\` (a warning beyond ${OFF_WARNING_S} s), or ` +
    "else is kept right by NTP (timedatectl); the database is not ahead of it; pruning is not suspended.",
  async run(site) {
    const found = databaseAhead(site) ?? suspended(site);
    if (found !== null) return found;
    return site.asked.reference === null ? synchronised() : compared(site.asked.reference);
  },
};

/** The clock was wrong when hookd last ran, or is now. */
function databaseAhead(site: Installation): Finding | null {
  const look = peek(site);
  if (look.kind !== "facts" || look.facts === null) return null;
  const { settings, lastSeq } = look.facts;
  const lastAt = Math.max(Number(settings.get(WATERMARK) ?? 0), lastSeq === 0 ? 0 : timeOfSeq(lastSeq));
  const aheadMs = lastAt - Date.now();
  if (aheadMs < FUTURE_MS) return null;
  return problem(
    `the database was last written at ${new Date(lastAt).toISOString()}, which is ${span(aheadMs)} from now`,
    `${SET_CLOCK}. If it is right now and was wrong then, hookd goes on; its times stay ahead until then`,
  );
}

function suspended({ daemon }: Installation): Finding | null {
  if (daemon?.metric("hookd_clock_suspended") !== 1) return null;
  const gapMs = (daemon.metric("hookd_clock_gap_seconds") ?? 0) * 1_000;
  return problem(
    `the clock jumped by ${span(gapMs)}: nothing is pruned, expired or switched off until it is confirmed`,
    "look at the clock; if it is right, start hookd once with --accept-clock",
  );
}

/** By a server's Date (RFC 9110, 6.6.1), which is cut to whole seconds: right to a second or so. */
async function compared(reference: URL): Promise<Finding> {
  const beforeAt = Date.now();
  let date: number;
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(reference, { method: "HEAD", redirect: "manual", signal });
    date = Date.parse(response.headers.get("date") ?? "");
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why = cause instanceof Error ? cause.message : String(cause);
    return warning(
      `the reference ${reference.origin} does not answer: ${why}`,
      "name another --reference; with http the clock cannot make a certificate look invalid",
    );
  }
  if (Number.isNaN(date)) {
    return warning(`the reference ${reference.origin} has no Date header`, "name another --reference");
  }
  const offMs = (beforeAt + Date.now()) / 2 - (date + 500);
  const offSeconds = Math.abs(offMs) / 1_000;
  const way = offMs > 0 ? "ahead of" : "behind";
  const found = `the clock is ${span(Math.abs(offMs))} ${way} ${reference.origin}`;
  if (offSeconds >= OFF_PROBLEM_S) {
    return problem(`${found}: receivers refuse signatures that are 5 min off`, SET_CLOCK);
  }
  if (offSeconds >= OFF_WARNING_S) return warning(found, SET_CLOCK);
  return ok(`right by ${reference.origin}`);
}

/** The kernel knows, and Node cannot ask it. */
async function synchronised(): Promise<Finding> {
  const compare = "compare it: --reference https://www.example.com (any server whose clock is right)";
  let answer: string;
  try {
    const args = ["show", "-p", "NTPSynchronized", "--value"];
    answer = (await promisify(execFile)("timedatectl", args, { timeout: PROGRAM_MS })).stdout.trim();
  } catch {
    return skipped("nothing on this machine says whether its clock is right", compare);
  }
  if (answer === "yes") return ok("kept right by NTP");
  if (answer === "no")
    return warning("nothing keeps the clock right: it is not synchronised by NTP", SET_CLOCK);
  return skipped("timedatectl does not say whether the clock is right", compare);
}

function span(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return seconds < 600 ? `${seconds} s` : formatDuration(Math.round(seconds / 60) * 60_000);
}
