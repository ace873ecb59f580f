import { readNumber } from "./digits.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const LENGTH = Buffer.from("\r\ncontent-length: ");
const LENGTH_ANY_CASE = /\r\ncontent-length:[ \t]*(\d+)/i;
const HEAD_BYTES_MAX = 64 * 1_024;

/** A message from `start` to `end` in `data`, its body from `body` on. Valid during the call only. */
export type OnMessage = (data: Buffer, start: number, body: number, end: number) => void;

/**
 * Finds HTTP/1.1 messages, requests or answers, in what a socket gives: several in one chunk, or one over
 * several. Only what the bench meets: bodies have a content-length.
 */
export class MessageReader {
  #rest: Buffer | null = null;

  /** Calls back for each message that is whole. Throws for what is no message. */
  push(chunk: Buffer, onMessage: OnMessage): void {
    const data = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = null;
    let at = 0;
    while (at < data.length) {
      const headEnd = data.indexOf(HEAD_END, at);
      if (headEnd < 0) {
        if (data.length - at > HEAD_BYTES_MAX) throw new Error("the head of an HTTP message has no end");
        break;
      }
      const body = headEnd + HEAD_END.length;
      const end = body + lengthOf(data, at, headEnd);
      if (end > data.length) break;
      onMessage(data, at, body, end);
      at = end;
    }
    // A copy: the chunk may be a buffer that the next read fills again.
    if (at < data.length) this.#rest = Buffer.from(data.subarray(at));
  }
}

function lengthOf(data: Buffer, start: number, headEnd: number): number {
  const at = data.indexOf(LENGTH, start);
  if (at >= 0 && at < headEnd) return Math.max(0, readNumber(data, at + LENGTH.length));
  const head = data.toString("latin1", start, headEnd);
  const found = LENGTH_ANY_CASE.exec(head);
  if (found !== null) return Number(found[1]);
  if (/\r\ntransfer-encoding:/i.test(head)) throw new Error("a chunked body is more than the bench reads");
  return 0;
}
