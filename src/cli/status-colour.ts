import type { Colour } from "./terminal.ts";

/** What a delivery's, job's or webhook's status looks like in a table. */
export function statusColour(status: string): Colour | undefined {
  if (status === "success" || status === "done") return "green";
  if (status === "retrying" || status === "paused" || status === "cancelled") return "yellow";
  if (status === "dead" || status === "off" || status === "failed") return "red";
  return status === "pending" || status === "running" ? "cyan" : undefined;
}
