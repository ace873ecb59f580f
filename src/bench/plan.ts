import { availableParallelism } from "node:os";
import type { HostProgram } from "./daemon-process.ts";
import type { RunPlan } from "./result.ts";
import type { RigSettings } from "./rig.ts";

/** What was asked for on the command line, checked. */
export interface BenchOptions {
  readonly plan: RunPlan;
  /** For a scenario, which has its own; null: not given. */
  readonly rateGiven: number | null;
  readonly durationGivenMs: number | null;
  readonly isMax: boolean;
  readonly drainMaxMs: number;
  /** Of each calibration; 0: none. */
  readonly calibrateMs: number;
  readonly dataDir: string | null;
  readonly program: HostProgram;
  readonly hookd: string;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  /** For tests: the event for this webhook is answered and kept from the ledger. */
  readonly swallowedWebhook: number | null;
}

/** One publisher thread makes about 40,000 events a second; fewer cores should not give it two. */
const RATE_OF_ONE_THREAD = 30_000;
const MANY_CORES = 5;
/** The ledger's room for closed loops and probes. Only what is used of it costs memory. */
const EVENTS_MIN = 64_000_000;
/** Sequence numbers have 32 bits, and nobody waits for so many. */
export const PLANNED_MAX = 500_000_000;
/** Of a search for the highest rate: hookd is to hold it back, and not publishers that all wait for their answers. */
export const MAX_CONNECTIONS = 1_024;

export function rigSettings(options: BenchOptions, changes: Partial<RigSettings> = {}): RigSettings {
  const { plan, program, dataDir, signal, onProgress } = options;
  return {
    program,
    dataDir,
    payloadBytes: plan.payloadBytes,
    webhooks: plan.webhooks,
    origins: plan.origins,
    owners: { users: plan.users, webhooksEach: 1 },
    eventOf: () => null,
    eventsMax: Math.max(EVENTS_MIN, plannedEvents(plan) * 2),
    publisherThreads: publisherThreads(plan.ratePerSecond),
    config: {},
    env: {},
    signal,
    onProgress,
    ...changes,
  };
}

/** Of an open loop, its warm-up with it. */
function plannedEvents({ ratePerSecond, durationMs, warmUpMs }: RunPlan): number {
  return Math.ceil(((ratePerSecond ?? 0) * (durationMs + warmUpMs)) / 1_000);
}

export function publisherThreads(ratePerSecond: number | null): number {
  return availableParallelism() >= MANY_CORES || (ratePerSecond ?? 0) > RATE_OF_ONE_THREAD ? 2 : 1;
}
