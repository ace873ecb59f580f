import { measure, startMeasurement } from "../measure.ts";
import { medianOf } from "../pairs.ts";
import { askBatch, type BatchAnswer } from "../refusal.ts";
import type { RunFigures, RunPlan } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 60_000;
const CALM_RATE = 1_000;
/** As many publishers as it takes to keep offering while answers are slow. */
const CONNECTIONS = 8_192;
/** So many requests of this size are 80,000 events: more than may wait for a commit, so that hookd has to refuse. */
const BATCH = 10;
const DRAIN_MAX_MS = 600_000;
const OFFERED_SHARE_MIN = 0.95;
const ALLOWED = ["429", "503"];
const ASK_MS = 500;

/**
 * Far more than it can take, for a minute each: by single events, of which so many publishers send what they can while
 * answers are slow, and by batches, of which all is offered. Refused rather than lost, and forgotten soon after.
 */
export const peak: Scenario = {
  name: "peak",
  takes: ["rate", "duration"],
  origins: 1,
  async play(stage) {
    const calm = stage.plan({
      webhooks: 1_000,
      origins: 1,
      ratePerSecond: CALM_RATE,
      durationMs: stage.ms(10_000),
    });
    await stage.withRig(calm, { publisherThreads: 2 }, (rig) => play(stage, rig, calm));
  },
};

async function play(stage: Stage, rig: Rig, calm: RunPlan): Promise<void> {
  const drainMaxMs = DRAIN_MAX_MS;
  const plan = {
    ...calm,
    ratePerSecond: stage.options.rateGiven ?? RATE,
    durationMs: stage.ms(stage.options.durationGivenMs ?? 60_000),
    warmUpMs: 0,
    connections: CONNECTIONS,
  };
  const before = await measure(rig, { title: "before the peak", plan: calm, drainMaxMs });
  const singles = await measure(rig, { title: "peak of single events", plan, drainMaxMs, isCutOff: true });
  const { run: batches, answers } = await peakOfBatches(rig, { ...plan, batch: BATCH });
  const after = await measure(rig, { title: "after the peak", plan: { ...calm, warmUpMs: 0 }, drainMaxMs });
  stage.runs.push(before, singles, batches, after);
  for (const run of [singles, batches]) judgePeak(stage, run);
  judgeRefusals(stage, batches, answers);
  stage.clean({ title: "peak", ledger: after.ledger }, { mayRefuse: true });
  stage.verdict("answered", `${after.ledger.unknown} without an answer`, "all", after.ledger.unknown === 0);
  stage.atMost("p99 receive afterwards, to before, median second", calmP99(after) / calmP99(before), 2, "x");
}

/** Of the last seconds, the median: one in which the disk stands still would decide the p99 of so few events. */
function calmP99({ series, plan }: RunFigures): number {
  const seconds = series.filter(({ accepted }) => accepted > 0).slice(-Math.ceil(plan.durationMs / 1_000));
  return medianOf(seconds.map(({ receiveP99Ms }) => receiveP99Ms));
}

/** Beside the load, one batch after the other whose answer's headers are looked at. */
async function peakOfBatches(rig: Rig, plan: RunPlan): Promise<{ run: RunFigures; answers: BatchAnswer[] }> {
  const title = "peak of batches";
  rig.phase = title;
  const measurement = startMeasurement(rig, { title, plan, drainMaxMs: DRAIN_MAX_MS, isCutOff: true });
  const answers: BatchAnswer[] = [];
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      answers.push(await askBatch(rig, answers.length, BATCH));
      await rig.pause(ASK_MS);
    }
  })();
  await Promise.race([measurement.running.done, asking]);
  isOver = true;
  await asking;
  return { run: await measurement.finish(), answers };
}

function judgePeak(stage: Stage, { title, plan, window, drainSeconds }: RunFigures): void {
  const due = ((plan.ratePerSecond ?? 0) * plan.durationMs) / 1_000;
  const answers = Object.entries({ "202": window.accepted, ...window.refused });
  stage.notes.push(
    `${title}: ${due} due, ${window.offered} sent on ${plan.connections} connections, ` +
      `${window.acceptedPerSecond.toFixed(0)}/s accepted, drained in ${drainSeconds.toFixed(0)} s`,
  );
  stage.verdict(
    `${title}: answers`,
    answers.map(([status, count]) => `${status}: ${count}`).join(", "),
    "202, 429 or 503",
    Object.keys(window.refused).every((status) => ALLOWED.includes(status)),
  );
}

function judgeRefusals(
  stage: Stage,
  { title, plan, window }: RunFigures,
  answers: readonly BatchAnswer[],
): void {
  const due = ((plan.ratePerSecond ?? 0) * plan.durationMs) / 1_000;
  stage.atLeast(`${title}: sent of what was due`, (window.offered / due) * 100, OFFERED_SHARE_MIN * 100, "%");
  const refused = window.offered - window.accepted;
  stage.verdict(
    `${title}: refused what it could not take`,
    `${refused} of ${window.offered}`,
    "some, where not all was accepted in time",
    refused > 0 || window.accept.p99 <= 1_000,
  );
  const refusals = answers.filter((answer) => answer.refused > 0);
  stage.verdict(
    `${title}: Retry-After`,
    `on ${refusals.filter(({ hasRetryAfter }) => hasRetryAfter).length} of ${refusals.length} answers with refusals`,
    "on each",
    refusals.every(({ hasRetryAfter }) => hasRetryAfter) && (refused === 0 || refusals.length > 0),
  );
}
