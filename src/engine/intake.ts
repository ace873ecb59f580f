import type { Config } from "../config/config.ts";
import { dedupeKey } from "../domain/dedupe.ts";
import { DELIVERY_REFS_MAX } from "../domain/delivery.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../domain/ids.ts";
import type { Job } from "../domain/job.ts";
import { Problem } from "../domain/problem.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Appended, NewDelivery, NewEvent } from "../store/port.ts";
import type { Counters } from "./counters.ts";
import type { Flights } from "./flights.ts";
import { isOn, type Lane } from "./lane.ts";
import type { PublishRequest, PublishResult } from "./port.ts";
import type { Schedule } from "./schedule.ts";

/** One event on its way into a commit, with the lanes that its deliveries go to. */
export interface Entry {
  readonly event: NewEvent;
  readonly lanes: readonly Lane[];
}

export interface IntakeDeps {
  readonly config: Config;
  readonly schedule: Schedule;
  readonly flights: Flights;
  readonly counters: Counters;
  readonly nextSeq: (now: number) => number;
}

const RETRY_AFTER_FULL_SECONDS = 5;

/**
 * Turns publish requests into rows to append: checks the backlog limits, and takes a slot for each delivery that can
 * go straight to a sender. Nothing is changed on disk here.
 */
export class Intake {
  readonly #deps: IntakeDeps;
  /** Deliveries of the commit being built that will wait, by lane and by user. */
  readonly #waiting = new Map<Lane, number>();
  readonly #waitingOfUser = new Map<string, number>();
  #waitingInAll = 0;
  #webhooks: ReadonlyMap<WebhookId, Webhook> = new Map();

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  /** Call before each commit is built, with the webhooks that its events go to. */
  begin(webhooks: ReadonlyMap<WebhookId, Webhook>): void {
    this.#webhooks = webhooks;
    this.#waiting.clear();
    this.#waitingOfUser.clear();
    this.#waitingInAll = 0;
  }

  /** The row to append, or why the event is refused. */
  prepare(request: PublishRequest, expansion: Job | null, now: number, nowMono: number): Entry | Problem {
    // A refused event makes no lanes.
    const isFull = this.#fullFor(request);
    const lanes = isFull === null ? this.#lanesOf(request, nowMono) : [];
    const refusal = isFull ?? this.#fullLane(request, lanes);
    if (refusal !== null) {
      this.#deps.counters.refuse(refusal.code);
      return refusal;
    }
    const seq = this.#deps.nextSeq(now) as EventSeq;
    const isAlone = request.targets.length === 1 && expansion === null;
    const targets = lanes.map((lane) =>
      this.#deliveryTo(lane, (isAlone ? seq : this.#deps.nextSeq(now)) as DeliveryId, now, nowMono),
    );
    const { userId, eventId, uid, contentType, payload, trace } = request;
    const dedupe =
      uid === null ? null : (request.dedupe ?? dedupeKey(userId, uid, eventId, contentType, payload));
    const job = expansion === null ? null : { ...expansion, spec: expandOf(seq, eventId) };
    return {
      event: { seq, userId, eventId, uid, dedupe, contentType, payload, targets, expansion: job, trace },
      lanes,
    };
  }

  /** Counts an accepted event's waiting deliveries; a refused or duplicate one gives its slots back. */
  appended(entry: Entry, given: Appended | null, now: number, nowMono: number): void {
    const isAccepted = given?.kind === "accepted";
    entry.event.targets.forEach((target, index) => {
      const lane = entry.lanes[index];
      if (!lane || target.reason !== null) return;
      if (target.token === 0) lane.arriving -= 1;
      if (!isAccepted && target.token !== 0) this.#deps.schedule.giveBack(lane, false, now, nowMono);
      if (isAccepted && target.token === 0) {
        this.#deps.schedule.wait(lane, now, now, nowMono);
      }
    });
  }

  #deliveryTo(lane: Lane, id: DeliveryId, now: number, nowMono: number): NewDelivery {
    const { webhookId, webhook } = lane;
    const { userId } = webhook;
    const base = { id, webhookId, userId, token: 0, reason: null };
    if (!isOn(webhook)) return { ...base, reason: "disabled" };
    const waiting = this.#waiting.get(lane) ?? 0;
    if (waiting === 0 && this.#deps.schedule.tryHandOff(lane, now, nowMono)) {
      base.token = this.#deps.flights.takeTokens(1);
      return base;
    }
    // Only a broadcast comes here with its lane full: the others were refused as a whole.
    if (lane.pending + lane.retrying + waiting >= this.#deps.config.limits.laneBacklog) {
      return { ...base, reason: "overflow" };
    }
    this.#waiting.set(lane, waiting + 1);
    this.#waitingOfUser.set(userId, (this.#waitingOfUser.get(userId) ?? 0) + 1);
    this.#waitingInAll += 1;
    lane.arriving += 1;
    return base;
  }

  /** A webhook that is gone by now gets nothing. */
  #lanesOf({ targets }: PublishRequest, nowMono: number): readonly Lane[] {
    const lanes: Lane[] = [];
    for (const webhookId of targets) {
      const webhook = this.#webhooks.get(webhookId);
      if (webhook) lanes.push(this.#deps.schedule.laneOf(webhook, nowMono));
    }
    return lanes;
  }

  #fullFor({ userId }: PublishRequest): Problem | null {
    const { limits } = this.#deps.config;
    const { schedule } = this.#deps;
    if (schedule.backlog + schedule.inFlight + this.#waitingInAll >= limits.queueDepth) {
      return full(
        "queue_full",
        `the queue holds ${limits.queueDepth} deliveries, its limit (limits.queue_depth)`,
      );
    }
    if (userId === "*") return null;
    const ofUser = schedule.backlogOfUser(userId) + (this.#waitingOfUser.get(userId) ?? 0);
    if (ofUser >= limits.userBacklog) {
      return full(
        "user_full",
        `${limits.userBacklog} deliveries of user ${userId} are waiting, the limit (limits.user_backlog)`,
      );
    }
    return null;
  }

  /** A broadcast passes by lanes that are full. */
  #fullLane({ userId }: PublishRequest, lanes: readonly Lane[]): Problem | null {
    if (userId === "*") return null;
    const { limits } = this.#deps.config;
    for (const lane of lanes) {
      const { webhook } = lane;
      if (!isOn(webhook)) continue;
      const backlog = lane.pending + lane.retrying + (this.#waiting.get(lane) ?? 0);
      if (backlog >= limits.laneBacklog) {
        return full(
          "lane_full",
          `${limits.laneBacklog} deliveries for ${webhook.eventId} of user ${webhook.userId} are waiting, the limit ` +
            "(limits.lane_backlog)",
        );
      }
    }
    return null;
  }
}

function expandOf(event: EventSeq, eventId: string): Job["spec"] {
  return { kind: "expand", userId: null, event, eventId };
}

function full(code: "queue_full" | "user_full" | "lane_full", detail: string): Problem {
  return new Problem(code, detail, { retryAfterSeconds: RETRY_AFTER_FULL_SECONDS });
}

/** What the publisher is answered. */
export function resultOf(entry: Entry, appended: Appended): PublishResult | Problem {
  if (appended.kind === "conflict") {
    return new Problem(
      "uid_conflict",
      `event uid ${entry.event.uid ?? ""} was used for another event or payload`,
    );
  }
  if (appended.kind === "duplicate") {
    const { seq, deliveryCount, deliveries } = appended;
    return { event: seq, isDuplicate: true, deliveryCount, deliveries, fanOut: null };
  }
  const { seq, targets, expansion } = entry.event;
  return {
    event: seq,
    isDuplicate: false,
    deliveryCount: targets.length,
    deliveries: targets.slice(0, DELIVERY_REFS_MAX).map(({ id, webhookId }) => ({ id, webhookId })),
    fanOut: expansion?.id ?? null,
  };
}
