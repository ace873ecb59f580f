import { measure } from "../measure.ts";
import type { Scenario } from "../stage.ts";

const RATE = 60_000;
const CALM_RATE = 1_000;
/** As many publishers as it takes to keep offering while answers are slow. */
const CONNECTIONS = 8_192;
const DRAIN_MAX_MS = 600_000;
const ALLOWED = ["429", "503"];

/** Far more than it can take, for a minute: refused rather than lost, and forgotten soon after. */
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
    await stage.withRig(calm, { publisherThreads: 2 }, async (rig) => {
      const drainMaxMs = DRAIN_MAX_MS;
      const before = await measure(rig, { title: "before the peak", plan: calm, drainMaxMs });
      const durationMs = stage.ms(stage.options.durationGivenMs ?? 60_000);
      const rate = stage.options.rateGiven ?? RATE;
      const plan = {
        ...calm,
        ratePerSecond: rate,
        durationMs,
        warmUpMs: 0,
        connections: CONNECTIONS,
      };
      const peaked = await measure(rig, { title: "peak", plan, drainMaxMs, isCutOff: true });
      const after = await measure(rig, {
        title: "after the peak",
        plan: { ...calm, warmUpMs: 0 },
        drainMaxMs,
      });
      const { accepted, refused, acceptedPerSecond } = peaked.window;
      const { ledger } = peaked;
      const due = (rate * durationMs) / 1_000;
      const answers = Object.entries({ "202": accepted, ...refused });
      const sent = answers.reduce((sum, [, count]) => sum + count, 0);
      stage.runs.push(before, peaked, after);
      stage.notes.push(
        `peak: ${due} due, ${sent} sent on ${CONNECTIONS} connections, ` +
          `${acceptedPerSecond.toFixed(0)}/s accepted, drained in ${peaked.drainSeconds.toFixed(0)} s`,
      );
      stage.verdict(
        "answers in the peak",
        answers.map(([status, count]) => `${status}: ${count}`).join(", "),
        "202, 429 or 503",
        Object.keys(refused).every((status) => ALLOWED.includes(status)),
      );
      stage.verdict(
        "ledger of the peak",
        `${ledger.lost} lost, ${ledger.duplicated} duplicated, ${ledger.unknown} unknown`,
        "0 lost",
        ledger.lost + ledger.duplicated + ledger.unknown === 0,
      );
      stage.atMost(
        "p99 receive afterwards, to before",
        after.window.receive.p99 / before.window.receive.p99,
        2,
        "x",
      );
    });
  },
};
