import { setTimeout as sleep } from "node:timers/promises";
import { PROBLEMS } from "../domain/problem.ts";
import type { AcceptedBody } from "../http-api.ts";
import { formatMs, plural } from "../lib/format.ts";
import type { ApiAnswer, Client } from "./client.ts";
import { Failure, messageOf } from "./failure.ts";
import { type Line, readLines } from "./input.ts";
import { createProgress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

export interface SendFileOptions {
  /** NDJSON: one event a line; `-` is what is piped in. */
  readonly file: string;
  /** Makes the event of a line; null where the line is no JSON. */
  readonly wrap: (line: Buffer) => Buffer | null;
  /** Events of one request at most. */
  readonly batchItems: number;
  /** How long what is refused for now is sent again, without any of it being taken. */
  readonly patienceMs: number;
}

interface Refusal {
  readonly code: string;
  readonly detail?: string;
}

interface BatchBody {
  readonly results: readonly {
    readonly index: number;
    readonly accepted?: AcceptedBody;
    readonly error?: Refusal & { readonly retryable: boolean };
  }[];
}

/** Items that were refused for now, and when to send them again. */
interface Open {
  readonly lines: readonly { readonly line: Line; readonly refusal: Refusal }[];
  readonly waitMs: number;
}

/** Half of what hookd takes in one request by default (`limits.batch_bytes`). */
const BATCH_BYTES = 4 * 1024 * 1024;
/** The largest payload there can be, and its envelope. */
const LINE_BYTES_MAX = 16 * 1024 * 1024 + 64 * 1024;
/** Where hookd says nothing of when to come back. */
const WAIT_MS = 1_000;
/** Longer than hookd ever asks for, and no longer than a timer takes. */
const WAIT_MAX_MS = 3_600_000;
/** Refusals told one by one; the others are counted. With --json all are told. */
const REFUSALS_TOLD = 20;
/** A whole batch is refused for these because of single lines. */
const SPLIT_CODES = ["invalid_json", "payload_too_large"];

/**
 * Publishes many events, batch after batch, and says exactly what came of them. What is refused for now is sent again
 * when hookd says. True when every event was accepted.
 */
export async function sendFile(
  { client, terminal }: { client: Client; terminal: Terminal },
  options: SendFileOptions,
): Promise<boolean> {
  const sending = new Sending(client, terminal, options.patienceMs);
  // Before the listener that ends the process: whoever stops it wants to know how far it got.
  const onStop = () => sending.breakOff();
  process.prependOnceListener("SIGINT", onStop);
  let batch: Line[] = [];
  let bytes = 0;
  try {
    for await (const line of readLines(options.file, "the events", LINE_BYTES_MAX)) {
      const event = options.wrap(line.bytes);
      if (event === null) {
        sending.refuse(line, { code: "invalid_json", detail: "the line is not JSON" });
        continue;
      }
      if (batch.length === options.batchItems || (batch.length > 0 && bytes + event.length > BATCH_BYTES)) {
        await sending.send(batch);
        batch = [];
        bytes = 0;
      }
      batch.push({ number: line.number, bytes: event });
      bytes += event.length + 1;
    }
    if (batch.length > 0) await sending.send(batch);
  } finally {
    process.removeListener("SIGINT", onStop);
    // With --curl nothing was sent.
    if (!client.isCurl) sending.summarize();
  }
  return sending.isComplete();
}

class Sending {
  readonly #client: Client;
  readonly #terminal: Terminal;
  readonly #patienceMs: number;
  readonly #progress: ReturnType<typeof createProgress>;
  readonly #tally = { accepted: 0, duplicates: 0, unmatched: 0, deliveries: 0, refused: 0, unknown: 0 };

  /** What hookd was sent, and has not answered yet. */
  #asked: readonly Line[] = [];

  constructor(client: Client, terminal: Terminal, patienceMs: number) {
    this.#client = client;
    this.#terminal = terminal;
    this.#patienceMs = patienceMs;
    this.#progress = createProgress(terminal);
  }

  isComplete(): boolean {
    return this.#tally.refused === 0 && this.#tally.unknown === 0;
  }

  /** Resolves when each of the batch is accepted or refused for good. Throws where the rest has no chance either. */
  async send(batch: readonly Line[]): Promise<void> {
    let takenAtMono = performance.now();
    let lines = batch;
    while (lines.length > 0) {
      const open = await this.#post(lines);
      if (open.lines.length < lines.length) takenAtMono = performance.now();
      lines = open.lines.map(({ line }) => line);
      this.#progress.update(this.#summary());
      if (lines.length === 0) return;
      if (performance.now() + open.waitMs > takenAtMono + this.#patienceMs) {
        for (const { line, refusal } of open.lines) this.refuse(line, refusal);
        return;
      }
      this.#progress.update(
        `${this.#summary()}; ${lines.length} refused for now, again in ${formatMs(open.waitMs)}`,
      );
      await sleep(open.waitMs);
    }
  }

  /** Says what came of it when it is stopped in the middle. */
  breakOff(): void {
    if (this.#asked.length > 0) this.#lose(this.#asked);
    this.summarize();
  }

  refuse(line: Line, refusal: Refusal): void {
    this.#tally.refused += 1;
    if (this.#client.isJson) this.#printJson({ line: line.number, error: refusal });
    else if (this.#tally.refused <= REFUSALS_TOLD) {
      this.#terminal.note(`line ${line.number}: ${refusal.detail ?? "refused"} (${refusal.code})`, "red");
    }
  }

  summarize(): void {
    this.#progress.end();
    if (this.#client.isJson) {
      this.#printJson({ summary: { events: this.#count(), ...this.#tally } });
      return;
    }
    const untold = this.#tally.refused - REFUSALS_TOLD;
    if (untold > 0) this.#terminal.note(`... and ${untold} more are refused; --json tells of each.`, "red");
    this.#terminal.line(this.#summary(), this.isComplete() ? "green" : "red");
  }

  async #post(lines: readonly Line[]): Promise<Open> {
    let answer: ApiAnswer<BatchBody>;
    this.#asked = lines;
    try {
      answer = await this.#client.call<BatchBody>({
        method: "POST",
        path: "/events/batch",
        contentType: "application/x-ndjson",
        bytes: new Uint8Array(Buffer.concat(lines.flatMap(({ bytes }) => [bytes, Buffer.from("\n")]))),
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#asked = [];
      return this.#refused(lines, error);
    }
    this.#asked = [];
    const open: { line: Line; refusal: Refusal }[] = [];
    for (const { index, accepted, error } of answer.body.results) {
      const line = lines[index];
      if (line === undefined) continue;
      if (accepted !== undefined) this.#accept(line, accepted);
      else if (error?.retryable === true) open.push({ line, refusal: error });
      else this.refuse(line, error ?? { code: "internal" });
    }
    return { lines: open, waitMs: waitOf(answer.retryAfterSeconds) };
  }

  /** The request as a whole was not taken. */
  async #refused(lines: readonly Line[], error: Failure): Promise<Open> {
    const code = error.code ?? "unreachable";
    const refusal = { code, detail: messageOf(error) };
    if (SPLIT_CODES.includes(code)) {
      const [first] = lines;
      if (first !== undefined && lines.length === 1) this.refuse(first, refusal);
      if (lines.length <= 1) return { lines: [], waitMs: 0 };
      const middle = Math.ceil(lines.length / 2);
      const halves = [await this.#post(lines.slice(0, middle)), await this.#post(lines.slice(middle))];
      return {
        lines: halves.flatMap((half) => half.lines),
        waitMs: Math.max(...halves.map(({ waitMs }) => waitMs)),
      };
    }
    if (isRetryable(code)) {
      return { lines: lines.map((line) => ({ line, refusal })), waitMs: waitOf(error.retryAfterSeconds) };
    }
    if (error.code === null && !isUnsent(error)) this.#lose(lines);
    else for (const line of lines) this.refuse(line, refusal);
    throw error;
  }

  #lose(lines: readonly Line[]): void {
    this.#tally.unknown += lines.length;
    const where = `lines ${lines[0]?.number} to ${lines.at(-1)?.number}`;
    this.#terminal.note(
      `The answer for ${where} was lost: they may have been published, or not. Events with an ` +
        "event_uid of their own can be sent again: each is still one event.",
      "yellow",
    );
  }

  #accept(line: Line, accepted: AcceptedBody): void {
    this.#tally.accepted += 1;
    this.#tally.deliveries += accepted.delivery_count;
    if (accepted.duplicate) this.#tally.duplicates += 1;
    else if (accepted.delivery_count === 0 && accepted.fan_out === undefined) this.#tally.unmatched += 1;
    if (this.#client.isJson) this.#printJson({ line: line.number, accepted });
  }

  #count(): number {
    return this.#tally.accepted + this.#tally.refused + this.#tally.unknown;
  }

  #summary(): string {
    const { accepted, duplicates, unmatched, deliveries, refused, unknown } = this.#tally;
    const notes = [
      ...(duplicates > 0 ? [`${duplicates} published before`] : []),
      ...(unmatched > 0 ? [`${unmatched} without a webhook`] : []),
    ];
    const noted = notes.length > 0 ? ` (${notes.join(", ")})` : "";
    return [
      `${plural(this.#count(), "event")}: ${accepted} accepted${noted}`,
      `${refused} refused`,
      ...(unknown > 0 ? [`${unknown} unknown`] : []),
      plural(deliveries, "delivery", "deliveries"),
    ].join(", ");
  }

  #printJson(value: unknown): void {
    this.#terminal.json(JSON.stringify(value));
  }
}

function waitOf(seconds: number | null): number {
  return seconds === null ? WAIT_MS : Math.min(seconds * 1000, WAIT_MAX_MS);
}

function isRetryable(code: string): boolean {
  return Object.hasOwn(PROBLEMS, code) && PROBLEMS[code as keyof typeof PROBLEMS].retryable;
}

/** Nobody listened, so the request cannot have been taken. */
function isUnsent({ cause }: Failure): boolean {
  const inner = cause instanceof Error ? cause.cause : undefined;
  return typeof inner === "object" && inner !== null && "code" in inner && inner.code === "ECONNREFUSED";
}
