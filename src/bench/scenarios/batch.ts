import { findMax, planOfMax } from "../max.ts";
import { measure } from "../measure.ts";
import type { Scenario } from "../stage.ts";

const ITEMS = 100;
/** With more of them in flight than may wait for a commit (20,000 events), refusals would be measured. */
const CONNECTIONS = 64;

/** How fast events go in when they come a hundred to a request, against one by one in the same run. */
export const batch: Scenario = {
  name: "batch",
  takes: [],
  origins: 1,
  async play(stage) {
    const single = planOfMax(stage, 10_000);
    const alone = await stage.withRig(single, {}, async (rig) => {
      const found = await findMax(rig, { ...stage.options, plan: single });
      stage.runs.push({ ...found.run, title: "single events, max" });
      return found.run.window.acceptedPerSecond;
    });
    const plan = stage.plan({
      ...single,
      ratePerSecond: null,
      batch: ITEMS,
      connections: CONNECTIONS,
      durationMs: stage.ms(30_000),
    });
    await stage.withRig(plan, {}, async (rig) => {
      const run = await measure(rig, { title: `batches of ${ITEMS}`, plan, drainMaxMs: 600_000 });
      stage.runs.push(run);
      stage.clean(run);
      stage.verdict("all delivered", `${run.ledger.delivered}`, `${run.ledger.accepted}`, run.isDrained);
      stage.atLeast("batched to single events, accepted/s", run.window.acceptedPerSecond / alone, 2.5, "x");
    });
  },
};
