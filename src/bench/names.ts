import { WEBHOOK_DIGITS } from "./payload.ts";

/** Names of fixed width, so that a ready-made request only has its digits overwritten. */
export const USER_DIGITS = 7;
export const UID_DIGITS = 12;
const EVENT_PREFIX = "bench.e";
const USER_PREFIX = "u";
export const UID_PREFIX = "bench-";

export function eventName(webhook: number): string {
  return EVENT_PREFIX + String(webhook).padStart(WEBHOOK_DIGITS, "0");
}

export function userName(user: number): string {
  return USER_PREFIX + String(user).padStart(USER_DIGITS, "0");
}

export function uidName(seq: number): string {
  return UID_PREFIX + String(seq).padStart(UID_DIGITS, "0");
}

/** Origin `number` of the receivers: they listen on all of 127.0.0.0/8. */
export function originOf(number: number, port: number): string {
  return `http://127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}:${port}`;
}
