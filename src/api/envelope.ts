import { isUtf8 } from "node:buffer";
import { Problem } from "../domain/problem.ts";
import { suggest } from "../lib/suggest.ts";
import {
  isFollowed,
  JSON_DEPTH_MAX,
  JsonError,
  skipColon,
  skipSpace,
  skipString,
  skipValue,
} from "./json-scan.ts";

/**
 * What a publisher sends round a payload: `{event_id, payload, event_uid?, user_id?}`. Read by a scanner of our own
 * and not by JSON.parse, so that the payload stays the bytes that came: `1.0`, 20-digit numbers, key order and white
 * space reach the receiver (promise 6).
 */
export interface Envelope {
  eventId: string;
  eventUid: string | null;
  userId: string | null;
  /** A view of the body's bytes, from the payload value's first byte to its last. */
  payload: Buffer;
}

export const ENVELOPE_KEYS = ["event_id", "payload", "event_uid", "user_id"] as const;

/** Items of a batch. More would make one request hold a commit's worth of others back. */
export const BATCH_ITEMS_MAX = 1_000;

const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const NEWLINE = 0x0a;

/** Reads a whole body as one envelope. Throws Problem: invalid_json, invalid_field or unknown_field. */
export function parseEnvelope(body: Buffer): Envelope {
  checkUtf8(body);
  return asProblem(() => {
    const reader = { body, at: skipSpace(body, 0) };
    const envelope = readEnvelope(reader);
    checkEnd(body, reader.at);
    return envelope;
  });
}

/**
 * Reads a batch: a JSON array of envelopes, or one envelope per line (NDJSON; blank lines are skipped); the first
 * byte says which. Where the text itself is broken the whole array is refused (throws); of lines only the broken ones.
 * An item that is JSON but no envelope is a Problem in its place.
 */
export function parseBatch(body: Buffer): (Envelope | Problem)[] {
  checkUtf8(body);
  const first = skipSpace(body, 0);
  if (body[first] === OPEN_ARRAY) return asProblem(() => readArray(body, first));
  return readLines(body);
}

/** Checks that a body is one JSON text, without building it. Throws Problem invalid_json. */
export function checkJson(body: Buffer): void {
  checkUtf8(body);
  asProblem(() => checkEnd(body, skipValue(body, skipSpace(body, 0))));
}

function readArray(body: Buffer, start: number): (Envelope | Problem)[] {
  const items: (Envelope | Problem)[] = [];
  const reader = { body, at: skipSpace(body, start + 1) };
  if (body[reader.at] === CLOSE_ARRAY) reader.at += 1;
  else {
    for (;;) {
      checkCount(items.length);
      items.push(readItem(reader));
      reader.at = skipSpace(body, reader.at);
      const isMore = isFollowed(body, reader.at, CLOSE_ARRAY);
      reader.at = isMore ? skipSpace(body, reader.at + 1) : reader.at + 1;
      if (!isMore) break;
    }
  }
  checkEnd(body, reader.at);
  return items;
}

/** An item that is no envelope is reported in its place, and passed over: its text has to be JSON all the same. */
function readItem(reader: Reader): Envelope | Problem {
  const start = reader.at;
  try {
    return readEnvelope(reader);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    reader.at = skipValue(reader.body, start, JSON_DEPTH_MAX + 1);
    return error;
  }
}

function readLines(body: Buffer): (Envelope | Problem)[] {
  const items: (Envelope | Problem)[] = [];
  let start = 0;
  while (start < body.length) {
    const newline = body.indexOf(NEWLINE, start);
    const end = newline === -1 ? body.length : newline;
    const line = body.subarray(start, end);
    start = end + 1;
    const first = skipSpace(line, 0);
    if (first === line.length) continue;
    checkCount(items.length);
    items.push(readLine(line, first));
  }
  return items;
}

function readLine(line: Buffer, first: number): Envelope | Problem {
  try {
    return asProblem(() => {
      const reader = { body: line, at: first };
      const envelope = readEnvelope(reader);
      checkEnd(line, reader.at);
      return envelope;
    });
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

interface Reader {
  readonly body: Buffer;
  at: number;
}

/** Reads the envelope at `reader.at` and moves behind it. Throws JsonError for bad JSON, Problem for a bad envelope. */
function readEnvelope(reader: Reader): Envelope {
  const { body } = reader;
  if (body[reader.at] !== OPEN_OBJECT) {
    skipValue(body, reader.at, JSON_DEPTH_MAX + 1);
    throw new Problem("invalid_field", "an event must be a JSON object with event_id and payload");
  }
  let eventId: string | null = null;
  let eventUid: string | null = null;
  let userId: string | null = null;
  let payload: Buffer | null = null;
  let here = skipSpace(body, reader.at + 1);
  if (body[here] === CLOSE_OBJECT) here += 1;
  else {
    for (;;) {
      const keyEnd = skipString(body, here);
      const key = readText(body, here, keyEnd);
      const valueStart = skipColon(body, keyEnd);
      const valueEnd = skipValue(body, valueStart, JSON_DEPTH_MAX);
      switch (key) {
        case "event_id":
          if (eventId !== null) throw twice(key);
          eventId = readField(body, valueStart, valueEnd, key);
          break;
        case "payload":
          if (payload !== null) throw twice(key);
          payload = body.subarray(valueStart, valueEnd);
          break;
        case "event_uid":
          if (eventUid !== null) throw twice(key);
          eventUid = readField(body, valueStart, valueEnd, key);
          break;
        case "user_id":
          if (userId !== null) throw twice(key);
          userId = readField(body, valueStart, valueEnd, key);
          break;
        default:
          throw unknownField(key, ENVELOPE_KEYS);
      }
      here = skipSpace(body, valueEnd);
      if (!isFollowed(body, here, CLOSE_OBJECT)) {
        here += 1;
        break;
      }
      here = skipSpace(body, here + 1);
    }
  }
  reader.at = here;
  if (eventId === null) throw missing("event_id");
  if (payload === null) throw missing("payload");
  return { eventId, eventUid, userId, payload };
}

/** The text of a JSON string from its opening quote at `start` to behind its closing one. */
function readText(body: Buffer, start: number, end: number): string {
  const text = body.toString("utf8", start + 1, end - 1);
  return text.includes("\\") ? JSON.parse(`"${text}"`) : text;
}

function readField(body: Buffer, start: number, end: number, field: string): string {
  if (body[start] === 0x22) return readText(body, start, end);
  throw new Problem("invalid_field", `${field} must be a string`, { details: { field } });
}

function missing(field: string): Problem {
  return new Problem("invalid_field", `${field} is missing`, { details: { field } });
}

function twice(field: string): Problem {
  return new Problem("invalid_field", `${field} is given twice`, { details: { field } });
}

/** The problem of a field that nothing is known of, naming the one that was probably meant. */
export function unknownField(path: string, known: readonly string[]): Problem {
  const shown = path.length > 100 ? `${path.slice(0, 100)}...` : path;
  const name = shown.slice(shown.lastIndexOf(".") + 1);
  const meant = suggest(name, known);
  const hint = meant === null ? `known are ${known.join(", ")}` : `did you mean ${meant}?`;
  return new Problem("unknown_field", `${JSON.stringify(shown)} is not a known field; ${hint}`, {
    details: { field: shown, ...(meant === null ? {} : { did_you_mean: meant }) },
  });
}

function checkCount(count: number): void {
  if (count < BATCH_ITEMS_MAX) return;
  throw new Problem(
    "bad_request",
    `a batch holds ${BATCH_ITEMS_MAX} events at most; send the rest in another one`,
    {
      details: { items_max: BATCH_ITEMS_MAX },
    },
  );
}

function checkUtf8(body: Buffer): void {
  if (!isUtf8(body)) throw new Problem("invalid_json", "the body is not valid UTF-8");
}

function checkEnd(body: Buffer, at: number): void {
  const here = skipSpace(body, at);
  if (here < body.length) throw new JsonError("something follows the JSON text", here);
}

function asProblem<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new Problem("invalid_json", `${error.message} (byte ${error.offset})`, {
      details: { offset: error.offset },
    });
  }
}
