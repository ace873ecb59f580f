/**
 * Outcomes in one commit: when a thousand hanging receivers time out together, events that come meanwhile wait for a
 * part of them, and not for all. A share of what waits, however slow the disk is, and never fewer than the events need.
 */
const OUTCOMES_MIN = 256;
const OUTCOMES_SHARE = 0.25;
const OUTCOMES_PER_EVENT = 2;

/** How many of the `waiting` outcomes go with a commit of so many events. */
export function outcomesBeside(events: number, waiting: number): number {
  return Math.max(OUTCOMES_MIN, Math.ceil(waiting * OUTCOMES_SHARE), events * OUTCOMES_PER_EVENT);
}
