import type { Verdict } from "../../src/domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { Kept } from "./disks.ts";

/**
 * A point in time, as far as the wall clock may be trusted: `elapsedMs` counts every step forward as time
 * passed.
 */
export interface Moment {
  readonly mono: number;
  /** By the director's own clock. */
  readonly now: number;
  readonly forwardMs: number;
  /** How far the director's clock had gone back over restarts. */
  readonly regressMs: number;
}

/** What a publisher asked for, and was told. */
export interface EventEntry {
  readonly n: number;
  readonly uid: string | null;
  readonly isBroadcast: boolean;
  readonly webhookIds: readonly WebhookId[];
  /** Unknown: the process ended before it answered. The event may have been stored, or not. */
  state: "asked" | "accepted" | "refused" | "unknown";
}

/** An attempt as its receiver saw it. */
export interface Try {
  readonly number: number;
  /** Attempts before the round, as the disk had it; null where it cannot be read. */
  readonly roundStart: number | null;
  readonly token: number;
  readonly sender: number;
  ended: Moment | null;
  verdict: Verdict | null;
  retryAfterMs: number;
}

/** All that is known of one delivery from outside of the director. */
export interface DeliveryEntry {
  readonly id: DeliveryId;
  readonly webhookId: WebhookId;
  readonly n: number;
  /** It cannot have been queued before. */
  readonly since: Moment;
  /** Its publisher was told its id, with a 202. */
  isAccepted: boolean;
  last: Try | null;
  inFlight: number;
  /** An attempt succeeded, and its outcome was reported to a director that still runs. */
  hasSucceeded: boolean;
  /** The director has said that a success is recorded. */
  isRecorded: boolean;
  /** Any attempt succeeded, whether that could be recorded or not. */
  everSucceeded: boolean;
  isCancelAsked: boolean;
  /** A user asked for it to be tried again: no schedule holds until its next attempt. */
  isHurried: boolean;
  /** It was asked for again at some time: its place in a fifo lane is not that of its id. */
  isMoved: boolean;
  kept: Kept | null;
  lastOpen: Moment;
  isGone: boolean;
}

/** The uid of event 17 is `e17`. */
export const UID_PREFIX = "e";

/** What the publishers and receivers of a simulation know: the director is measured against it. */
export class Ledger {
  readonly events = new Map<number, EventEntry>();
  readonly deliveries = new Map<DeliveryId, DeliveryEntry>();
  readonly accepted: DeliveryEntry[] = [];
  readonly #now: () => Moment;
  readonly #askedAt = new Map<number, Moment>();
  /** The events and webhooks of all deliveries that were heard of: `17/42`. */
  readonly #heardOf = new Set<string>();
  attempts = 0;

  constructor(now: () => Moment) {
    this.#now = now;
  }

  elapsedMs(since: Moment, until: Moment = this.#now()): number {
    return until.mono - since.mono + until.forwardMs - since.forwardMs;
  }

  ask(hasUid: boolean, webhookIds: readonly WebhookId[], isBroadcast: boolean): EventEntry {
    const n = this.events.size + 1;
    const uid = hasUid ? `${UID_PREFIX}${n}` : null;
    const entry: EventEntry = { n, uid, isBroadcast, webhookIds, state: "asked" };
    this.events.set(n, entry);
    return entry;
  }

  /** The publisher was told of these deliveries. */
  accept(event: EventEntry, deliveries: readonly { id: DeliveryId; webhookId: WebhookId }[]): void {
    event.state = "accepted";
    for (const { id, webhookId } of deliveries) {
      const entry = this.entry(id, webhookId, event.n);
      if (entry.isAccepted) continue;
      entry.isAccepted = true;
      this.accepted.push(entry);
    }
  }

  /** The delivery's entry, made when it is first heard of. */
  entry(id: DeliveryId, webhookId: WebhookId, n: number): DeliveryEntry {
    const known = this.deliveries.get(id);
    if (known) return known;
    const since = this.#askedAt.get(n) ?? this.#now();
    const entry: DeliveryEntry = {
      id,
      webhookId,
      n,
      since,
      isAccepted: false,
      last: null,
      inFlight: 0,
      hasSucceeded: false,
      isRecorded: false,
      everSucceeded: false,
      isCancelAsked: false,
      isHurried: false,
      isMoved: false,
      kept: null,
      // It may have ended at once, long before anybody saw it.
      lastOpen: since,
      isGone: false,
    };
    this.deliveries.set(id, entry);
    this.#heardOf.add(`${n}/${webhookId}`);
    return entry;
  }

  /** Whether the event's delivery to the webhook was seen: on the disk, in an answer, or by its receiver. */
  isHeardOf({ n }: EventEntry, webhookId: WebhookId): boolean {
    return this.#heardOf.has(`${n}/${webhookId}`);
  }

  /** Call when an event is handed over, before it can be stored. */
  handedOver(event: EventEntry): void {
    if (event.state === "refused") event.state = "asked";
    if (!this.#askedAt.has(event.n)) this.#askedAt.set(event.n, this.#now());
  }

  /** Its receiver has answered. False: of an attempt that had ended already. */
  ended(id: DeliveryId, token: number, verdict: Verdict, retryAfterMs: number): boolean {
    const entry = this.deliveries.get(id);
    const last = entry?.last;
    if (!entry || !last || last.token !== token || last.ended) return false;
    last.ended = this.#now();
    last.verdict = verdict;
    last.retryAfterMs = retryAfterMs;
    entry.inFlight -= 1;
    if (verdict === "success") {
      entry.hasSucceeded = true;
      entry.everSucceeded = true;
    }
    return true;
  }

  /** Everything that was in flight there, with a verdict of the director's own. */
  senderLost(sender: number): Try[] {
    const lost: Try[] = [];
    for (const entry of this.deliveries.values()) {
      const { last } = entry;
      if (entry.inFlight === 0 || !last || last.sender !== sender || last.ended) continue;
      lost.push(last);
      last.ended = this.#now();
      last.verdict = "lost";
      entry.inFlight = 0;
    }
    return lost;
  }

  /** A user asked for it to be sent again, whatever became of it. */
  reopen(entry: DeliveryEntry): void {
    entry.hasSucceeded = false;
    entry.isRecorded = false;
    entry.isHurried = true;
    entry.isMoved = true;
  }

  /** The same for all deliveries to a webhook, but those that are known to be delivered if only the dead are asked for. */
  reopenAll(webhookId: WebhookId, areDeadOnly: boolean): void {
    for (const entry of this.deliveries.values()) {
      if (entry.webhookId !== webhookId || (areDeadOnly && isDelivered(entry))) continue;
      this.reopen(entry);
    }
  }

  /** What was not recorded may happen again; what was asked may have been done. */
  crashed(): void {
    for (const event of this.events.values()) if (event.state === "asked") event.state = "unknown";
    for (const entry of this.deliveries.values()) {
      entry.hasSucceeded = false;
      entry.inFlight = 0;
      // It is not known whether the lease was freed, or the outcome stored.
      if (entry.last && !entry.last.ended) entry.last = { ...entry.last, ended: null, verdict: "lost" };
    }
  }
}

/** As the director has said, or will, or as the disk has it: unless it was sent again since, and failed. */
function isDelivered({ isRecorded, hasSucceeded, kept, last }: DeliveryEntry): boolean {
  return isRecorded || hasSucceeded || (kept?.status === "success" && last?.verdict === "success");
}
