import { measure } from "../measure.ts";
import type { RunFigures } from "../result.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 12_000;
const MB = 1e6;
/** Ten thousand receivers are connected to first, all at once: 12,000 a second are reached after some 6 s. */
const SETTINGS = [
  { webhooks: 1_000, origins: 1, warmUpMs: 5_000, memoryMaxMb: null },
  { webhooks: 1_000, origins: 1_000, warmUpMs: 5_000, memoryMaxMb: 400 },
  { webhooks: 10_000, origins: 10_000, warmUpMs: 10_000, memoryMaxMb: 1_000 },
] as const;

/**
 * The average of a billion events a day, for a minute: on one receiving host, on a thousand, on ten thousand.
 */
export const steady: Scenario = {
  name: "steady",
  takes: ["rate", "duration"],
  origins: 1_000,
  async play(stage) {
    for (const { webhooks, origins, warmUpMs, memoryMaxMb } of SETTINGS) {
      const plan = stage.plan({
        ratePerSecond: stage.options.rateGiven ?? RATE,
        durationMs: stage.ms(stage.options.durationGivenMs ?? 60_000),
        warmUpMs: stage.ms(warmUpMs),
        webhooks,
        origins,
      });
      const title = `steady, ${webhooks} webhooks on ${origins === 1 ? "1 origin" : `${origins} origins`}`;
      await stage.withRig(plan, {}, async (rig) => {
        const run = await measure(rig, { title, plan, drainMaxMs: stage.options.drainMaxMs });
        stage.runs.push(run);
        judge(stage, run);
        if (memoryMaxMb !== null) {
          stage.atMost(`${title}: peak RSS`, Math.round(run.memory.peakBytes / MB), memoryMaxMb, "MB");
        }
      });
    }
  },
};

function judge(stage: Stage, run: RunFigures): void {
  const { offered, accepted, delivered } = run.ledger;
  stage.verdict(
    `${run.title}: accepted and delivered`,
    `${accepted} and ${delivered}`,
    `${offered} offered`,
    accepted === offered && delivered === offered,
  );
  stage.clean(run);
  stage.atMost(`${run.title}: p99 accept`, run.window.accept.p99, 50, "ms");
  stage.atMost(`${run.title}: p99 receive`, run.window.receive.p99, 250, "ms");
}
