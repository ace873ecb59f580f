import type { Logger } from "pino";
import type { Span } from "../domain/span.ts";
import type { Timers } from "../lib/timers.ts";
import { createOtlpEncoder, OTLP_TYPE } from "./otlp.ts";

export interface SpanExporterOptions {
  /** The collector's URL for traces. */
  readonly endpoint: string;
  /** May be credentials: in no log. */
  readonly headers: Readonly<Record<string, string>>;
  /** hookd's. */
  readonly version: string;
  readonly timers: Timers;
  readonly log: Logger;
}

/** By `hookd_trace_spans_total`'s label. */
export type SpanCounts = Readonly<Record<"sent" | "refused" | "dropped", number>>;

export interface SpanExporter {
  /** Takes a span; it never waits, and never throws. */
  add(span: Span): void;
  counts(): SpanCounts;
  /** Whether the collector did not take the last batch. */
  isFailing(): boolean;
  /** Sends what is left, for `STOP_MS` at most. */
  stop(): Promise<void>;
}

/** Spans that wait, about 1 KiB each; those that come then are dropped. */
const QUEUED_SPANS_MAX = 10_000;
/** What OpenTelemetry's own exporters send at once. */
const BATCH_SPANS_MAX = 512;
/** How long spans gather before they are sent. */
const GATHER_MS = 1_000;
const ANSWER_MS = 10_000;
/** Between tries while the collector does not take them: from the first, doubled up to the last. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 30_000;
const STOP_MS = 5_000;
/** OTLP specification, "Retryable Response Codes". All others: the batch is not wanted. */
const RETRYABLE = [429, 502, 503, 504];

/** What came of a batch, and why where it was not taken. */
type Outcome = { readonly result: "sent" } | { readonly result: "refused" | "later"; readonly why: string };

export function createSpanExporter(options: SpanExporterOptions): SpanExporter {
  return new OtlpExporter(options);
}

/**
 *   empty --a span--> gathering --a second--> sending, batch by batch --all sent--> empty
 *   sending --the collector does not take it now--> waiting --longer each time--> sending, the same batch
 *
 * Nothing waits for any of it: what does not fit while a collector is away is dropped and counted.
 */
class OtlpExporter implements SpanExporter {
  readonly #options: SpanExporterOptions;
  readonly #encode: (spans: readonly Span[]) => Uint8Array;
  readonly #counts = { sent: 0, refused: 0, dropped: 0 };
  readonly #stopped = new AbortController();
  #queue: Span[] = [];
  #cancelTimer: (() => void) | null = null;
  #sending: Promise<void> | null = null;
  #retryMs = RETRY_MS;
  /** Of the last batch, where it was not taken. */
  #fault: string | null = null;
  #isStopping = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
    this.#encode = createOtlpEncoder(options.version);
  }

  add(span: Span): void {
    if (this.#queue.length >= QUEUED_SPANS_MAX || this.#isStopping) {
      this.#counts.dropped += 1;
      return;
    }
    this.#queue.push(span);
    if (this.#cancelTimer === null && this.#sending === null) this.#sendAfter(GATHER_MS);
  }

  counts(): SpanCounts {
    return { ...this.#counts };
  }

  isFailing(): boolean {
    return this.#fault !== null;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    const cancel = this.#options.timers.after(STOP_MS, () => this.#stopped.abort());
    this.#cancelTimer?.();
    await (this.#sending ?? this.#begin());
    cancel();
    const left = this.#queue.length;
    this.#counts.dropped += left;
    this.#queue = [];
    if (left > 0)
      this.#options.log.warn({ spans: left }, "spans were dropped: the collector did not take them");
  }

  #sendAfter(ms: number): void {
    this.#cancelTimer = this.#options.timers.after(ms, () => {
      this.#cancelTimer = null;
      void this.#begin();
    });
  }

  #begin(): Promise<void> {
    this.#sending = this.#sendAll().then((isDone) => {
      this.#sending = null;
      if (this.#isStopping || this.#queue.length === 0) return;
      this.#sendAfter(isDone ? GATHER_MS : this.#retryMs);
      if (!isDone) this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    });
    return this.#sending;
  }

  /** False: the collector takes nothing now. */
  async #sendAll(): Promise<boolean> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_SPANS_MAX);
      const outcome = await this.#send(batch);
      this.#tell(outcome);
      if (outcome.result === "later") return false;
      this.#queue.splice(0, batch.length);
      this.#counts[outcome.result] += batch.length;
      this.#retryMs = RETRY_MS;
    }
    return true;
  }

  async #send(batch: readonly Span[]): Promise<Outcome> {
    const { endpoint, headers } = this.#options;
    let body: Uint8Array;
    try {
      body = this.#encode(batch);
    } catch (error) {
      return { result: "refused", why: reasonOf(error) };
    }
    try {
      const response = await fetch(endpoint, {
        method: "POST",
        headers: { ...headers, "content-type": OTLP_TYPE },
        body: body as Uint8Array<ArrayBuffer>,
        // Credentials are for this address alone.
        redirect: "manual",
        signal: AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(ANSWER_MS)]),
      });
      await response.arrayBuffer();
      if (response.ok) return { result: "sent" };
      const isLater = RETRYABLE.includes(response.status);
      return { result: isLater ? "later" : "refused", why: `it answered ${response.status}` };
    } catch (error) {
      return { result: "later", why: reasonOf(error) };
    }
  }

  /** Once when it begins to fail, and once when it works again. */
  #tell(outcome: Outcome): void {
    const fault = outcome.result === "sent" ? null : outcome.why;
    const wasFailing = this.#fault !== null;
    const isChanged = (fault === null) === wasFailing;
    this.#fault = fault;
    if (!isChanged) return;
    const collector = new URL(this.#options.endpoint).origin;
    if (fault === null) {
      this.#options.log.info({ collector }, "the collector takes spans again");
    } else {
      this.#options.log.warn(
        { collector, why: fault, remedy: "look at trace.endpoint, trace.headers and the collector's log" },
        "the collector takes no spans: some will be missing; deliveries do not mind",
      );
    }
  }
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
