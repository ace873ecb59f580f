import { uidKey } from "../domain/dedupe.ts";
import { type EventSeq, type IdSalt, parseId, timeOfSeq } from "../domain/ids.ts";
import type { Store } from "../store/port.ts";
import type { EventView } from "./port.ts";

const DELIVERIES_MAX = 100;

/** A user's event by its uid: hookd's own name for it, or the one that the publisher gave. */
export async function eventView(
  store: Store,
  salt: IdSalt,
  userId: string,
  uid: string,
): Promise<EventView | null> {
  const own = parseId("evt", uid, salt) as EventSeq | null;
  const candidates = [own, await store.findEvent(uidKey(userId, uid))];
  for (const seq of candidates) {
    if (seq === null) continue;
    const event = await store.getEvent(seq, DELIVERIES_MAX);
    const isMeant =
      event && event.userId === userId && (event.uid === uid || (event.uid === null && seq === own));
    if (!isMeant) continue;
    const { seq: number, ...rest } = event;
    return { ...rest, event: number, createdAt: timeOfSeq(seq) };
  }
  return null;
}
