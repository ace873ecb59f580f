import { ATTEMPT_ERRORS, DEAD_REASONS, type EndedDelivery } from "../../domain/delivery.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../../domain/ids.ts";
import type { Db, Statement } from "./connection.ts";
import { DEAD, SUCCESS } from "./hot.ts";
import { contentTypeOf, type Journal, type JournalRow } from "./journal.ts";
import type { Webhooks } from "./webhooks.ts";

/** What the log says of how a delivery ended. */
interface LogPart {
  readonly status: number | null;
  readonly reason: number | null;
  readonly attempts: number;
  readonly completed_at: number | null;
  readonly code: number | null;
  readonly error: number | null;
  readonly duration: number | null;
}

type WalkedRow = JournalRow & LogPart & { readonly is_late: number };

export interface Walked {
  readonly ended: readonly EndedDelivery[];
  /** Successes that are too young. */
  readonly young: readonly { readonly id: number; readonly webhook: number; readonly completedAt: number }[];
  /** Where the next walk goes on, and whether there may be more below the bound. */
  readonly next: number;
  readonly hasMore: boolean;
}

/** Payloads that one slice takes into memory, and one more. */
export const ENDED_BYTES_MAX = 16 * 1_048_576;
const LOG_COLUMNS = "l.status, l.reason, l.attempts, l.completed_at, l.code, l.error, l.duration";

/** Reads deliveries that have ended with everything that cold storage keeps. */
export class EndedReader {
  readonly #journal: Journal;
  readonly #webhooks: Webhooks;
  readonly #walk: Statement;
  readonly #one: Statement;

  constructor(db: Db, journal: Journal, webhooks: Webhooks) {
    this.#journal = journal;
    this.#webhooks = webhooks;
    this.#walk = db.prepare(
      `select j.*, ${LOG_COLUMNS}, exists (select 1 from late t where t.id = j.id) as is_late
       from journal j left join log l on l.webhook = j.webhook and l.id = j.id
       where j.id >= ? and j.id < ? order by j.id limit ?`,
    );
    this.#one = db.prepare(`select ${LOG_COLUMNS} from log l where webhook = ? and id = ?`);
  }

  /** Successes in order of the journal. Those in `late` have a time of their own. */
  walk(from: number, below: number, before: number, limit: number): Walked {
    const ended: EndedDelivery[] = [];
    const young: { id: number; webhook: number; completedAt: number }[] = [];
    let examined = 0;
    let bytes = 0;
    let last = 0;
    for (const row of this.#walk.iterate(from, below, limit) as Iterable<WalkedRow>) {
      examined += 1;
      last = row.id;
      if (row.status !== SUCCESS || row.is_late === 1) continue;
      const completedAt = row.completed_at ?? 0;
      if (completedAt >= before) {
        young.push({ id: row.id, webhook: row.webhook, completedAt });
        continue;
      }
      const one = this.#ended(row.id, row.webhook, row.event === null ? row : this.#eventOf(row.id), row);
      ended.push(one);
      bytes += one.payload.length;
      if (bytes >= ENDED_BYTES_MAX) break;
    }
    const hasMore = examined === limit || bytes >= ENDED_BYTES_MAX;
    return { ended, young, next: hasMore ? last + 1 : below, hasMore };
  }

  /** Null where there is no such delivery. */
  read(id: number, webhook: number): EndedDelivery | null {
    const log = this.#one.get(webhook, id) as LogPart | undefined;
    const event = this.#journal.eventOf(id);
    return log && event ? this.#ended(id, webhook, event, log) : null;
  }

  /** Whether the delivery is still as it was read. */
  isSame(ended: EndedDelivery): boolean {
    const log = this.#one.get(ended.webhookId, ended.id) as LogPart | undefined;
    const status = ended.status === "success" ? SUCCESS : DEAD;
    return log?.status === status && log.completed_at === ended.completedAt;
  }

  #eventOf(id: number): JournalRow {
    const event = this.#journal.eventOf(id);
    if (!event) throw new Error(`delivery ${id} has no event`);
    return event;
  }

  #ended(id: number, webhook: number, event: JournalRow, log: LogPart): EndedDelivery {
    return {
      id: id as DeliveryId,
      webhookId: webhook as WebhookId,
      event: event.id as EventSeq,
      eventUid: event.uid,
      eventId: event.event_id ?? "",
      userId: this.#webhooks.userOf(webhook, event.user_id),
      status: log.status === SUCCESS ? "success" : "dead",
      reason: DEAD_REASONS[log.reason ?? -1] ?? null,
      attemptCount: log.attempts,
      completedAt: log.completed_at ?? 0,
      statusCode: log.code,
      error: ATTEMPT_ERRORS[log.error ?? -1] ?? null,
      durationMs: log.duration,
      contentType: contentTypeOf(event),
      payload: event.payload ?? new Uint8Array(0),
    };
  }
}
