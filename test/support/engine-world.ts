import { expect, onTestFinished } from "vitest";
import type { Archive } from "../../src/archive/port.ts";
import type { Config } from "../../src/config/config.ts";
import { loadConfig, type Overrides } from "../../src/config/load.ts";
import type { Delivery } from "../../src/domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import { Director } from "../../src/engine/director.ts";
import type {
  LaneLive,
  PublishRequest,
  PublishResult,
  SettledAttempt,
  WebhookFields,
} from "../../src/engine/port.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { steadyClock } from "../../src/lib/steady-clock.ts";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { createMemoryStore } from "../../src/store/memory/memory-store.ts";
import { FakeTime, seededRandom } from "./fake-clock.ts";
import { type Behaviour, Receivers, ScriptedSender } from "./scripted-sender.ts";
import { type StoreTap, tapStore } from "./store-tap.ts";

export interface WorldOptions {
  readonly config?: Overrides;
  readonly senders?: number;
  readonly seed?: number;
  readonly archive?: Archive;
}

const NO_FIELDS: WebhookFields = {
  userId: "user1",
  eventId: "order.paid",
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
};

/** No test stops for longer: the drain, and what comes after. */
const STOP_MS = 60_000;
const CALL_MS = 10_000;

/**
 * A director with everything real but time, randomness, receivers and the disk under the store. `crash` drops all of
 * it but the disk; what else the test holds goes on.
 */
export class EngineWorld {
  readonly time = new FakeTime();
  readonly receivers = new Receivers();
  readonly disk = new MemoryDisk();
  readonly config: Config;
  readonly settled: SettledAttempt[] = [];
  readonly warnings: string[] = [];
  readonly fatal: unknown[] = [];
  /** What the director is told of the disk. */
  freeBytes = Number.MAX_SAFE_INTEGER;
  /** The director's own. */
  clock!: Clock;
  director!: Director;
  tap!: StoreTap;
  senders: ScriptedSender[] = [];
  isRunning = false;
  readonly #random: () => number;
  readonly #senderCount: number;
  readonly #archive: Archive | null;
  #webhooks = 0;

  constructor(options: WorldOptions) {
    this.config = loadConfig({ env: {}, flags: { data_dir: "/nowhere", ...options.config } });
    this.#random = seededRandom(options.seed ?? 1);
    this.#senderCount = options.senders ?? 1;
    this.#archive = options.archive ?? null;
    this.time.isBusy = () => this.tap.pending() > 0;
  }

  async start(acceptClock = false): Promise<void> {
    const { config, time, receivers } = this;
    const clock = steadyClock(time);
    this.clock = clock;
    const { dedupeWindowMs } = config.limits;
    this.tap = tapStore(createMemoryStore({ disk: this.disk, clock, dedupeWindowMs }));
    this.senders = Array.from(
      { length: this.#senderCount },
      (_, index) =>
        new ScriptedSender(time, receivers, index, (outcomes) => this.director.takeOutcomes(outcomes)),
    );
    this.director = new Director({
      config,
      store: this.tap.store,
      archive: this.#archive,
      senders: this.senders,
      clock,
      timers: time,
      random: this.#random,
      acceptClock,
      freeBytes: () => this.freeBytes,
      log: {
        attempts: (attempts) => void this.settled.push(...attempts),
        warn: (message) => void this.warnings.push(message),
      },
      onFatal: (error) => void this.fatal.push(error),
    });
    await this.call(this.director.start());
    this.isRunning = true;
  }

  /** Waits for what the director was asked, without more time passing than that needs. */
  call<T>(promise: Promise<T>): Promise<T> {
    return this.time.until(promise, CALL_MS);
  }

  advance(ms: number): Promise<void> {
    return this.time.advance(ms);
  }

  async stop(): Promise<void> {
    this.isRunning = false;
    await this.time.until(this.director.stop(), STOP_MS);
  }

  /** The process is gone from one moment to the next; only the disk stays. */
  crash(): void {
    this.isRunning = false;
    this.tap.cut();
    for (const sender of this.senders) sender.die();
    this.time.forget();
  }

  async restart(): Promise<void> {
    if (this.isRunning) await this.stop();
    await this.start();
    await this.time.settle();
  }

  loseSender(index: number): void {
    this.senders[index]?.die();
    this.director.senderLost(index);
  }

  /** Each for an event of its own, unless told otherwise. */
  async webhook(fields: Partial<WebhookFields> = {}, behaviour?: Behaviour): Promise<Webhook> {
    this.#webhooks += 1;
    const webhook = await this.call(
      this.director.createWebhook({ ...NO_FIELDS, eventId: `event.n${this.#webhooks}`, ...fields }),
    );
    if (behaviour) this.receivers.set(webhook.id, behaviour);
    return webhook;
  }

  requestFor(webhook: Webhook, uid: string | null = null): PublishRequest {
    return {
      userId: webhook.userId,
      eventId: webhook.eventId.replace("*", "any"),
      uid,
      contentType: "application/json",
      payload: Buffer.from(`{"n":${this.receivers.attempts.length}}`),
      targets: [webhook.id],
      trace: null,
    };
  }

  /** One commit. Rejects with the first refusal. */
  async publish(webhook: Webhook, count = 1): Promise<DeliveryId[]> {
    const requests = Array.from({ length: count }, () => this.requestFor(webhook));
    const outcomes = await this.call(this.director.publishMany(requests));
    return outcomes.map((outcome) => {
      if (outcome instanceof Error) throw outcome;
      return outcome.deliveries[0]!.id;
    });
  }

  async publishOne(webhook: Webhook): Promise<DeliveryId> {
    const [id] = await this.publish(webhook);
    return id!;
  }

  publishResult(request: PublishRequest): Promise<PublishResult> {
    return this.call(this.director.publish(request));
  }

  async delivery(id: DeliveryId): Promise<Delivery> {
    const found = await this.call(this.director.getDelivery(id));
    return found!.delivery;
  }

  /** `dead/expired`, `success`... of each. */
  async fates(ids: readonly DeliveryId[]): Promise<string[]> {
    const deliveries = await Promise.all(ids.map((id) => this.delivery(id)));
    return deliveries.map(({ status, reason }) => (reason === null ? status : `${status}/${reason}`));
  }

  async fate(id: DeliveryId): Promise<string> {
    const [fate] = await this.fates([id]);
    return fate!;
  }

  /** The same fates, counted. */
  async tally(ids: readonly DeliveryId[]): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const fate of await this.fates(ids)) counts[fate] = (counts[fate] ?? 0) + 1;
    return counts;
  }

  async live(webhookId: WebhookId): Promise<LaneLive> {
    const [live] = await this.call(this.director.live([webhookId]));
    return live!;
  }

  async counter(name: string): Promise<number> {
    const { counters } = await this.call(this.director.stats());
    return counters[name] ?? 0;
  }

  async gauge(name: string): Promise<number> {
    const { gauges } = await this.call(this.director.stats());
    return gauges[name] ?? 0;
  }

  /** Delivery ids in the order in which attempts began. */
  order(webhookId?: WebhookId): DeliveryId[] {
    const seen = webhookId === undefined ? this.receivers.attempts : this.receivers.of(webhookId);
    return seen.map(({ order }) => order.deliveryId);
  }

  /** When each attempt at the webhook began, in ms after the first one. */
  pace(webhookId: WebhookId): number[] {
    const seen = this.receivers.of(webhookId);
    return seen.map(({ atMono }) => atMono - (seen[0]?.atMono ?? 0));
  }
}

/** A running world. At the end of the test nothing has failed that it did not look at, and no slot is lost. */
export async function setup(options: WorldOptions = {}): Promise<EngineWorld> {
  const world = new EngineWorld(options);
  await world.start();
  onTestFinished(async () => {
    expect(world.fatal).toEqual([]);
    if (!world.isRunning) return;
    await world.time.settle();
    expect(await world.counter("hookd_lane_count_drift_total")).toBe(0);
    expect(await world.gauge("hookd_in_flight")).toBe(world.receivers.inFlightInAll);
  });
  return world;
}
