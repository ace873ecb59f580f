import type { Config } from "../config/config.ts";
import { formatId, type IdSalt, type WebhookId } from "../domain/ids.ts";
import { OPERATOR_USER } from "../domain/names.ts";
import { OPERATIONAL_EVENTS, type OperationalEventId, WAITS } from "../domain/operational-event.ts";
import { Problem } from "../domain/problem.ts";
import { mostSpecific } from "../domain/routing.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Paged, Store } from "../store/port.ts";
import { BehindWatch } from "./behind-watch.ts";
import type { Counters } from "./counters.ts";
import type { Death } from "./death.ts";
import { type DeathCount, DeathReports } from "./death-reports.ts";
import { type DiskWatch, RELEASE_FACTOR } from "./disk-watch.ts";
import type { Lane } from "./lane.ts";
import { type Notice, OperationalOutbox, type OutboxDeps } from "./operational-outbox.ts";
import { behindData, deadData, timeText, timeTextOrNull, webhookData } from "./operational-payload.ts";
import type { Schedule } from "./schedule.ts";
import { ToldStates } from "./told-states.ts";
import type { WebhookCache } from "./webhook-cache.ts";

export interface OperationalEventsDeps {
  readonly config: Config;
  readonly store: Store;
  readonly schedule: Schedule;
  readonly webhooks: WebhookCache;
  readonly counters: Counters;
  readonly disk: DiskWatch;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly salt: IdSalt;
  readonly publish: OutboxDeps["publish"];
  readonly onFatal: (error: unknown) => void;
}

const LOOK_EVERY_MS = 1_000;
const PAGE = 200;
/** Setting: deaths that were counted and not reported when hookd was stopped, as JSON. */
const DEATHS = "unreported_deaths";
/** How much shorter than `events.behind_after` the longest wait must be for the queue to be no longer behind. */
const CAUGHT_UP_SHARE = 0.5;

/**
 * What hookd tells its operator, by events of its own that take the way of all events. Without an operator's webhook for
 * a kind nothing is watched for it. Nothing that happens to an operator's webhook, or to what is sent to it, is told:
 * these events can never cause themselves.
 */
export class OperationalEvents {
  readonly #deps: OperationalEventsDeps;
  readonly #own = new Map<WebhookId, Webhook>();
  #targets: ReadonlyMap<OperationalEventId, WebhookId> = new Map();
  readonly #outbox: OperationalOutbox;
  readonly #deaths = new DeathReports();
  readonly #states: ToldStates;
  readonly #behind: BehindWatch;
  /** Counts of an earlier process that could not be taken up. */
  #leftOnDisk: string | null = null;
  #cancelTimer: (() => void) | null = null;
  #looking: Promise<void> | null = null;
  #isStopped = false;

  constructor(deps: OperationalEventsDeps) {
    this.#deps = deps;
    this.#states = new ToldStates(deps.store);
    this.#behind = new BehindWatch(deps);
    this.#outbox = new OperationalOutbox({
      counters: deps.counters,
      publish: deps.publish,
      targetOf: (eventId) => this.#targets.get(eventId) ?? null,
    });
  }

  /** Before the first delivery can die. */
  async start(): Promise<void> {
    const { store } = this.#deps;
    let before: number | null = null;
    do {
      const page: Paged<Webhook> = await store.listWebhooks(
        { userId: OPERATOR_USER },
        { limit: PAGE, before },
      );
      for (const webhook of page.items) this.#own.set(webhook.id, webhook);
      before = page.next;
    } while (before !== null);
    await this.#states.load();
    const deaths = await store.getSetting(DEATHS);
    if (deaths !== null && deaths !== "") await this.#takeUp(deaths);
    this.#route();
  }

  /** Forgotten on disk first: reported twice, the sum would be wrong. On a full disk they wait there for another start. */
  async #takeUp(deaths: string): Promise<void> {
    try {
      await this.#deps.store.putSetting(DEATHS, "");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#leftOnDisk = deaths;
      return;
    }
    this.#deaths.restore(deaths);
  }

  /** While the pipeline takes events still. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    await this.#looking;
    await this.#outbox.flush().catch((error) => this.#failed(error));
  }

  /** Behind the last commit: counts of deaths that nobody was told of wait for the next start. */
  async save(): Promise<void> {
    if (this.#deaths.isEmpty) return;
    if (this.#leftOnDisk !== null) this.#deaths.restore(this.#leftOnDisk);
    await this.#deps.store.putSetting(DEATHS, this.#deaths.save());
  }

  /** What is wanted may have changed with the configuration. */
  configChanged(): void {
    this.#route();
  }

  /** `lane` as it was before the change. */
  webhookChanged(after: Webhook, before: Webhook | null, lane: Lane | undefined): void {
    if (after.userId === OPERATOR_USER) {
      if (after.deletedAt === null) this.#own.set(after.id, after);
      else this.#own.delete(after.id);
      this.#route();
      return;
    }
    if (before === null || before.isActive === after.isActive || after.deletedAt !== null) return;
    this.#tell(after.isActive ? this.#enabled(after, before, lane) : this.#disabled(after, lane));
  }

  /** The first success since the lane's breaker opened. Shorter troubles are no news: receivers that flap would flood. */
  recovered({ webhook }: Lane, openedAt: number): void {
    const { clock, config, salt } = this.#deps;
    if (webhook.userId === OPERATOR_USER) return;
    const at = clock.now();
    if (at - openedAt < config.events.recoveredAfterMs) return;
    this.#tell({
      eventId: "hookd.webhook.recovered",
      uid: `hookd_recovered_${nameOf(webhook, salt)}_${openedAt}`,
      at,
      data: {
        webhook: webhookData(webhook, salt),
        reason: "success",
        broken_since: timeText(openedAt),
        disabled_reason: null,
      },
    });
  }

  #enabled(webhook: Webhook, before: Webhook, lane: Lane | undefined): Notice {
    const { salt } = this.#deps;
    return {
      eventId: "hookd.webhook.recovered",
      uid: `hookd_recovered_${nameOf(webhook, salt)}_v${webhook.version}`,
      at: webhook.updatedAt,
      data: {
        webhook: webhookData(webhook, salt),
        reason: "enabled",
        broken_since: timeTextOrNull(lane?.breaker.openedAt ?? null),
        disabled_reason: before.disabledReason,
      },
    };
  }

  #disabled(webhook: Webhook, lane: Lane | undefined): Notice {
    const { salt } = this.#deps;
    return {
      eventId: "hookd.webhook.disabled",
      uid: `hookd_disabled_${nameOf(webhook, salt)}_v${webhook.version}`,
      at: webhook.updatedAt,
      data: {
        webhook: webhookData(webhook, salt),
        reason: webhook.disabledReason,
        failing_since: timeTextOrNull(lane?.breaker.failingSince ?? null),
        open_deliveries: lane ? Math.max(0, lane.pending + lane.retrying + lane.inFlight) : 0,
      },
    };
  }

  #tell(notice: Notice): void {
    this.#outbox.add(notice);
    this.#outbox.flush().catch((error) => this.#failed(error));
  }

  /** The most specific of the operator's webhooks, as for any event; but for one that is off nothing is made. */
  #route(): void {
    const { counters, clock, config } = this.#deps;
    const byPattern = new Map([...this.#own.values()].map((webhook) => [webhook.eventId, webhook]));
    const targets = new Map<OperationalEventId, WebhookId>();
    for (const eventId of OPERATIONAL_EVENTS) {
      const webhook = byPattern.get(mostSpecific(byPattern.keys(), eventId) ?? "");
      if (webhook?.isActive) targets.set(eventId, webhook.id);
    }
    this.#targets = targets;
    const areDeathsWanted = targets.has("hookd.delivery.dead") && config.events.deadPerMinute > 0;
    const note = (death: Death) => {
      if (!this.#own.has(death.webhookId)) this.#deaths.note(death, clock.now());
    };
    counters.onDied = areDeathsWanted ? note : null;
    if (!areDeathsWanted) this.#deaths.clear();
    this.#wait();
  }

  /** Looks again in a moment, while there is somebody to tell. */
  #wait(): void {
    if (this.#isStopped || this.#cancelTimer || this.#looking || this.#targets.size === 0) return;
    this.#cancelTimer = this.#deps.timers.after(LOOK_EVERY_MS, () => {
      this.#cancelTimer = null;
      this.#looking = this.#look()
        .catch((error) => this.#failed(error))
        .finally(() => {
          this.#looking = null;
          this.#wait();
        });
    });
  }

  async #look(): Promise<void> {
    await this.#lookAtDisk();
    await this.#lookAtQueue();
    await this.#reportDeaths();
    await this.#outbox.flush();
  }

  async #lookAtDisk(): Promise<void> {
    const { config, disk, clock } = this.#deps;
    if (!this.#targets.has("hookd.disk.low")) return;
    const { diskLowBytes } = config.events;
    const { writableBytes } = disk;
    const isLow = writableBytes < diskLowBytes * (this.#states.isOn("disk") ? RELEASE_FACTOR : 1);
    const state = await this.#states.see("disk", isLow, clock.now());
    if (!state) return;
    this.#outbox.add({
      eventId: "hookd.disk.low",
      uid: `hookd_disk_${state.isOn ? "low" : "enough"}_${state.since}`,
      at: state.since,
      data: {
        is_low: state.isOn,
        since: timeText(state.since),
        free_bytes: writableBytes,
        low_bytes: diskLowBytes,
        refuse_bytes: config.limits.diskFreeBytes,
      },
      onStored: () => this.#states.told("disk", state),
    });
  }

  async #lookAtQueue(): Promise<void> {
    const { config, clock, salt } = this.#deps;
    if (!this.#targets.has("hookd.queue.behind")) return;
    const waits = await this.#behind.look();
    for (const name of WAITS) {
      const now = clock.now();
      const wait = waits[name];
      const afterMs = config.events.behindAfterMs * (this.#states.isOn(name) ? CAUGHT_UP_SHARE : 1);
      const isBehind = wait !== null && now - wait.since > afterMs;
      const state = await this.#states.see(name, isBehind, now);
      if (!state) continue;
      this.#outbox.add({
        eventId: "hookd.queue.behind",
        uid: `hookd_${name}_${state.isOn ? "behind" : "caught_up"}_${state.since}`,
        at: state.since,
        data: behindData(name, state, wait, now, salt),
        onStored: () => this.#states.told(name, state),
      });
    }
  }

  async #reportDeaths(): Promise<void> {
    const { config, clock, webhooks, salt } = this.#deps;
    const counts = this.#deaths.take(config.events.deadPerMinute, clock.mono());
    if (counts.length === 0) return;
    try {
      const { found } = await webhooks.load(new Set(counts.flatMap(({ webhookId }) => webhookId ?? [])));
      const webhookOf = ({ webhookId }: DeathCount) => (webhookId && found.get(webhookId)) || null;
      const told = counts.filter((count) => webhookOf(count)?.userId !== OPERATOR_USER);
      const at = clock.now();
      const areStored = await this.#outbox.publish(
        told.map((count) => ({
          eventId: "hookd.delivery.dead",
          uid: null,
          at,
          data: deadData(count, webhookOf(count), salt),
        })),
      );
      told.forEach((count, index) => {
        if (areStored[index] !== true) this.#deaths.putBack(count);
      });
    } catch (error) {
      for (const count of counts) this.#deaths.putBack(count);
      throw error;
    }
  }

  /** A store that takes nothing at the moment is the pipeline's to notice: what is to be told waits. */
  #failed(error: unknown): void {
    if (!(error instanceof Problem)) this.#deps.onFatal(error);
  }
}

/** The part of the webhook's id behind its prefix. */
function nameOf({ id }: Webhook, salt: IdSalt): string {
  return formatId("wh", id, salt).slice("wh_".length);
}
