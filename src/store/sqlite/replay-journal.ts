import { dedupeKey } from "../../domain/dedupe.ts";
import type { DeliveryId, EventSeq, WebhookId } from "../../domain/ids.ts";
import type { Db } from "./connection.ts";
import { isDiskFull } from "./database.ts";
import type { Deliveries } from "./deliveries.ts";
import type { Fold } from "./fold.ts";
import type { Hot } from "./hot.ts";
import {
  applySettlement,
  contentTypeOf,
  hotFromJournal,
  type Journal,
  type JournalRow,
  rowsBehindMark,
  settlementsBehindMark,
} from "./journal.ts";
import type { UidMemory } from "./uids.ts";
import type { Webhooks } from "./webhooks.ts";

export interface ReplayParts {
  readonly hot: Hot;
  readonly journal: Journal;
  readonly uids: UidMemory;
  readonly fold: Fold;
  readonly deliveries: Deliveries;
  readonly webhooks: Webhooks;
  readonly now: number;
}

/** What an earlier process left behind the fold's mark becomes hot, and is folded at once. Returns where the journal ends. */
export function replayJournal(db: Db, parts: ReplayParts): { journalId: number; settleSeq: number } {
  const { hot, journal, uids, fold, deliveries, webhooks, now } = parts;
  const mark = db.prepare("select journal_id as journalId, settle_seq as settleSeq from fold").get() as {
    journalId: number;
    settleSeq: number;
  };
  fold.foldedUpTo = mark.journalId;
  let journalId = mark.journalId;
  const events = new Map<number, JournalRow>();
  for (const row of rowsBehindMark(db, mark.journalId)) {
    journalId = row.id;
    if (row.uid !== null && row.payload && row.user_id !== null && row.event_id !== null) {
      const key = dedupeKey(row.user_id, row.uid, row.event_id, contentTypeOf(row), row.payload);
      uids.remember(key, row.id as EventSeq);
    }
    if (row.webhook === 0) {
      events.set(row.id, { ...row, payload: null });
      continue;
    }
    const head = row.event === null ? row : (events.get(row.event) ?? journal.headOf(row.id));
    if (!head) continue;
    const userId = webhooks.userOf(row.webhook, head.user_id);
    const hotRow = hotFromJournal(row.id as DeliveryId, row.webhook as WebhookId, head, userId, now);
    deliveries.readSlot(hotRow);
    hot.append(hotRow, now);
  }
  const { settlements, lastSettleSeq } = settlementsBehindMark(db, mark);
  for (const settlement of settlements) {
    const row = hot.rows.get(settlement.id) ?? deliveries.warm(settlement.id, settlement.webhookId);
    if (!row) continue;
    applySettlement(row, settlement);
    hot.markDirty(row, now);
  }
  const reached = { journalId, settleSeq: lastSettleSeq };
  uids.rotate(now);
  try {
    fold.finish(() => reached);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    for (const row of hot.rows.values()) if (row.dueAt !== null) hot.wait(row);
  }
  return reached;
}
