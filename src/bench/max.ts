import { measure, startMeasurement } from "./measure.ts";
import { type BenchOptions, MAX_CONNECTIONS } from "./plan.ts";
import { faultsOf, type RunFigures, type RunPlan } from "./result.ts";
import type { Rig } from "./rig.ts";
import type { Stage } from "./stage.ts";

const PROBE_MS = 5_000;
const FIRST_RATE = 4_000;
const RATE_MAX = 200_000;
/** The search ends when what holds and what does not are this close. */
const CLOSE_ENOUGH = 1.06;
const CONFIRMATIONS_MAX = 10;
const STEP_DOWN = 0.98;
const ACCEPTED_SHARE_MIN = 0.999;
const RECEIVE_P99_MAX_MS = 1_000;
/** By how much of a second's events the backlog may be more at the end than half-way. */
const GROWTH_MAX_SECONDS = 0.25;

export interface FoundMax {
  readonly run: RunFigures;
  readonly notes: readonly string[];
}

/** The load of a scenario's search, so that what scenarios find can be compared: single events to one origin. */
export function planOfMax(stage: Stage, durationMs: number): RunPlan {
  const plan = { webhooks: 1_000, origins: 1, connections: MAX_CONNECTIONS };
  return stage.plan({ ...plan, durationMs: stage.ms(durationMs) });
}

/**
 * The highest rate that holds: doubles until it does not, halves the gap, then confirms for the whole
 * duration, a bit lower if need be. Sustained means: all that was offered is accepted, deliveries keep up,
 * and nothing waits long.
 */
export async function findMax(rig: Rig, options: BenchOptions): Promise<FoundMax> {
  const { plan } = options;
  const notes: string[] = [];
  await warmUp(rig, plan, options.drainMaxMs);
  let holds = 0;
  let fails = RATE_MAX;
  let rate = FIRST_RATE;
  while (fails / Math.max(1, holds) > CLOSE_ENOUGH && rate < RATE_MAX) {
    const probe = { ...plan, ratePerSecond: rate, durationMs: PROBE_MS, warmUpMs: 0 };
    const { why } = await attempt(rig, probe, options, `probing ${rate}/s`);
    notes.push(`${rate}/s for ${PROBE_MS / 1_000} s: ${why ?? "holds"}`);
    if (why === null) holds = rate;
    else fails = rate;
    if (fails < 100) throw new Error(`not even ${rate} events a second hold: ${why}`);
    rate = Math.round(fails === RATE_MAX ? holds * 2 : (holds + fails) / 2);
  }
  rate = holds;
  let last: { run: RunFigures; why: string | null } | null = null;
  for (let round = 0; round < CONFIRMATIONS_MAX; round += 1) {
    const confirmed = { ...plan, ratePerSecond: rate };
    last = await attempt(rig, confirmed, options, `confirming ${rate}/s`);
    notes.push(`${rate}/s for ${plan.durationMs / 1_000} s: ${last.why ?? "holds"}`);
    if (last.why === null) return { run: { ...last.run, title: "max" }, notes };
    rate = Math.floor(rate * STEP_DOWN);
  }
  throw new Error(`no rate held for ${plan.durationMs / 1_000} s:\n${notes.join("\n")}`);
}

/** The code of daemon and generator is compiled when it is hot: what is measured cold is not what will be. */
async function warmUp(rig: Rig, plan: RunPlan, drainMaxMs: number): Promise<void> {
  if (plan.warmUpMs === 0) return;
  const warm = { ...plan, ratePerSecond: FIRST_RATE, durationMs: plan.warmUpMs, warmUpMs: 0 };
  await measure(rig, { title: "warming up", plan: warm, drainMaxMs });
}

/** Whether a rate holds; `why` not, else null. */
async function attempt(
  rig: Rig,
  plan: RunPlan,
  { drainMaxMs }: BenchOptions,
  title: string,
): Promise<{ run: RunFigures; why: string | null }> {
  rig.phase = title;
  const rate = plan.ratePerSecond ?? 0;
  // What cannot be sent in time is not sent: a rate far too high must not take minutes to fail.
  const measurement = startMeasurement(rig, { title, plan, drainMaxMs, isCutOff: true });
  const { load, done } = measurement.running;
  const middleMono = load.startMono + plan.warmUpMs + plan.durationMs / 2;
  await rig.pauseUntil(middleMono);
  const halfway = rig.undelivered;
  await Promise.race([done, rig.pauseUntil(middleMono + plan.durationMs / 2)]);
  const growth = rig.undelivered - halfway;
  const run = await measurement.finish();
  const planned = (rate * plan.durationMs) / 1_000;
  const { accepted, receive } = run.window;
  const [fault] = faultsOf(run);
  if (fault !== undefined) return { run, why: fault };
  if (accepted < planned * ACCEPTED_SHARE_MIN) {
    return { run, why: `${((accepted / planned) * 100).toFixed(1)} % of what was due was accepted` };
  }
  if (growth > rate * GROWTH_MAX_SECONDS) return { run, why: `the backlog grew by ${growth} events` };
  if (receive.p99 >= RECEIVE_P99_MAX_MS) return { run, why: `p99 receive ${receive.p99.toFixed(0)} ms` };
  return { run, why: null };
}
