import { crockfordDecode, crockfordEncode } from "./typeid.ts";

/**
 * Every object of hookd is named by a sequence number that is also the significant part of a UUIDv7:
 *
 *   seq = (milliseconds since 2020-01-01) * 4096 + counter        (a safe integer until the year 2089)
 *   uuid = 48 bits of Unix time | 7 | the counter (12 bits) | variant | 62 bits derived from seq and a salt
 *
 * Inside, the number is the key: rows in number order are rows in time order, and a number is one word in a map.
 * Outside, the id is a TypeID (`dlv_01h...`). The derived bits make an id of another installation unknown here,
 * and make ids hard to guess; they are no secret that anything relies on (access is checked by user).
 */
export type EventSeq = number & { readonly brand: "event" };
export type DeliveryId = number & { readonly brand: "delivery" };
export type WebhookId = number & { readonly brand: "webhook" };
export type JobId = number & { readonly brand: "job" };
export type KeyId = number & { readonly brand: "key" };

export type IdPrefix = "evt" | "dlv" | "wh" | "job" | "key";

/** Two 32-bit words, random, made once per installation and kept in its store. */
export interface IdSalt {
  readonly a: number;
  readonly b: number;
}

export const ID_EPOCH_MS = Date.UTC(2020, 0, 1);
const COUNTER_SIZE = 4096;

/** The last one is kept: of an event and its only delivery it is the same, and asked for twice. */
const scratch = new Uint8Array(16);
let lastSeq = Number.NaN;
let lastSalt: IdSalt | null = null;
let lastSuffix = "";

/** First sequence number of a wall-clock millisecond: the lower bound of every id made at or after it. */
export function seqAtTime(atMs: number): number {
  return Math.max(0, Math.floor(atMs) - ID_EPOCH_MS) * COUNTER_SIZE;
}

/** Wall-clock epoch milliseconds at which an id was made (at earliest, if its millisecond overflowed). */
export function timeOfSeq(seq: number): number {
  return Math.floor(seq / COUNTER_SIZE) + ID_EPOCH_MS;
}

/** Gives ever larger sequence numbers, also when the wall clock goes back. `last` is the largest one in the store. */
export function sequence(last: number): { next(nowMs: number): number } {
  let previous = last;
  return {
    next(nowMs) {
      previous = Math.max(previous + 1, seqAtTime(nowMs));
      return previous;
    },
  };
}

/** `dlv` and a sequence number to `dlv_01kb...` (prefix, underscore, 26 characters). */
export function formatId(prefix: IdPrefix, seq: number, salt: IdSalt): string {
  return `${prefix}_${suffixOf(seq, salt)}`;
}

function suffixOf(seq: number, salt: IdSalt): string {
  if (seq === lastSeq && salt === lastSalt) return lastSuffix;
  lastSuffix = crockfordEncode(uuidOf(seq, salt, scratch));
  lastSeq = seq;
  lastSalt = salt;
  return lastSuffix;
}

/** The sequence number of an id, or null where the text is no id of this kind and installation. */
export function parseId(prefix: IdPrefix, text: string, salt: IdSalt): number | null {
  if (text.length !== prefix.length + 27 || !text.startsWith(`${prefix}_`)) return null;
  const uuid = crockfordDecode(text.slice(prefix.length + 1));
  if (uuid === null) return null;
  const unixMs = readUint48(uuid);
  const seq = (unixMs - ID_EPOCH_MS) * COUNTER_SIZE + (((uuid[6] ?? 0) & 0x0f) << 8) + (uuid[7] ?? 0);
  if (!Number.isSafeInteger(seq) || seq < 0) return null;
  const expected = uuidOf(seq, salt);
  return expected.every((byte, index) => byte === uuid[index]) ? seq : null;
}

/** The UUIDv7 (16 bytes, RFC 9562) of a sequence number. `bytes`: where it goes, all of it written. */
export function uuidOf(seq: number, salt: IdSalt, bytes = new Uint8Array(16)): Uint8Array {
  const unixMs = timeOfSeq(seq);
  const counter = seq % COUNTER_SIZE;
  const high = Math.floor(unixMs / 0x1_0000_0000);
  const low = unixMs >>> 0;
  bytes[0] = high >>> 8;
  bytes[1] = high;
  writeUint32(bytes, 2, low);
  bytes[6] = 0x70 | (counter >>> 8);
  bytes[7] = counter;
  const first = mix((seq >>> 0) ^ salt.a);
  const second = mix(Math.floor(seq / 0x1_0000_0000) ^ salt.b ^ first);
  writeUint32(bytes, 8, mix(first ^ second ^ salt.b));
  writeUint32(bytes, 12, second);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  return bytes;
}

/** The 32-bit finalizer of MurmurHash3 (public domain): every input bit changes about half of the output bits. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function writeUint32(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

function readUint48(bytes: Uint8Array): number {
  let value = 0;
  for (let index = 0; index < 6; index += 1) value = value * 256 + (bytes[index] ?? 0);
  return value;
}
