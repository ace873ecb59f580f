import { measure } from "../measure.ts";
import type { Scenario } from "../stage.ts";

/** All events go to one webhook, whose receiver takes 50 ms: it is concurrency that makes its rate. */
export const hot: Scenario = {
  name: "hot",
  takes: ["rate", "duration"],
  origins: 1,
  async play(stage) {
    const plan = stage.plan({
      webhooks: 1,
      origins: 1,
      latencyMs: 50,
      ratePerSecond: stage.options.rateGiven ?? 2_300,
      // The lane begins with two at a time, and must have shown that it takes more.
      warmUpMs: stage.ms(15_000),
      durationMs: stage.ms(stage.options.durationGivenMs ?? 30_000),
    });
    await stage.withRig(plan, {}, async (rig) => {
      const run = await measure(rig, {
        title: "one hot webhook",
        plan,
        drainMaxMs: stage.options.drainMaxMs,
      });
      stage.runs.push(run);
      stage.clean(run);
      stage.atLeast("delivered to one webhook", run.window.deliveredPerSecond, 2_000, "/s");
    });
  },
};
