import type { Line } from "./line.ts";

export type KeyTable = readonly (readonly [keys: string, does: string])[];

export const TAIL_KEYS: KeyTable = [
  ["space", "pause, and go on with the newest rows"],
  ["up, down, j, k", "select a row; pauses"],
  ["pgup, pgdn, home, g", "scroll; pauses"],
  ["end, G", "the newest rows again"],
  ["enter", "look at the delivery: every attempt, its answer, what comes next and why"],
  ["/", "filter rows as you type: all words, !word for none of these; enter keeps it, esc ends it"],
  ["r", "retry the delivery now; a dead one is replayed"],
  ["c", "copy the delivery's id to the clipboard (where the terminal takes OSC 52)"],
  ["esc", "leave the pane, then the filter, then this view"],
  ["q, ctrl-c", "quit"],
];

export const TOP_KEYS: KeyTable = [
  ["up, down, j, k", "select a webhook"],
  ["pgup, pgdn, home, end", "scroll"],
  ["enter", "the live view of that webhook; esc comes back"],
  ["t", "sort by trouble: open breakers, then what waits longest"],
  ["b o s l a", "sort by backlog, oldest waiting, success rate, p99 (latency), attempts a second"],
  ["/", "filter as you type: all words, !word for none of these; enter keeps it, esc ends it"],
  ["c", "copy the webhook's id to the clipboard (where the terminal takes OSC 52)"],
  ["esc", "end the filter"],
  ["q, ctrl-c", "quit"],
];

export const DLQ_KEYS: KeyTable = [
  ["up, down, j, k", "select a line"],
  ["pgup, pgdn, home, end", "scroll"],
  ["enter", "the deliveries of a group; every attempt of a delivery"],
  ["g", "count by something else: webhook and reason, webhook, reason, event, user"],
  ["space, a", "mark a line, all lines; again: not"],
  ["r", "replay what is marked, or else the selected line: says how many, and asks"],
  ["p", "purge it: deletes for good; says how many, and asks"],
  ["/", "filter as you type: all words, !word for none of these; enter keeps it, esc ends it"],
  ["c", "copy the id to the clipboard (where the terminal takes OSC 52)"],
  ["esc", "leave the pane, then the filter, then the marks, then the group"],
  ["q, ctrl-c", "quit; a job that runs goes on"],
];

const WIDTH = 24;

export function keyLines(table: KeyTable): Line[] {
  return table.map(([keys, does]) => [{ text: keys.padEnd(WIDTH), isBold: true }, { text: does }]);
}
