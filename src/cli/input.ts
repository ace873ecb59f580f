import { createReadStream } from "node:fs";
import { Failure, messageOf } from "./failure.ts";

/** What a command is given to work on: text as it stands, `@file`, or `-` for what is piped in. */

/** Reads it whole. `what` names it in errors; more than `bytesMax` is one. */
export async function readInput(
  text: string,
  what: string,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (text !== "-" && !text.startsWith("@")) return new Uint8Array(Buffer.from(text));
  return readAll(text === "-" ? "-" : text.slice(1), what, bytesMax);
}

/** Reads a file whole; `-` is what is piped in. */
export async function readAll(
  file: string,
  what: string,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of openInput(file)) {
      bytes += chunk.length;
      if (bytes > bytesMax) throw new Error(`more than ${bytesMax} bytes, which none may have`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreadable(file, what, error);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

export interface Line {
  /** From 1, blank ones counted. */
  readonly number: number;
  readonly bytes: Buffer;
}

const NEWLINE = 0x0a;

/** The lines of a file, byte for byte, blank ones left out; `-` is what is piped in. */
export async function* readLines(file: string, what: string, lineBytesMax: number): AsyncGenerator<Line> {
  let number = 0;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  try {
    for await (const chunk of openInput(file)) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
        const bytes = Buffer.concat([...pending, chunk.subarray(start, end)]);
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        number += 1;
        if (!isBlank(bytes)) yield { number, bytes };
      }
      pending.push(chunk.subarray(start));
      pendingBytes += chunk.length - start;
      if (pendingBytes > lineBytesMax)
        throw new Error(`line ${number + 1} has more than ${lineBytesMax} bytes`);
    }
  } catch (error) {
    throw unreadable(file, what, error);
  }
  const bytes = Buffer.concat(pending);
  if (!isBlank(bytes)) yield { number: number + 1, bytes };
}

function openInput(file: string): AsyncIterable<Buffer> {
  return file === "-" ? process.stdin : createReadStream(file);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

function unreadable(file: string, what: string, error: unknown): Failure {
  const name = file === "-" ? "what is piped in" : file;
  return new Failure(`${what} cannot be read: ${name}: ${messageOf(error)}`, { exitCode: 2, cause: error });
}
