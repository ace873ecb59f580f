import type { WebhookId } from "../../domain/ids.ts";
import type { RecoveredLane } from "../port.ts";
import type { Db } from "./database.ts";
import { PENDING, RETRYING } from "./hot.ts";

interface Found {
  pending: number;
  retrying: number;
  state: string | null;
}

/** Lanes with open deliveries, by the kept counts and one seek per queue: the backlog itself is not read. */
export function recoverLanes(db: Db): RecoveredLane[] {
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
  const head = db
    .prepare(
      "select due_at from log where webhook = ? and status = ? and due_at is not null order by due_at, id limit 1",
    )
    .pluck();
  return [...lanes].map(([webhook, found]) => ({
    webhookId: webhook as WebhookId,
    ...found,
    pendingDueAt: found.pending > 0 ? ((head.get(webhook, PENDING) as number | undefined) ?? null) : null,
    retryingDueAt: found.retrying > 0 ? ((head.get(webhook, RETRYING) as number | undefined) ?? null) : null,
  }));
}
