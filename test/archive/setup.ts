import fs, { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { onTestFinished } from "vitest";
import type { FileCalls } from "../../src/archive/archive-files.ts";
import { memberLength } from "../../src/archive/member.ts";
import type { EndedDelivery } from "../../src/domain/delivery.ts";
import { type DeliveryId, type EventSeq, seqAtTime, type WebhookId } from "../../src/domain/ids.ts";

export const SALT = { a: 1, b: 2 };
export const NOON = Date.UTC(2026, 10, 22, 12);

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "hookd-archive-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

let made = 0;

/** A success of an event that was accepted at `at`. */
export function ended(changes: Partial<EndedDelivery> = {}, at = NOON): EndedDelivery {
  made += 1;
  const seq = seqAtTime(at) + (made % 4096);
  return {
    id: seq as DeliveryId,
    event: seq as EventSeq,
    webhookId: (seqAtTime(NOON) - 1) as WebhookId,
    eventUid: null,
    eventId: "order.paid",
    userId: "acme",
    status: "success",
    reason: null,
    attemptCount: 1,
    completedAt: at + 20,
    statusCode: 200,
    error: null,
    durationMs: 12,
    contentType: "application/json",
    payload: Buffer.from(`{"n":${made}}`),
    ...changes,
  };
}

export interface Line {
  readonly id: string;
  readonly [name: string]: unknown;
}

/** Every line of every file, as any reader of gzip gets them. */
export function readAll(directory: string): Line[] {
  return filesIn(directory).flatMap((file) => readLines(join(directory, file)));
}

export function readLines(file: string): Line[] {
  return linesOf(readFileSync(file));
}

/** The same without what a crash has left of the last member, which the next append cuts off. */
export function readWhole(directory: string): Line[] {
  return filesIn(directory).flatMap((file) => {
    const bytes = readFileSync(join(directory, file));
    let at = 0;
    for (let length = memberLength(bytes); length !== null && at + length <= bytes.length; ) {
      at += length;
      length = memberLength(bytes.subarray(at));
    }
    return linesOf(bytes.subarray(0, at));
  });
}

function linesOf(bytes: Uint8Array): Line[] {
  const text = bytes.length === 0 ? "" : gunzipSync(bytes).toString();
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

export function filesIn(directory: string): string[] {
  if (!fs.existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".gz"))
    .sort();
}

/** Real files, whose calls fail where `fault` throws. What a failing write is cut to, `cut` says. */
export function faultyFiles(
  fault: (call: keyof FileCalls) => void,
  cut: (bytes: number) => number = () => 0,
): FileCalls {
  return new Proxy(fs, {
    get(_, name: keyof FileCalls) {
      const real = fs[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        try {
          fault(name);
        } catch (error) {
          if (name === "writeSync") {
            const [fd, bytes, offset, length, at] = args as [number, Uint8Array, number, number, number];
            fs.writeSync(fd, bytes, offset, cut(length), at);
          }
          throw error;
        }
        return real(...args);
      };
    },
  }) as FileCalls;
}
