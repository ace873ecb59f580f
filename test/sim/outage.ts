import { Problem } from "../../src/domain/problem.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import { QUICK } from "./faulty-store.ts";
import { OutageLedger, type ParkedFigures } from "./outage-ledger.ts";
import { SOUND } from "./plants.ts";
import { Died, SimWorld } from "./world.ts";

export interface OutageOptions {
  readonly webhooks: number;
  /** How long all of their receivers are down. */
  readonly minutes: number;
  /** How long hookd is down after its crash, half-way. */
  readonly downSeconds: number;
  readonly seed: number;
}

/** What came out, with what is asked for beside it in `problemsOf`. */
export interface OutageReport {
  readonly webhooks: number;
  readonly healthyWebhooks: number;
  readonly outageMinutes: number;
  readonly accepted: number;
  readonly attempts: number;
  readonly openBreakers: number;
  /** Attempts at parked lanes; from the restart on after the crash. */
  readonly beforeCrash: ParkedFigures;
  readonly afterCrash: ParkedFigures;
  /** Attempts in flight for a lane beyond doubling once in each round trip since its first success. */
  readonly rampViolations: number;
  readonly concurrencyPeaksBySecond: readonly number[];
  readonly busiestReceiverPerSecond: number;
  readonly freshP50Ms: number;
  readonly freshP99Ms: number;
  readonly freshMaxMs: number;
  readonly drainSeconds: number;
  readonly refused: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly inFlightAtCrash: number;
  readonly realSeconds: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const TICK_MS = 100;
const ROUND_TRIP_MS = 100;
/** Of the webhooks: always healthy ones beside them, and those of them with a deep backlog. */
const HEALTHY_SHARE = 1 / 50;
const DEEP_SHARE = 1 / 100;
const HANGING_SHARE = 1 / 20;
/** What opens each breaker in the first minute. */
const OPENING_EVENTS = 6;
const PARKED_FROM_MS = 2 * MINUTE;
const DRAIN_MAX_MS = 60 * MINUTE;
/** What is wrong with the figures. */
export function problemsOf(report: OutageReport): string[] {
  const checks: readonly (readonly [boolean, string])[] = [
    [report.openBreakers === report.webhooks, "every lane is parked"],
    [report.beforeCrash.attemptsPer30s <= 1, "a parked lane makes at most one attempt in 30 s"],
    [report.afterCrash.attemptsPer30s <= 1, "and so it does from the restart on"],
    [report.beforeCrash.secondsBeyond === 0, "no second has 1.5 times the mean, beyond chance"],
    [report.afterCrash.secondsBeyond === 0, "nor one from the restart on"],
    [report.rampViolations === 0, "concurrency doubles at most once in a round trip"],
    [report.freshP99Ms <= SECOND, "fresh events reach healthy receivers within a second while it drains"],
    [report.lost === 0 && report.refused === 0, "nothing is lost or refused"],
    [report.duplicates <= report.inFlightAtCrash, "duplicates are at most what was in flight"],
    [report.drainSeconds * SECOND < DRAIN_MAX_MS, "everything drains"],
  ];
  return checks.filter(([isHeld]) => !isHeld).map(([, what]) => `not: ${what}`);
}

/**
 * All receivers of many webhooks are down for an hour, beside some that are well; half-way the process
 * crashes. Probes do not back off here: the default lets them, up to 5 minutes.
 */
export async function outage(options: OutageOptions): Promise<OutageReport> {
  const begun = performance.now();
  const run = new Outage(options);
  await run.start();
  const report = await run.run();
  run.world.crash();
  return { ...report, realSeconds: (performance.now() - begun) / SECOND };
}

class Outage {
  readonly world: SimWorld;
  readonly ledger = new OutageLedger(ROUND_TRIP_MS);
  readonly #options: OutageOptions;
  readonly #down: Webhook[] = [];
  readonly #healthy: Webhook[] = [];
  #isDown = false;
  #refused = 0;
  /** Events owed by each list, in fractions: a rate below one a tick. */
  readonly #owed = new Map<readonly Webhook[], number>();
  readonly #next = new Map<readonly Webhook[], number>();

  constructor(options: OutageOptions) {
    this.#options = options;
    const { ledger } = this;
    this.world = new SimWorld(
      {
        seed: options.seed,
        config: {
          "breaker.probe_max": "30s",
          "retry.schedule": ["1s", "5s", "30s", "1m", ...Array.from({ length: 30 }, () => "5m")],
        },
        senders: 2,
        store: "memory",
        alter: SOUND.deps,
        alterOutcomes: SOUND.outcomes,
      },
      {
        onCommitBegun: () => {},
        onCommitted: () => {},
        onLeased: () => {},
        onWebhook: () => {},
        outcomes: (outcomes) => ledger.ended(outcomes, this.world.time.mono()),
        settled: () => {},
        crashed: () => ledger.crashed(),
      },
    );
    const { receivers, time } = this.world;
    receivers.onAttempt = ({ order }) => {
      receivers.attempts.length = 0;
      ledger.begins(order, time.mono(), receivers.inFlight.get(order.webhookId) ?? 0);
    };
  }

  async start(): Promise<void> {
    const { world } = this;
    await world.start();
    const { webhooks } = this.#options;
    for (let n = 0; n < webhooks; n += 1) this.#down.push(await this.#register(n));
    const healthy = Math.max(10, Math.round(webhooks * HEALTHY_SHARE));
    for (let n = 0; n < healthy; n += 1) this.#healthy.push(await this.#register(webhooks + n));
    const hanging = new Set(this.#down.filter((_, n) => n % (1 / HANGING_SHARE) === 0).map(({ id }) => id));
    const downIds = new Set(this.#down.map(({ id }) => id));
    this.ledger.watch(downIds);
    world.receivers.otherwise = ({ webhookId }) => {
      if (!this.#isDown || !downIds.has(webhookId)) return { afterMs: ROUND_TRIP_MS };
      return hanging.has(webhookId) ? { afterMs: Infinity } : { error: "connect", afterMs: 20 };
    };
    this.#mind();
  }

  async run(): Promise<Omit<OutageReport, "realSeconds">> {
    const { world, ledger } = this;
    const outageMs = this.#options.minutes * MINUTE;
    const deep = this.#down.slice(0, Math.max(5, Math.round(this.#down.length * DEEP_SHARE)));
    const usual = [
      [this.#down, this.#down.length / (10 * MINUTE)],
      [this.#healthy, this.#healthy.length / (10 * SECOND)],
    ] as const;
    await this.#pass(30 * SECOND, [[this.#down, this.#down.length / (30 * SECOND)]]);
    this.#isDown = true;
    const downAt = world.time.mono();
    await this.#pass(MINUTE, [[this.#down, (OPENING_EVENTS * this.#down.length) / MINUTE]]);
    const parked = [...usual, [deep, deep.length / (5 * SECOND)]] as const;
    await this.#pass(PARKED_FROM_MS - MINUTE, parked);
    ledger.mark("parked");
    await this.#pass(downAt + outageMs / 2 - world.time.mono(), parked);
    const openBreakers = await this.#openBreakers();
    ledger.mark("crash");
    const inFlightAtCrash = world.receivers.inFlightInAll;
    await this.#crash(this.#options.downSeconds * SECOND);
    await this.#pass(downAt + outageMs - world.time.mono(), parked);
    ledger.mark("recovered");
    this.#isDown = false;
    ledger.recovered();
    const recoveredAt = world.time.mono();
    await this.#drain();
    const counts = ledger.counts();
    return {
      webhooks: this.#down.length,
      healthyWebhooks: this.#healthy.length,
      outageMinutes: this.#options.minutes,
      openBreakers,
      ...ledger.parkedFigures(this.#down.length),
      ...ledger.recoveryFigures(),
      drainSeconds: (world.time.mono() - recoveredAt) / SECOND,
      refused: this.#refused,
      ...counts,
      inFlightAtCrash,
    };
  }

  /** Time passes with events at these rates, per ms, spread evenly over the webhooks of each list. */
  async #pass(ms: number, rates: readonly (readonly [readonly Webhook[], number])[]): Promise<void> {
    const { time } = this.world;
    const until = time.mono() + ms;
    while (time.mono() < until) {
      for (const [webhooks, perMs] of rates) this.#publish(webhooks, perMs * TICK_MS);
      await this.world.advance(Math.min(TICK_MS, until - time.mono()));
      this.ledger.tick(time.mono());
    }
  }

  #publish(webhooks: readonly Webhook[], count: number): void {
    let owed = (this.#owed.get(webhooks) ?? 0) + count;
    let at = this.#next.get(webhooks) ?? 0;
    const isHealthy = webhooks === this.#healthy;
    const requests = [];
    const numbers: number[] = [];
    for (; owed >= 1; owed -= 1) {
      const webhook = webhooks[at % webhooks.length] as Webhook;
      at += 1;
      const n = this.ledger.published(this.world.time.mono(), isHealthy);
      numbers.push(n);
      const { userId, eventId, id } = webhook;
      const payload = Buffer.from(String(n));
      requests.push({
        userId,
        eventId,
        uid: null,
        contentType: "text/plain",
        payload,
        targets: [id],
        trace: null,
      });
    }
    this.#owed.set(webhooks, owed);
    this.#next.set(webhooks, at);
    if (requests.length === 0) return;
    const answer = this.world.director.publishMany(requests);
    this.world.orDied(answer).then(
      (outcomes) => {
        outcomes.forEach((outcome, index) => {
          if (outcome instanceof Problem) this.#refused += 1;
          else this.ledger.accepted(numbers[index] as number);
        });
      },
      (error) => {
        if (!(error instanceof Died)) throw error;
      },
    );
  }

  async #crash(downMs: number): Promise<void> {
    const { world, ledger } = this;
    world.crash();
    await world.advance(downMs);
    ledger.tick(world.time.mono());
    // What it does as soon as it begins counts.
    ledger.mark("restart");
    await world.start();
    this.#mind();
  }

  /** Fresh events go on to the healthy ones while the backlog drains. */
  async #drain(): Promise<void> {
    const { world } = this;
    const deadline = world.time.mono() + DRAIN_MAX_MS;
    while (world.time.mono() < deadline && this.ledger.counts().lost > 0) {
      await this.#pass(10 * SECOND, [[this.#healthy, this.#healthy.length / SECOND]]);
      // What was published just now is on its way.
      await this.#pass(SECOND, []);
    }
  }

  async #openBreakers(): Promise<number> {
    const live = await this.world.call(this.world.director.live(this.#down.map(({ id }) => id)));
    return live.filter(({ breaker }) => breaker === "open").length;
  }

  /** A disk that takes a few milliseconds for a commit. */
  #mind(): void {
    this.world.faults.mood = { ...QUICK, beforeMs: () => 1, afterMs: () => 2 };
  }

  #register(n: number): Promise<Webhook> {
    const { world } = this;
    return world.call(
      world.director.createWebhook({
        userId: `user${n % 100}`,
        eventId: `event.n${Math.floor(n / 100)}`,
        callbackUrl: "https://receiver.example/hook",
        description: null,
        metadata: {},
        sealed: new Uint8Array(0),
        headerNames: [],
        isActive: true,
        rateLimit: null,
        concurrencyMax: null,
        timeoutMs: null,
        retry: null,
        permanent: null,
        ordering: "none",
      }),
    );
  }
}
