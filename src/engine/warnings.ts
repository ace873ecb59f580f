import type { Config } from "../config/config.ts";
import type { DirectorLog } from "./director-deps.ts";

/** What the operator's log is told of the disk, when that changes. */
export function warnOfDisk(
  log: DirectorLog,
  isLow: boolean,
  writableBytes: number,
  { limits }: Config,
): void {
  const fields = { free_bytes: writableBytes, disk_free: limits.diskFreeBytes };
  if (isLow) {
    log.warn("the disk is nearly full: no events are taken; free space, or delete deliveries", fields);
  } else log.warn("there is enough space on the disk again: events are taken", fields);
}

/** The wall clock is ahead of the careful one by so much. */
export function warnOfClock(log: DirectorLog, gapMs: number): void {
  log.warn("the wall clock is far ahead: nothing is pruned or expired until it is confirmed", {
    gap_ms: gapMs,
    remedy: "check the clock, then restart with --accept-clock",
  });
}
