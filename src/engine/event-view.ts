import { uidKey } from "../domain/dedupe.ts";
import { DELIVERY_REFS_MAX } from "../domain/delivery.ts";
import { type EventSeq, type IdSalt, parseId, timeOfSeq } from "../domain/ids.ts";
import type { Store } from "../store/port.ts";
import type { EventView } from "./port.ts";

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
    const event = await store.getEvent(seq, DELIVERY_REFS_MAX);
    const isMeant =
      event && event.userId === userId && (event.uid === uid || (event.uid === null && seq === own));
    if (!isMeant) continue;
    const { seq: number, ...rest } = event;
    return { ...rest, event: number, createdAt: timeOfSeq(seq) };
  }
  return null;
}
