import { connect, type Socket } from "node:net";
import { readDigits } from "./digits.ts";
import { hashBytes, type Ledger, STATE } from "./ledger.ts";
import { dueMono, type Load } from "./load.ts";
import { MessageReader } from "./message-reader.ts";
import { monoMs } from "./mono.ts";
import { createRequestWriter, type RequestWriter } from "./request-writer.ts";
import type { SampleBuffer } from "./samples.ts";
import type { Site } from "./site.ts";

/** No answer for so long: the connection is given up, and whether the event was accepted stays unknown. */
const ANSWER_MAX_MS = 60_000;
/** Before a lost connection is opened again. */
const RECONNECT_MS = 20;
const READ_BYTES = 16 * 1_024;
const STATUS_AT = 9;
const ACCEPTED = 202;
const UID_FIELD = Buffer.from('"event_uid":"');
const QUOTE = 0x22;

interface Link {
  readonly writer: RequestWriter;
  socket: Socket | null;
  reader: MessageReader;
  /** The load's index of the first event in flight; -1: idle. */
  index: number;
  sentMono: number;
}

/** What of a load came to an end. */
export interface Published {
  readonly sent: number;
  readonly answered: number;
}

/**
 * Publishes one load, or its share of it: the events (or batches) whose number modulo `threads` is `thread`.
 * An event is sent as soon as it is due and a connection is free; the connection that became free last is
 * taken, so that few stay busy while the daemon keeps up.
 */
export class Publisher {
  readonly #load: Load;
  readonly #ledger: Ledger;
  readonly #site: Site;
  readonly #samples: SampleBuffer;
  readonly #onDone: (published: Published) => void;
  readonly #links: Link[] = [];
  readonly #idle: Link[] = [];
  /** In requests, not in events. */
  readonly #step: number;
  #next: number;
  #endMono: number;
  #sent = 0;
  #answered = 0;
  #isDone = false;

  constructor(
    load: Load,
    share: { readonly thread: number; readonly threads: number },
    ledger: Ledger,
    site: Site,
    samples: SampleBuffer,
    onDone: (published: Published) => void,
  ) {
    this.#load = load;
    this.#ledger = ledger;
    this.#site = site;
    this.#samples = samples;
    this.#onDone = onDone;
    this.#next = share.thread * load.batch;
    this.#step = share.threads * load.batch;
    this.#endMono = load.endMono;
    const connections = Math.max(1, Math.floor(load.connections / share.threads));
    for (let index = 0; index < connections; index += 1) {
      const writer = createRequestWriter(load);
      const link: Link = { writer, socket: null, reader: new MessageReader(), index: -1, sentMono: 0 };
      this.#links.push(link);
      this.#open(link);
    }
  }

  /** Nothing more is sent. What is in flight is waited for. */
  stop(): void {
    this.#endMono = Math.min(this.#endMono, monoMs());
  }

  /** Sends what is due. Called every millisecond, and after each answer. */
  pump(): void {
    if (this.#isDone) return;
    const load = this.#load;
    const now = monoMs();
    const isOver = now >= this.#endMono;
    while (!isOver && this.#idle.length > 0 && this.#next < load.count) {
      const due = load.ratePerSecond === null ? now : dueMono(load, this.#next);
      if (due > now || load.startMono > now) return;
      this.#send(this.#idle.pop() as Link, this.#next, due, now);
      this.#next += this.#step;
    }
    if (isOver || this.#next >= load.count) this.#finish();
  }

  /** Gives up on connections that do not answer. Called now and then. */
  check(): void {
    const oldest = monoMs() - ANSWER_MAX_MS;
    for (const link of this.#links) {
      if (link.index >= 0 && link.sentMono < oldest) link.socket?.destroy();
    }
  }

  #send(link: Link, index: number, due: number, now: number): void {
    const { baseSeq, batch, isLedgered } = this.#load;
    if (isLedgered) {
      for (let item = 0; item < batch; item += 1) this.#ledger.offered(baseSeq + index + item, due);
    }
    link.index = index;
    link.sentMono = now;
    this.#sent += batch;
    link.socket?.write(link.writer.write(index));
  }

  #open(link: Link): void {
    const { host, port } = this.#load;
    const socket = connect({
      host,
      port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (length, buffer) => {
          this.#read(link, Buffer.from(buffer.buffer, buffer.byteOffset, length));
          return true;
        },
      },
    });
    link.socket = socket;
    link.reader = new MessageReader();
    socket.once("connect", () => {
      this.#idle.push(link);
      this.pump();
    });
    socket.on("error", () => {});
    socket.once("close", () => this.#lost(link));
  }

  #read(link: Link, chunk: Buffer): void {
    try {
      link.reader.push(chunk, (data, start, body, end) => {
        if (link.index < 0) return;
        const index = link.index;
        link.index = -1;
        this.#answer(index, data, start, body, end);
        this.#idle.push(link);
      });
    } catch {
      link.socket?.destroy();
    }
    this.pump();
  }

  #answer(index: number, data: Buffer, start: number, body: number, end: number): void {
    const { baseSeq, batch, isLedgered } = this.#load;
    const status = readDigits(data, start + STATUS_AT, 3);
    this.#answered += batch;
    if (!isLedgered) return;
    if (batch === 1) {
      this.#settle(baseSeq + index, status, status === ACCEPTED ? uidHash(data, body, end) : 0);
      return;
    }
    const statuses = status === ACCEPTED ? batchStatuses(data.toString("utf8", body, end)) : [];
    for (let item = 0; item < batch; item += 1) {
      const one = statuses[item];
      this.#settle(baseSeq + index + item, one?.status ?? status, one?.uid ?? 0);
    }
  }

  #settle(seq: number, status: number, uid: number): void {
    const ledger = this.#ledger;
    if (status === ACCEPTED) {
      ledger.answered(seq, STATE.acknowledged);
      if (!ledger.matchesUid(seq, uid)) this.#site.faulted("wrongUid");
    } else {
      ledger.answered(seq, status === 0 ? STATE.unknown : STATE.refused);
    }
    this.#samples.add(seq, monoMs() - ledger.dueMono(seq), status);
  }

  /** An event in flight on a lost connection is unknown: it may be durable, or not. */
  #lost(link: Link): void {
    link.socket = null;
    if (this.#isDone) return;
    const at = this.#idle.indexOf(link);
    if (at >= 0) this.#idle.splice(at, 1);
    if (link.index >= 0) {
      const { baseSeq, batch, isLedgered } = this.#load;
      for (let item = 0; isLedgered && item < batch; item += 1) {
        this.#settle(baseSeq + link.index + item, 0, 0);
      }
      link.index = -1;
      this.#answered += batch;
    }
    setTimeout(() => {
      if (!this.#isDone) this.#open(link);
    }, RECONNECT_MS);
  }

  #finish(): void {
    if (this.#isDone || this.#links.some(({ index }) => index >= 0)) return;
    this.#isDone = true;
    for (const { socket } of this.#links) socket?.destroy();
    this.#onDone({ sent: this.#sent, answered: this.#answered });
  }
}

function uidHash(data: Buffer, body: number, end: number): number {
  const from = data.indexOf(UID_FIELD, body) + UID_FIELD.length;
  const to = data.indexOf(QUOTE, from);
  return from > UID_FIELD.length && to <= end ? hashBytes(data, from, to) : 0;
}

/** Per item of a batch: the status, as the same event alone would have had it, and the hash of its uid. */
function batchStatuses(text: string): { status: number; uid: number }[] {
  const { results } = JSON.parse(text) as {
    results: { accepted?: { event_uid: string }; error?: { status?: number } }[];
  };
  return results.map(({ accepted, error }) => {
    if (accepted === undefined) return { status: error?.status ?? 400, uid: 0 };
    const uid = Buffer.from(accepted.event_uid, "latin1");
    return { status: ACCEPTED, uid: hashBytes(uid, 0, uid.length) };
  });
}
