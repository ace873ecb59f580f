import { measure, startMeasurement } from "../measure.ts";
import { medianOf, millisOf, type Pair, ratiosOf } from "../pairs.ts";
import type { WindowFigures } from "../recorder.ts";
import type { RunFigures } from "../result.ts";
import type { Rig } from "../rig.ts";
import { BEHAVIOUR } from "../site.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 6_000;
/** Each with a daemon of its own: what bad receivers leave behind would be in the next one's figures. */
const ROUNDS = 3;
/** Until breakers have opened and the first timeouts are over; judged by itself, as the onset. Both halves get it. */
const WARM_UP_MS = 20_000;

interface Trouble {
  readonly title: string;
  readonly webhooks: number;
  readonly hanging: number;
  readonly failing: number;
}

interface Round extends Pair {
  /** Of the healthy, from the moment at which the others begin to hang. */
  readonly onset: WindowFigures;
}

const TROUBLES: readonly Trouble[] = [
  { title: "100 of 1,000 hang, 100 fail", webhooks: 1_000, hanging: 100, failing: 100 },
  { title: "1,000 of 10,000 hang", webhooks: 10_000, hanging: 1_000, failing: 0 },
];

/** Receivers that hang or fail must not be felt by the others: the same daemon without them, then with them. */
export const isolation: Scenario = {
  name: "isolation",
  takes: ["rate"],
  origins: 1,
  async play(stage) {
    for (const trouble of TROUBLES) {
      const plan = stage.plan({
        ratePerSecond: stage.options.rateGiven ?? RATE,
        durationMs: stage.ms(20_000),
        warmUpMs: stage.ms(WARM_UP_MS),
        webhooks: trouble.webhooks,
        origins: 1,
      });
      const rounds: Round[] = [];
      for (let round = 1; round <= ROUNDS; round += 1) {
        rounds.push(await stage.withRig(plan, {}, (rig) => play(stage, rig, plan, { ...trouble, round })));
      }
      judge(stage, trouble, rounds);
    }
  },
};

async function play(
  stage: Stage,
  rig: Rig,
  plan: ReturnType<Stage["plan"]>,
  { title, round, webhooks, hanging, failing }: Trouble & { readonly round: number },
): Promise<Round> {
  const bad = hanging + failing;
  const options = { plan, drainMaxMs: stage.options.drainMaxMs, filter: (webhook: number) => webhook >= bad };
  const without = await measure(rig, { ...options, title: `${webhooks} webhooks, none bad, round ${round}` });
  rig.site.behave(0, hanging, BEHAVIOUR.hang);
  rig.site.behave(hanging, failing, 500);
  const measurement = startMeasurement(rig, { ...options, title: `${title}, round ${round}` });
  const watch = rig.watch(measurement.running.load, { toMs: plan.warmUpMs, filter: options.filter });
  const withIt = await measurement.finish();
  const onset = watch.figures();
  watch.end();
  stage.clean(withIt);
  return { without, withIt, runs: [without, withIt], onset };
}

/** By the median of the rounds, of which the last is shown. */
function judge(stage: Stage, { title }: Trouble, rounds: readonly Round[]): void {
  const onset = rounds.map(
    ({ without, onset }) => onset.deliveredPerSecond / without.window.deliveredPerSecond,
  );
  stage.atLeast(
    `${title}: delivered/s of the healthy in the first 20 s, to without`,
    medianOf(onset) * 100,
    95,
    "%",
  );
  const onsetP99 = rounds.map(({ onset }) => `${onset.receive.p99.toFixed(1)} ms`).join(", ");
  stage.notes.push(`${title}: p99 receive in the first 20 s, by round: ${onsetP99}`);
  stage.runs.push(...(rounds.at(-1)?.runs ?? []));
  const rates = ratiosOf(rounds, ({ window }) => window.deliveredPerSecond);
  stage.atLeast(`${title}: delivered/s of the healthy, to without`, medianOf(rates) * 100, 95, "%");
  const p99 = ({ window }: RunFigures) => window.receive.p99;
  stage.notes.push(`${title}: p99 receive, without and with them, by round: ${millisOf(rounds, p99)}`);
  const ratio = medianOf(ratiosOf(rounds, p99));
  stage.atMost(`${title}: p99 receive of the healthy, to without, median of ${ROUNDS}`, ratio, 1.2, "x");
}
