/**
 * The grammar of the names that users choose. Each test is anchored and linear in the
 * length of the text, so hostile input costs nothing.
 */
const USER_ID = /^[A-Za-z0-9_-]{1,64}$/;
const EVENT_UID = /^[A-Za-z0-9_-]{1,64}$/;
const EVENT_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

const RESERVED_PREFIX = "hookd.";

/**
 * Whose the webhooks for hookd's own events are. It is no user id (those have no dot), so that no API key can belong to
 * it, nobody can publish for it, and no webhook that a user has made is among its own.
 */
export const OPERATOR_USER = "hookd.operator";

/** A tenant's name: 1-64 of `[A-Za-z0-9_-]`; UUIDs fit. */
export function isUserId(text: string): boolean {
  return USER_ID.test(text);
}

/** The name of what can happen, e.g. `user.created`: 1-128 of `[A-Za-z0-9_.-]`, first a letter or digit. */
export function isEventId(text: string): boolean {
  return EVENT_ID.test(text);
}

/**
 * Whether an event id is hookd's own (`hookd.`): nobody publishes it, and `*` does not match it. Of a pattern: whether it
 * matches any of these.
 */
export function isReservedEventId(eventId: string): boolean {
  return eventId.startsWith(RESERVED_PREFIX);
}

/**
 * The identity of one event: 1-64 of `[A-Za-z0-9_-]`. No dot: it is signed as `id.timestamp.body`, and with a
 * dot two different triples could sign alike.
 */
export function isEventUid(text: string): boolean {
  return EVENT_UID.test(text);
}
