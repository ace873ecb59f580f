import { Problem } from "./problem.ts";

/** Why no events are taken at all. */
export type Refusal = "starting" | "shutting_down" | "disk_full" | "store_unavailable";

/** What a publisher is told of it, whichever part of hookd says it. */
export function refusalProblem(refusal: Refusal): Problem {
  switch (refusal) {
    case "starting":
      // A recovery reads some seconds' journal: the shortest wait that the header can say.
      return new Problem("store_unavailable", "hookd is starting; try again in a moment", {
        retryAfterSeconds: 1,
      });
    case "shutting_down":
      // What is in flight ends first, then the next process starts.
      return new Problem("shutting_down", "hookd is stopping; try again when it is back", {
        retryAfterSeconds: 5,
      });
    case "disk_full":
      // Room is made by somebody, or by retention slice by slice: asking every few seconds is of no use.
      return new Problem(
        "disk_full",
        "the disk is nearly full; no events are taken until there is room: free space, or delete deliveries",
        { retryAfterSeconds: 30 },
      );
    case "store_unavailable":
      // The director tries four times a second: whatever kept the disk busy is often gone, not always.
      return new Problem("store_unavailable", "the store does not answer; try again in a moment", {
        retryAfterSeconds: 5,
      });
    default:
      return refusal satisfies never;
  }
}

/** What whoever publishes now is told before it is read; null: it is read. Who is full is ready all the same. */
export function publishRefusal(engine: {
  readonly refusal: Refusal | null;
  readonly isFull: boolean;
}): Problem | null {
  if (engine.refusal !== null) return refusalProblem(engine.refusal);
  if (!engine.isFull) return null;
  return new Problem("overloaded", "as many events wait to be stored as may: publish more slowly");
}
