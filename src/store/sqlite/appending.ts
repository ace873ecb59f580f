import { DELIVERY_REFS_MAX } from "../../domain/delivery.ts";
import type { EventSeq } from "../../domain/ids.ts";
import type { Job } from "../../domain/job.ts";
import type { Appended, NewEvent } from "../port.ts";
import type { Journal } from "./journal.ts";
import type { SettledRow } from "./settle-batch.ts";
import type { UidMemory } from "./uids.ts";

/** New events of one commit, in order: each is appended, or known by its uid. Inside the commit's transaction. */
export class Appending {
  readonly #journal: Journal;
  readonly #uids: UidMemory;
  readonly #insertJob: (job: Job) => void;
  /** Events of this commit that have a uid to remember, by the first half of its hash. */
  readonly #remembered = new Map<number, NewEvent[]>();
  readonly appended: Appended[] = [];
  /** Deliveries that are appended dead end by a settlement in the same commit. */
  readonly ended: SettledRow[] = [];

  constructor(journal: Journal, uids: UidMemory, insertJob: (job: Job) => void) {
    this.#journal = journal;
    this.#uids = uids;
    this.#insertJob = insertJob;
  }

  append(event: NewEvent, now: number): void {
    const result = this.#append(event);
    this.appended.push(result);
    if (result.kind === "accepted") this.#noteEnds(event, now);
  }

  /** The commit is durable: its uids are known from now on. */
  confirm(): void {
    for (const events of this.#remembered.values()) {
      for (const { dedupe, seq } of events) if (dedupe) this.#uids.remember(dedupe, seq);
    }
  }

  /** Deliveries that are appended dead end by a settlement in the same commit. */
  #noteEnds(event: NewEvent, settledAt: number): void {
    for (const target of event.targets) {
      if (target.reason === null) continue;
      this.ended.push({ ...target, status: "dead", dueAt: null, attemptCount: 0, attempt: null, settledAt });
    }
  }

  #append(event: NewEvent): Appended {
    const key = event.dedupe;
    if (key) {
      const alike = this.#remembered.get(key.uidHigh);
      const twin = alike?.find(({ dedupe }) => dedupe?.uidLow === key.uidLow);
      const known = twin ? { event: twin.seq, content: twin.dedupe?.content } : this.#uids.find(key);
      if (known && known.content !== key.content) return { kind: "conflict" };
      if (known) return this.#duplicateOf(known.event, twin ?? null);
      if (alike) alike.push(event);
      else this.#remembered.set(key.uidHigh, [event]);
    }
    this.#journal.append(event);
    if (event.expansion) this.#insertJob(event.expansion);
    return { kind: "accepted" };
  }

  #duplicateOf(seq: EventSeq, inSameBatch: NewEvent | null): Appended {
    if (inSameBatch) {
      const deliveries = inSameBatch.targets.map(({ id, webhookId }) => ({ id, webhookId }));
      return {
        kind: "duplicate",
        seq,
        deliveryCount: deliveries.length,
        deliveries: deliveries.slice(0, DELIVERY_REFS_MAX),
      };
    }
    const head = this.#journal.headOf(seq);
    if (!head) return { kind: "duplicate", seq, deliveryCount: 0, deliveries: [] };
    const { refs, count } = this.#journal.deliveriesOf(head, DELIVERY_REFS_MAX);
    return { kind: "duplicate", seq, deliveryCount: count, deliveries: refs };
  }
}
