import type { WebhookId } from "../domain/ids.ts";
import { OPERATOR_USER } from "../domain/names.ts";
import type { OperationalEventId } from "../domain/operational-event.ts";
import { Problem } from "../domain/problem.ts";
import { addTo, type Counters } from "./counters.ts";
import { type OperationalData, payloadOf } from "./operational-payload.ts";
import type { PublishOutcome, PublishRequest } from "./port.ts";

/** One of hookd's own events, to be published. */
export interface Notice {
  readonly eventId: OperationalEventId;
  /** The same for the same happening, also after a crash; null where nothing of it survives one. */
  readonly uid: string | null;
  readonly at: number;
  readonly data: OperationalData;
  readonly onStored?: () => Promise<void>;
}

export interface OutboxDeps {
  readonly counters: Counters;
  /** The webhook that the event goes to; null: nobody's. */
  readonly targetOf: (eventId: OperationalEventId) => WebhookId | null;
  /** Past the refusals that are for publishers: a disk that is low is told of, too. */
  readonly publish: (requests: readonly PublishRequest[]) => Promise<readonly PublishOutcome[]>;
}

/** Notices that wait while the store takes nothing. */
const WAITING_MAX = 1_000;
const BATCH_MAX = 100;

/** Puts hookd's own events through the intake that all events go through; what is refused there waits, and goes again. */
export class OperationalOutbox {
  readonly #deps: OutboxDeps;
  #waiting: Notice[] = [];
  #flushing: Promise<void> | null = null;

  constructor(deps: OutboxDeps) {
    this.#deps = deps;
  }

  /** `flush` follows. */
  add(notice: Notice): void {
    const { targetOf, counters } = this.#deps;
    if (targetOf(notice.eventId) === null) return;
    if (notice.uid !== null && this.#waiting.some(({ uid }) => uid === notice.uid)) return;
    if (this.#waiting.length >= WAITING_MAX) counters.operationalDropped += 1;
    else this.#waiting.push(notice);
  }

  /** Publishes what waits, until there is nothing but what was refused. */
  flush(): Promise<void> {
    this.#flushing ??= this.#flushAll().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  /** In one commit. For each whether it is stored, now or before, or there is nobody to get it. */
  async publish(notices: readonly Notice[]): Promise<readonly boolean[]> {
    const { targetOf, publish, counters } = this.#deps;
    const requests = notices.flatMap((notice) => {
      const target = targetOf(notice.eventId);
      return target === null ? [] : [{ notice, request: requestOf(notice, target) }];
    });
    if (requests.length === 0) return notices.map(() => true);
    const outcomes = await publish(requests.map(({ request }) => request));
    const refused = new Set<Notice>();
    requests.forEach(({ notice }, index) => {
      const outcome = outcomes[index];
      const isRefused = outcome === undefined || outcome instanceof Problem;
      if (!isRefused && !outcome.isDuplicate) addTo(counters.operational, notice.eventId);
      // A conflict: it was told before a crash, when some of what it tells was different.
      if (isRefused && outcome?.code !== "uid_conflict") refused.add(notice);
    });
    return notices.map((notice) => !refused.has(notice));
  }

  async #flushAll(): Promise<void> {
    let refusedCount = 0;
    while (this.#waiting.length > refusedCount) {
      const batch = this.#waiting.slice(0, Math.min(this.#waiting.length - refusedCount, BATCH_MAX));
      const areStored = await this.publish(batch);
      const refused = batch.filter((_, index) => areStored[index] !== true);
      // Behind the others: what one webhook does not take for now must not keep from another what is for that.
      this.#waiting = [...this.#waiting.slice(batch.length), ...refused];
      for (const notice of batch) if (!refused.includes(notice)) await notice.onStored?.();
      refusedCount += refused.length;
    }
  }
}

function requestOf({ eventId, uid, at, data }: Notice, target: WebhookId): PublishRequest {
  return {
    userId: OPERATOR_USER,
    eventId,
    uid,
    contentType: "application/json",
    payload: payloadOf(eventId, at, data),
    targets: [target],
    trace: null,
  };
}
