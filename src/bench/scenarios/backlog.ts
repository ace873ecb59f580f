import { findMax, planOfMax } from "../max.ts";
import { ledgerOf } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { MAX_CONNECTIONS } from "../plan.ts";
import { processMemory } from "../proc.ts";
import type { Drained, Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const EVENTS = 5_000_000;
const INTAKE_MS = 10_000;
const SETTLE_MS = 3_000;
const POLL_MS = 5;
const DRAIN_MAX_MS = 30 * 60_000;
const FILL_MAX_MS = 30 * 60_000;
/** As good as nothing goes out while the backlog is built: one attempt at a time, a second each. */
const HELD = { config: { delivery: { in_flight_max: 1 } }, latencyMs: 1_000 } as const;
const MB = 1e6;

/**
 * Five million deliveries wait. Taking events in must cost no more than with none, in time and memory; a
 * restart must not read them; and they must go out nearly as fast as fresh ones. They wait because hookd may
 * send one at a time, not because receivers fail: breakers are another scenario's (outage).
 */
export const backlog: Scenario = {
  name: "backlog",
  takes: [],
  origins: 1,
  async play(stage) {
    const plan = planOfMax(stage, 10_000);
    await stage.withRig(plan, {}, async (rig) => {
      const found = await findMax(rig, { ...stage.options, plan });
      stage.runs.push({ ...found.run, title: "max, nothing waiting" });
      await play(stage, rig, found.run.window.deliveredPerSecond);
    });
  },
};

async function play(stage: Stage, rig: Rig, maxPerSecond: number): Promise<void> {
  const { webhooks } = rig.settings;
  rig.site.behave(0, webhooks, 0, HELD.latencyMs);
  await rig.restart(HELD.config);
  await intake(stage, rig);
  const empty = await intake(stage, rig);
  await rig.pause(SETTLE_MS);
  const emptyBytes = processMemory(rig.daemon.pid)?.rssBytes ?? 0;
  rig.phase = "filling";
  const waiting = stage.count(EVENTS, 10_000);
  await rig.runLoad({
    ratePerSecond: null,
    durationMs: FILL_MAX_MS,
    eventsMax: waiting,
    batch: 100,
    // 100 each: fewer than may wait for a commit, so that none is refused.
    connections: 64,
    target: { first: 0, count: webhooks, isScattered: false },
  });
  await rig.threads.flush();
  const filled = rig.undelivered;
  const full = await intake(stage, rig);
  await rig.pause(SETTLE_MS);
  const fullBytes = processMemory(rig.daemon.pid)?.rssBytes ?? 0;
  rig.phase = "restarting";
  rig.site.behave(0, webhooks, 0, 0);
  await rig.daemon.crash();
  const requested = requests(rig);
  const begunMono = monoMs();
  await rig.restart({});
  while (requests(rig) === requested) await rig.pause(POLL_MS);
  const firstSeconds = (monoMs() - begunMono) / 1_000;
  const { perSecond, seconds, isComplete } = await drain(rig);
  const ledger = await ledgerOf(rig);
  stage.notes.push(
    `intake ${empty.toFixed(0)}/s empty, ${full.toFixed(0)}/s with ${filled} waiting`,
    `${ledger.duplicated} duplicated by the crash`,
  );
  stage.atLeast("waiting", filled, waiting, "");
  stage.atLeast("intake with the backlog, to without", (full / empty) * 100, 90, "%");
  stage.atMost("RSS with the backlog, more than without", (fullBytes - emptyBytes) / MB, 100, "MB");
  stage.atMost("crash to first delivery", firstSeconds, 3, "s");
  stage.atLeast("drained/s, to the max of this run", (perSecond / maxPerSecond) * 100, 80, "%");
  stage.verdict(
    "all drained",
    isComplete ? `in ${seconds.toFixed(0)} s` : `not in ${seconds.toFixed(0)} s`,
    "all",
    isComplete,
  );
  stage.clean({ title: "backlog", ledger });
}

/** Events accepted a second, one by one, as fast as they are taken. */
async function intake(stage: Stage, rig: Rig): Promise<number> {
  rig.phase = "measuring intake";
  const running = rig.startLoad({
    ratePerSecond: null,
    connections: MAX_CONNECTIONS,
    durationMs: stage.ms(INTAKE_MS),
    target: { first: 0, count: rig.settings.webhooks, isScattered: false },
  });
  const watch = rig.watch(running.load);
  await running.done;
  await rig.threads.flush();
  const { acceptedPerSecond } = watch.figures();
  watch.end();
  return acceptedPerSecond;
}

/**
 * Delivered a second, over the time in which the first nine tenths went out: the last ones wait for their
 * lanes. `seconds` is the time for all of them.
 */
async function drain(rig: Rig): Promise<Drained & { readonly perSecond: number }> {
  rig.phase = "draining";
  await rig.threads.flush();
  const begun = { mono: monoMs(), delivered: rig.recorder.delivered, open: rig.undelivered };
  const target = begun.delivered + begun.open * 0.9;
  while (rig.recorder.delivered < target && monoMs() - begun.mono < DRAIN_MAX_MS) await rig.pause(100);
  const perSecond = ((rig.recorder.delivered - begun.delivered) * 1_000) / (monoMs() - begun.mono);
  const { isComplete } = await rig.drain(DRAIN_MAX_MS);
  return { perSecond, isComplete, seconds: (monoMs() - begun.mono) / 1_000 };
}

function requests(rig: Rig): number {
  let sum = 0;
  for (let webhook = 0; webhook < rig.settings.webhooks; webhook += 1) sum += rig.site.requestsOf(webhook);
  return sum;
}
