import type { Config } from "../config/config.ts";
import { type Attempt, lostAttempt } from "../domain/delivery.ts";
import { type DeliveryId, formatId, type IdSalt, seqAtTime } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Outcome, Sender } from "../sender/port.ts";
import type { Flights } from "./flights.ts";
import { targetOf } from "./target.ts";

/** Samples in flight at once; each ends by its deadline. */
const SAMPLES_MAX = 100;
/** Of them, one user's: whoever has receivers that hang leaves room for the others. */
const USER_SAMPLES_MAX = 10;

interface Waiting {
  readonly userId: string;
  readonly tell: (attempt: Attempt) => void;
}

/**
 * Sample attempts that a user asks for: sent at once, outside of lanes and log. They are told from deliveries by a
 * negative id, under which a sender also knows their target (a version of its own, for this one attempt).
 */
export class Samples {
  readonly #senders: readonly Sender[];
  readonly #flights: Flights;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(senders: readonly Sender[], flights: Flights, clock: Clock) {
    this.#senders = senders;
    this.#flights = flights;
    this.#clock = clock;
  }

  send(webhook: Webhook, config: Config, salt: IdSalt): Promise<Attempt> {
    const { userId } = webhook;
    const ofUser = [...this.#waiting.values()].filter((waiting) => waiting.userId === userId).length;
    refuseFrom(this.#waiting.size, SAMPLES_MAX, "");
    refuseFrom(ofUser, USER_SAMPLES_MAX, ` of ${userId}`);
    this.#lastId -= 1;
    const id = this.#lastId;
    const sender = this.#senders[this.#senderOf(id)];
    const target = { ...targetOf(webhook, config, salt), webhookId: id as Webhook["id"] };
    const now = this.#clock.now();
    const uid = `test_${formatId("evt", seqAtTime(now) - id, salt).slice(4)}`;
    const eventId = webhook.eventId.includes("*") ? "hookd.test" : webhook.eventId;
    const payload = { test: true, event_id: eventId, sent_at: new Date(now).toISOString() };
    return new Promise((resolve) => {
      const tell = (attempt: Attempt) => {
        sender?.dropTarget(target.webhookId);
        resolve(attempt);
      };
      this.#waiting.set(id, { userId, tell });
      sender?.putTarget(target);
      sender?.send([
        {
          deliveryId: id as DeliveryId,
          token: this.#flights.takeTokens(1),
          webhookId: target.webhookId,
          attemptNumber: 1,
          eventUid: uid,
          eventId,
          contentType: "application/json",
          payload: Buffer.from(JSON.stringify(payload)),
          traceparent: null,
        },
      ]);
    });
  }

  /** Takes the samples' outcomes out; the deliveries' are returned. */
  take(outcomes: readonly Outcome[]): readonly Outcome[] {
    if (this.#waiting.size === 0) return outcomes;
    return outcomes.filter((outcome) => !this.#end(outcome.deliveryId, outcome.attempt));
  }

  /** A sender has died, or was stopped: no outcome will come for what it had. */
  lost(sender: number): void {
    const attempt = lostAttempt(1, this.#clock.now());
    for (const id of [...this.#waiting.keys()]) if (this.#senderOf(id) === sender) this.#end(id, attempt);
  }

  #senderOf(id: number): number {
    return -id % this.#senders.length;
  }

  /** False: it is no sample's. */
  #end(id: number, attempt: Attempt): boolean {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    waiting.tell(attempt);
    return true;
  }
}

function refuseFrom(underWay: number, most: number, whose: string): void {
  if (underWay < most) return;
  throw new Problem("overloaded", `${most} tests${whose} are under way: try again in a moment`);
}
