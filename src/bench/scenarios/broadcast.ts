import { request } from "undici";
import { STATE } from "../ledger.ts";
import { measure, startMeasurement } from "../measure.ts";
import { monoMs } from "../mono.ts";
import { uidName } from "../names.ts";
import { PayloadWriter } from "../payload.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const EVERYONE = 100_000;
const OTHERS = 1_000;
const RATE = 1_000;
const EVENT = "bench.broadcast";
const ORIGINS = 1_000;
const EXPANDED_MAX_MS = 600_000;
const POLL_MS = 100;

/** One event for a hundred thousand users, while the others' events go on as before. */
export const broadcast: Scenario = {
  name: "broadcast",
  takes: [],
  origins: 1,
  async play(stage) {
    const everyone = stage.count(EVERYONE, 200);
    const plan = stage.plan({
      webhooks: everyone + OTHERS,
      users: everyone + OTHERS,
      origins: ORIGINS,
      ratePerSecond: RATE,
      durationMs: stage.ms(40_000),
    });
    const eventOf = (webhook: number) => (webhook < everyone ? EVENT : null);
    await stage.withRig(plan, { eventOf }, (rig) => play(stage, rig, plan, everyone));
  },
};

async function play(
  stage: Stage,
  rig: Rig,
  plan: ReturnType<Stage["plan"]>,
  everyone: number,
): Promise<void> {
  const target = { first: everyone, count: OTHERS, isScattered: false };
  const options = { plan, target, drainMaxMs: stage.options.drainMaxMs };
  const before = await measure(rig, { ...options, title: "others, before" });
  // Measured from its beginning to its end: the broadcast may be over before a warm-up is, or take minutes.
  const during = startMeasurement(rig, {
    ...options,
    plan: { ...plan, warmUpMs: 0, durationMs: EXPANDED_MAX_MS },
    title: "others, during the broadcast",
    isCutOff: true,
    deliveriesBeside: everyone,
  });
  const begunMono = monoMs();
  const seq = await publish(rig, everyone);
  while (takenCount(rig, seq, everyone) < everyone && monoMs() - begunMono < EXPANDED_MAX_MS) {
    await rig.pause(POLL_MS);
  }
  const seconds = (monoMs() - begunMono) / 1_000;
  during.running.stop();
  const run = await during.finish();
  const after = await measure(rig, { ...options, title: "others, after" });
  stage.runs.push(before, run, after);
  const { lost, duplicated } = countOf(rig, seq, everyone);
  stage.notes.push(`all ${everyone} delivered in ${seconds.toFixed(1)} s`);
  stage.verdict(
    "the broadcast, to each webhook",
    `${lost} lost, ${duplicated} duplicated`,
    "once",
    lost + duplicated === 0,
  );
  stage.clean(after);
  const without = (before.window.receive.p99 + after.window.receive.p99) / 2;
  stage.atMost(
    "p99 receive of the others, to without (before and after)",
    run.window.receive.p99 / without,
    1.2,
    "x",
  );
}

/** The ledger gets an entry for each webhook; the first one's number is in the payload. */
async function publish(rig: Rig, everyone: number): Promise<number> {
  const seq = rig.reserve(everyone);
  rig.threads.fanOut(seq);
  await rig.threads.flush();
  const now = monoMs();
  for (let webhook = 0; webhook < everyone; webhook += 1) rig.ledger.offered(seq + webhook, now);
  const body = Buffer.alloc(rig.settings.payloadBytes);
  new PayloadWriter(body.length).write(body, 0, seq, 0);
  const { daemon } = rig;
  const answer = await request(`http://${daemon.host}:${daemon.port}/v1/publish/${EVENT}?user_id=*`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${daemon.key}`,
      "content-type": "application/json",
      "idempotency-key": uidName(seq),
    },
    body,
  });
  const text = await answer.body.text();
  if (answer.statusCode !== 202) throw new Error(`the broadcast was refused: ${answer.statusCode} ${text}`);
  for (let webhook = 0; webhook < everyone; webhook += 1)
    rig.ledger.answered(seq + webhook, STATE.acknowledged);
  return seq;
}

function takenCount(rig: Rig, seq: number, everyone: number): number {
  let count = 0;
  for (let webhook = 0; webhook < everyone; webhook += 1) {
    if (rig.ledger.takenCount(seq + webhook) > 0) count += 1;
  }
  return count;
}

function countOf(rig: Rig, seq: number, everyone: number): { lost: number; duplicated: number } {
  let [lost, duplicated] = [0, 0];
  for (let webhook = 0; webhook < everyone; webhook += 1) {
    const taken = rig.ledger.takenCount(seq + webhook);
    if (taken === 0) lost += 1;
    else duplicated += taken - 1;
  }
  return { lost, duplicated };
}
