import { DEAD_REASONS, type DeadReason } from "../../domain/delivery.ts";
import type { DeliveryId, WebhookId } from "../../domain/ids.ts";
import type { LaneChange } from "../port.ts";
import type { Db, Statement } from "./connection.ts";
import { DEAD, type Hot, type HotRow, NO_SLOT, PENDING, RETRYING, SUCCESS, slotOf } from "./hot.ts";
import type { Journal } from "./journal.ts";
import type { Lanes } from "./lanes.ts";
import type { Remover } from "./remover.ts";
import { Tally, TallyMoves } from "./tally.ts";

/** A row of the log that a command or bulk work looks at. */
export interface Candidate {
  readonly id: DeliveryId;
  readonly webhook: WebhookId;
  readonly status: number;
  readonly reason: number | null;
  readonly attempts: number;
  readonly completed_at: number | null;
}

interface OpenCandidate extends Candidate {
  readonly due_at: number;
  readonly queued_at: number;
}

export const CANDIDATE_COLUMNS = "l.id, l.webhook, l.status, l.reason, l.attempts, l.completed_at";
const OPEN_PAGE_ROWS = 200;

/**
 * Changes that are made in the log itself, and not by way of the journal: commands on single deliveries, and bulk
 * work. They touch only what is not hot, for after a crash the journal would put a hot row's old state back. All run
 * inside the caller's transaction.
 */
export class LogChanges {
  readonly #hot: Hot;
  readonly #journal: Journal;
  readonly #lanes: Lanes;
  readonly #remover: Remover;
  readonly #tally: Tally;
  readonly #one: Statement;
  readonly #open: Statement;
  readonly #revive: Statement;
  readonly #keepAttempt: Statement;
  readonly #end: Statement;
  readonly #makeDue: Statement;

  constructor(db: Db, hot: Hot, journal: Journal, lanes: Lanes, remover: Remover) {
    this.#hot = hot;
    this.#journal = journal;
    this.#lanes = lanes;
    this.#remover = remover;
    this.#tally = new Tally(db);
    this.#one = db.prepare(`select ${CANDIDATE_COLUMNS} from log l where webhook = ? and id = ?`);
    this.#open = db.prepare(
      `select ${CANDIDATE_COLUMNS}, l.due_at, l.queued_at from log l indexed by log_lane where webhook = ? and status = ?
       and due_at is not null and (due_at, id) > (?, ?) order by due_at, id limit ?`,
    );
    this.#revive = db.prepare(
      `update log set status = 0, reason = null, due_at = ?, queued_at = ?, round_start = attempts, completed_at = null
       where webhook = ? and id = ?`,
    );
    this.#keepAttempt = db.prepare(
      `insert or ignore into attempt
       select id, attempts, completed_at - coalesce(duration, 0), coalesce(duration, 0), 0, code, error, excerpt
       from log where webhook = ? and id = ?`,
    );
    this.#end = db.prepare(
      "update log set status = 3, reason = ?, due_at = null, completed_at = ? where webhook = ? and id = ?",
    );
    this.#makeDue = db.prepare("update log set due_at = ? where webhook = ? and id = ?");
  }

  revive(id: DeliveryId, now: number): LaneChange | null {
    const candidate = this.find(id);
    return candidate?.status === DEAD ? (this.reviveAll([candidate], now)[0] ?? null) : null;
  }

  makeDue(id: DeliveryId, now: number): LaneChange | null {
    const candidate = this.find(id);
    if (!candidate || !isOpen(candidate)) return null;
    this.#makeDue.run(now, candidate.webhook, id);
    this.#lanes.queued(candidate.webhook, { status: candidate.status, dueAt: now, id });
    return { webhookId: candidate.webhook, pending: 0, retrying: 0, dueAt: now, died: 0 };
  }

  kill(id: DeliveryId, reason: DeadReason, now: number): LaneChange | null {
    const candidate = this.find(id);
    return candidate && isOpen(candidate) ? (this.endAll([candidate], reason, now)[0] ?? null) : null;
  }

  /** Whether something that `expire` would look at is old and hot: it must be folded first. */
  holdsOldHot(webhookId: WebhookId, queuedBefore: number, limit: number): boolean {
    return [PENDING, RETRYING].some((status) =>
      this.#hot.waitingOf(webhookId, status, limit).some((row) => row.queuedAt < queuedBefore),
    );
  }

  expire(webhookId: WebhookId, queuedBefore: number, limit: number, now: number): LaneChange {
    const old = [PENDING, RETRYING].flatMap((status) =>
      this.#freeAmongFirst(webhookId, status, limit).filter((row) => row.queued_at < queuedBefore),
    );
    return (
      this.endAll(old, "expired", now)[0] ?? { webhookId, pending: 0, retrying: 0, dueAt: null, died: 0 }
    );
  }

  /** Open deliveries of a lane that are not hot, up to `limit`: the pending ones first, oldest due first. */
  openOf(webhookId: WebhookId, limit: number): Candidate[] {
    const pending = this.#freeOf(webhookId, PENDING, limit);
    return [...pending, ...this.#freeOf(webhookId, RETRYING, limit - pending.length)];
  }

  /** The delivery as the log has it; null where it is unknown, or hot. */
  find(id: DeliveryId): Candidate | null {
    const webhookId = this.#journal.webhookOf(id);
    if (webhookId === null || this.isHot(id)) return null;
    return (this.#one.get(webhookId, id) as Candidate | undefined) ?? null;
  }

  isHot(id: DeliveryId): boolean {
    return this.#hot.rows.has(id);
  }

  reviveAll(rows: readonly Candidate[], now: number): LaneChange[] {
    const moves = new TallyMoves();
    const changes = new Changes();
    for (const row of rows) {
      // A success's last attempt is told by the log's row alone, which forgets it now.
      if (row.status === SUCCESS) this.#keepAttempt.run(row.webhook, row.id);
      this.#revive.run(now, now, row.webhook, row.id);
      moves.move(row.webhook, slotOf(row.status, row.reason), PENDING);
      changes.add(row.webhook, { pending: 1, dueAt: now });
      this.#lanes.queued(row.webhook, { status: PENDING, dueAt: now, id: row.id });
    }
    this.#tally.write(moves);
    return changes.all();
  }

  endAll(rows: readonly Candidate[], reason: DeadReason, now: number): LaneChange[] {
    const code = DEAD_REASONS.indexOf(reason);
    const moves = new TallyMoves();
    const changes = new Changes();
    for (const row of rows) {
      this.#end.run(code, now, row.webhook, row.id);
      moves.move(row.webhook, row.status, slotOf(DEAD, code));
      changes.add(row.webhook, { [row.status === PENDING ? "pending" : "retrying"]: -1, died: 1 });
    }
    this.#tally.write(moves);
    return changes.all();
  }

  purgeAll(rows: readonly Candidate[]): LaneChange[] {
    const moves = new TallyMoves();
    for (const row of rows) moves.move(row.webhook, slotOf(row.status, row.reason), NO_SLOT);
    this.#remover.remove(rows);
    this.#tally.write(moves);
    return [];
  }

  /** Of the lane's first `limit` deliveries of a status, those that are not hot. */
  #freeAmongFirst(webhookId: WebhookId, status: number, limit: number): OpenCandidate[] {
    const hot = this.#hot.waitingOf(webhookId, status, limit);
    let before = 0;
    return this.#freeOf(webhookId, status, limit).filter((row, index) => {
      while (before < hot.length && isDueBefore(hot[before] as HotRow, row)) before += 1;
      return index + before < limit;
    });
  }

  #freeOf(webhookId: WebhookId, status: number, limit: number): OpenCandidate[] {
    const free: OpenCandidate[] = [];
    // Of a lane that drains, the log still has thousands as waiting that were leased in the last seconds.
    let { dueAt, id, isEnd } = this.#lanes.positionOf(webhookId, status);
    while (free.length < limit && !isEnd) {
      const rows = this.#open.all(webhookId, status, dueAt, id, OPEN_PAGE_ROWS) as OpenCandidate[];
      free.push(...rows.filter((row) => !this.isHot(row.id)));
      ({ due_at: dueAt, id } = rows.at(-1) ?? { due_at: dueAt, id });
      isEnd = rows.length < OPEN_PAGE_ROWS;
    }
    return free.slice(0, limit);
  }
}

function isDueBefore(hot: HotRow, row: OpenCandidate): boolean {
  const dueAt = hot.dueAt ?? 0;
  return dueAt < row.due_at || (dueAt === row.due_at && hot.id < row.id);
}

function isOpen(row: Candidate): boolean {
  return row.status === PENDING || row.status === RETRYING;
}

/** Lane changes summed up by webhook. */
class Changes {
  readonly #byWebhook = new Map<
    WebhookId,
    { pending: number; retrying: number; dueAt: number | null; died: number }
  >();

  add(webhookId: WebhookId, change: Partial<Omit<LaneChange, "webhookId">>): void {
    const sum = this.#byWebhook.get(webhookId) ?? { pending: 0, retrying: 0, dueAt: null, died: 0 };
    sum.pending += change.pending ?? 0;
    sum.retrying += change.retrying ?? 0;
    sum.died += change.died ?? 0;
    sum.dueAt = change.dueAt ?? sum.dueAt;
    this.#byWebhook.set(webhookId, sum);
  }

  all(): LaneChange[] {
    return [...this.#byWebhook].map(([webhookId, sum]) => ({ webhookId, ...sum }));
  }
}
