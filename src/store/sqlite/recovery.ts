import type { IdSalt, WebhookId } from "../../domain/ids.ts";
import type { RecoveredLane } from "../port.ts";
import type { Db } from "./connection.ts";
import { type Hot, PENDING, RETRYING } from "./hot.ts";

interface Found {
  pending: number;
  retrying: number;
  state: string | null;
}

/**
 * Lanes with open deliveries, by the kept counts and one seek per queue: the backlog itself is not read. Rows are hot
 * at start only where the fold could not write them, on a full disk.
 */
export function recoverLanes(db: Db, hot: Hot): RecoveredLane[] {
  const lanes = new Map<number, Found>();
  const laneOf = (webhook: number): Found => {
    let lane = lanes.get(webhook);
    if (!lane) {
      lane = { pending: 0, retrying: 0, state: null };
      lanes.set(webhook, lane);
    }
    return lane;
  };
  const counts = db.prepare("select slot, webhook, n from tally where slot in (0, 1)").all() as {
    slot: number;
    webhook: number;
    n: number;
  }[];
  for (const { slot, webhook, n } of counts) laneOf(webhook)[slot === PENDING ? "pending" : "retrying"] = n;
  const states = db.prepare("select webhook, state from lane").all() as { webhook: number; state: string }[];
  for (const { webhook, state } of states) laneOf(webhook).state = state;
  const head = db.pluck(
    `select due_at from log indexed by log_lane where webhook = ? and status = ? and due_at is not null
       order by due_at, id limit 1`,
  );
  const unfolded = new Map<string, number>();
  for (const row of hot.rows.values()) {
    const lane = laneOf(row.webhookId);
    if (row.slot === PENDING) lane.pending -= 1;
    if (row.slot === RETRYING) lane.retrying -= 1;
    if (row.dueAt === null) continue;
    lane[row.status === PENDING ? "pending" : "retrying"] += 1;
    const key = `${row.webhookId}/${row.status}`;
    unfolded.set(key, Math.min(row.dueAt, unfolded.get(key) ?? row.dueAt));
  }
  const dueAt = (webhook: number, status: number, count: number): number | null => {
    if (count === 0) return null;
    const stored = head.get(webhook, status) as number | undefined;
    const held = unfolded.get(`${webhook}/${status}`);
    return stored === undefined || held === undefined ? (stored ?? held ?? null) : Math.min(stored, held);
  };
  return [...lanes]
    .filter(([, found]) => found.pending > 0 || found.retrying > 0 || found.state !== null)
    .map(([webhook, found]) => ({
      webhookId: webhook as WebhookId,
      ...found,
      pendingDueAt: dueAt(webhook, PENDING, found.pending),
      retryingDueAt: dueAt(webhook, RETRYING, found.retrying),
    }));
}

export function readSalt(db: Db): IdSalt {
  const hex = String(db.pluck("select value from setting where name = 'salt'").get());
  return { a: Number.parseInt(hex.slice(0, 8), 16), b: Number.parseInt(hex.slice(8, 16), 16) };
}

/** The fold's mark too: an id below it, given again after its rows were deleted, would be missed by a recovery. */
export function lastSeq(db: Db): number {
  const tables = ["journal", "webhook", "job", "api_key"];
  return Math.max(
    Number(db.pluck("select journal_id from fold").get()),
    ...tables.map((table) => Number(db.pluck(`select coalesce(max(id), 0) from ${table}`).get())),
  );
}
