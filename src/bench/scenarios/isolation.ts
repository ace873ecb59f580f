import { measure } from "../measure.ts";
import type { Rig } from "../rig.ts";
import { BEHAVIOUR } from "../site.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 6_000;
/** Until breakers have opened and the first timeouts are over: what is measured is how it goes on. */
const TROUBLE_WARM_UP_MS = 20_000;

interface Trouble {
  readonly title: string;
  readonly webhooks: number;
  readonly hanging: number;
  readonly failing: number;
}

const TROUBLES: readonly Trouble[] = [
  { title: "100 of 1,000 hang, 100 fail", webhooks: 1_000, hanging: 100, failing: 100 },
  { title: "1,000 of 10,000 hang", webhooks: 10_000, hanging: 1_000, failing: 0 },
];

/**
 * Receivers that hang or fail must not be felt by the others: the same daemon without them, then with them.
 */
export const isolation: Scenario = {
  name: "isolation",
  takes: ["rate"],
  origins: 1,
  async play(stage) {
    for (const trouble of TROUBLES) {
      const plan = stage.plan({
        ratePerSecond: stage.options.rateGiven ?? RATE,
        durationMs: stage.ms(30_000),
        webhooks: trouble.webhooks,
        origins: 1,
      });
      await stage.withRig(plan, {}, (rig) => play(stage, rig, plan, trouble));
    }
  },
};

async function play(
  stage: Stage,
  rig: Rig,
  plan: ReturnType<Stage["plan"]>,
  trouble: Trouble,
): Promise<void> {
  const { title, webhooks, hanging, failing } = trouble;
  const bad = hanging + failing;
  const options = { plan, drainMaxMs: stage.options.drainMaxMs, filter: (webhook: number) => webhook >= bad };
  const without = await measure(rig, { ...options, title: `${webhooks} webhooks, none bad` });
  rig.site.behave(0, hanging, BEHAVIOUR.hang);
  rig.site.behave(hanging, failing, 500);
  const troubled = { ...plan, warmUpMs: stage.ms(TROUBLE_WARM_UP_MS) };
  const withBad = await measure(rig, { ...options, plan: troubled, title });
  stage.runs.push(without, withBad);
  stage.clean(withBad);
  stage.atLeast(
    `${title}: delivered/s of the healthy, to without`,
    (withBad.window.deliveredPerSecond / without.window.deliveredPerSecond) * 100,
    95,
    "%",
  );
  stage.atMost(
    `${title}: p99 receive of the healthy, to without`,
    withBad.window.receive.p99 / without.window.receive.p99,
    1.2,
    "x",
  );
}
