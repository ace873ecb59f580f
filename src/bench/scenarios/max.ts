import { findMax, planOfMax } from "../max.ts";
import type { Scenario } from "../stage.ts";

/** The highest rate that lasts a minute, against what a bare client and a bare server do in the same run. */
export const max: Scenario = {
  name: "max",
  takes: ["duration"],
  origins: 1,
  async play(stage) {
    const plan = planOfMax(stage, stage.options.durationGivenMs ?? 60_000);
    await stage.withRig(plan, {}, async (rig) => {
      const found = await findMax(rig, { ...stage.options, plan });
      stage.notes.push(...found.notes);
      stage.runs.push(found.run);
      stage.clean(found.run);
    });
    stage.judge = ([run]) => {
      if (run?.ratios == null)
        throw new Error("max is judged against the bare loops, and they were not measured");
      stage.atLeast("delivered/s to bare posts/s", run.ratios.deliveredToBarePosts, 0.6, "x");
      stage.atMost("CPU of an event to bare accept + bare post", run.ratios.cpuToBare, 2, "x");
    };
  },
};
