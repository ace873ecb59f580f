import { hash } from "node:crypto";

/**
 * What is remembered of an event whose uid the publisher gave: 104 bits that stand for (user, uid) and 52 that stand
 * for what was published. Each number is a non-negative safe integer, so that stores can index it as one.
 */
export interface DedupeKey {
  readonly uidHigh: number;
  readonly uidLow: number;
  readonly content: number;
}

/** Hash of (user, uid) and of (event id, content type, payload bytes), from SHA-256. */
export function dedupeKey(
  userId: string,
  uid: string,
  eventId: string,
  contentType: string,
  payload: Uint8Array,
): DedupeKey {
  const name = hash("sha256", `${userId}\0${uid}`, "buffer");
  const kind = hash("sha256", `${eventId}\0${contentType}`, "buffer");
  const body = hash("sha256", payload, "buffer");
  return {
    uidHigh: bits52(name, 0),
    uidLow: bits52(name, 8),
    content: bits52(hash("sha256", Buffer.concat([kind, body]), "buffer"), 0),
  };
}

/** The part of the key that finds an event by its uid. */
export function uidKey(userId: string, uid: string): DedupeKey {
  const name = hash("sha256", `${userId}\0${uid}`, "buffer");
  return { uidHigh: bits52(name, 0), uidLow: bits52(name, 8), content: 0 };
}

function bits52(bytes: Buffer, at: number): number {
  return (bytes.readUInt32BE(at) & 0xfffff) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}
