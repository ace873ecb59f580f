import type { Config } from "../config/config.ts";
import type { EventSeq } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Store } from "../store/port.ts";
import { arrivalOf } from "./arrivals.ts";
import type { JobCommands } from "./job-commands.ts";
import type { JobRunner } from "./job-runner.ts";
import type { Pipeline } from "./pipeline.ts";
import type { PublishRequest, PublishResult } from "./port.ts";

export interface BroadcastingDeps {
  readonly config: Config;
  readonly store: Store;
  readonly pipeline: Pipeline;
  readonly jobs: JobCommands;
  readonly runner: JobRunner;
}

/** An event for every user's webhook that matches: in one commit, or beyond `limits.fanout_max` of them by a job. */
export async function broadcast(
  { config, store, pipeline, jobs, runner }: BroadcastingDeps,
  event: Omit<PublishRequest, "userId" | "targets">,
): Promise<PublishResult> {
  const { fanoutMax } = config.limits;
  const { targets, next } = await store.broadcastRoutes(event.eventId, "", fanoutMax + 1);
  if (targets.length === 0) return NOWHERE;
  const isLarge = next !== null || targets.length > fanoutMax;
  const request: PublishRequest = {
    ...event,
    userId: "*",
    targets: isLarge ? [] : targets.map((target) => target.webhookId),
  };
  const job = isLarge ? jobs.expansionOf(event.eventId) : null;
  const [outcome] = await pipeline.publish(arrivalOf([request]), job);
  if (!outcome || outcome instanceof Problem) throw outcome ?? new Problem("internal", "no answer");
  if (job && !outcome.isDuplicate) runner.add(job);
  return outcome;
}

const NOWHERE: PublishResult = {
  event: 0 as EventSeq,
  isDuplicate: false,
  deliveryCount: 0,
  deliveries: [],
  fanOut: null,
};
