import type { Thread } from "./thread.ts";
import type { FromCalibration, ToCalibration } from "./thread-messages.ts";

/** What this machine does at best, measured before and after. */
export interface Calibration {
  /** A bare undici client, one thread, 64 at a time, 1 KiB, unsigned. */
  readonly postsPerSecond: number;
  readonly postCpuMicros: number;
  /** A bare node:http server that reads a body and answers 202. */
  readonly acceptsPerSecond: number;
  readonly acceptCpuMicros: number;
  /** 4 KiB written and synced, where the data is. */
  readonly syncMedianMs: number;
  readonly syncP99Ms: number;
}

/** Before and after differ by more: something else used the machine, and no figure of the run counts. */
export const NOISE_MAX = 0.15;
const SYNCS = 200;

/** Puts closed-loop load on a port, for so long. */
export type LoadPort = (port: number, durationMs: number) => Promise<void>;

export async function calibrate(
  thread: Thread<ToCalibration, FromCalibration>,
  acceptPort: number,
  loadPort: LoadPort,
  durationMs: number,
): Promise<Calibration> {
  thread.send({ kind: "sync", count: SYNCS });
  const { ms } = await thread.next((message) => (message.kind === "synced" ? message : null));
  const sorted = ms.toSorted((a, b) => a - b);
  thread.send({ kind: "post", durationMs });
  const posted = await thread.next((message) => (message.kind === "posted" ? message : null));
  // The first part of the time warms up.
  await loadPort(acceptPort, durationMs * 0.2);
  const before = await accepted(thread);
  await loadPort(acceptPort, durationMs * 0.8);
  const after = await accepted(thread);
  const accepts = after.count - before.count;
  return {
    postsPerSecond: posted.count / posted.seconds,
    postCpuMicros: (posted.cpuSeconds * 1e6) / posted.count,
    acceptsPerSecond: accepts / ((durationMs * 0.8) / 1_000),
    acceptCpuMicros: ((after.cpuSeconds - before.cpuSeconds) * 1e6) / accepts,
    syncMedianMs: sorted[Math.floor(sorted.length / 2)] ?? 0,
    syncP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}

/** How far the bare client's rate moved, 0 to 1. */
export function driftOf(before: Calibration, after: Calibration): number {
  const [low, high] = [before.postsPerSecond, after.postsPerSecond].toSorted((a, b) => a - b);
  return high === undefined || low === undefined || high === 0 ? 0 : 1 - low / high;
}

export function meanOf(before: Calibration, after: Calibration): Calibration {
  const mean = (name: keyof Calibration) => (before[name] + after[name]) / 2;
  return {
    postsPerSecond: mean("postsPerSecond"),
    postCpuMicros: mean("postCpuMicros"),
    acceptsPerSecond: mean("acceptsPerSecond"),
    acceptCpuMicros: mean("acceptCpuMicros"),
    syncMedianMs: mean("syncMedianMs"),
    syncP99Ms: mean("syncP99Ms"),
  };
}

function accepted(thread: Thread<ToCalibration, FromCalibration>) {
  thread.send({ kind: "accepted" });
  return thread.next((message) => (message.kind === "accepted" ? message : null));
}
