import { readDigits, writeDigits } from "./digits.ts";

/**
 * What the bench publishes: `{"seq":"000000000123","to":"0000045","x":"..."}`. The numbers are text because
 * JSON has no leading zeros, and stand at fixed places so that a receiver finds them without parsing.
 */
const HEAD = Buffer.from('{"seq":"000000000000","to":"0000000","x":"');
const TAIL = Buffer.from('"}');
const SEQ_AT = 8;
const SEQ_DIGITS = 12;
const TO_AT = 28;
export const WEBHOOK_DIGITS = 7;

const PAYLOAD_BYTES_MIN = HEAD.length + TAIL.length;

/** Prime: neighbouring events get different bytes, and payloads that were mixed up show. */
const SHIFTS = 997;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** Writes and checks payloads of one size. */
export class PayloadWriter {
  readonly bytes: number;
  readonly #filler: Buffer;

  constructor(bytes: number) {
    if (bytes < PAYLOAD_BYTES_MIN) throw new Error(`a payload has ${PAYLOAD_BYTES_MIN} bytes at least`);
    this.bytes = bytes;
    this.#filler = fillerOf(bytes + SHIFTS);
  }

  write(into: Buffer, at: number, seq: number, webhook: number): void {
    HEAD.copy(into, at);
    writeDigits(into, at + SEQ_AT, SEQ_DIGITS, seq);
    writeDigits(into, at + TO_AT, WEBHOOK_DIGITS, webhook);
    const shift = seq % SHIFTS;
    this.#filler.copy(into, at + HEAD.length, shift, shift + this.bytes - PAYLOAD_BYTES_MIN);
    TAIL.copy(into, at + this.bytes - TAIL.length);
  }

  /** Whether these are the bytes that were published as `seq`. */
  matches(payload: Buffer, seq: number, webhook: number): boolean {
    const expected = Buffer.allocUnsafe(this.bytes);
    this.write(expected, 0, seq, webhook);
    return payload.equals(expected);
  }
}

/** The sequence number; -1: this is no payload of the bench. */
export function seqOf(buffer: Uint8Array, at: number): number {
  return readDigits(buffer, at + SEQ_AT, SEQ_DIGITS);
}

/** The number of the webhook that it was published for; -1: none. */
export function webhookOf(buffer: Uint8Array, at: number): number {
  return readDigits(buffer, at + TO_AT, WEBHOOK_DIGITS);
}

/** Letters by a generator of fixed seed: every thread has the same. */
function fillerOf(bytes: number): Buffer {
  const filler = Buffer.allocUnsafe(bytes);
  let state = 1;
  for (let index = 0; index < bytes; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    filler[index] = LETTERS.charCodeAt(state >>> 26);
  }
  return filler;
}
