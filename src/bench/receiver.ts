import { createServer, type Server, type Socket } from "node:net";
import { readNumber } from "./digits.ts";
import { hashBytes, type Ledger, STATE } from "./ledger.ts";
import { MessageReader } from "./message-reader.ts";
import { monoMs } from "./mono.ts";
import { PayloadWriter, seqOf, webhookOf } from "./payload.ts";
import type { SampleBuffer } from "./samples.ts";
import { BEHAVIOUR, type Site } from "./site.ts";

const BACKLOG = 4_096;
const PATH_AT = "POST /h/".length;
const WEBHOOK_PATH = 0x68;
const WEBHOOK_ID = Buffer.from("\r\nwebhook-id: ");
const CR = 0x0d;
/** Of one event in so many every byte is compared; of all of them the length. */
const COMPARED_OF = 100;
const OK = answerOf(200);

/**
 * The receivers of all webhooks, in one listening socket: `POST /h/<webhook number>`. Whatever another path
 * is posted to is answered 200 and counted nowhere (calibration).
 */
export class Receiver {
  readonly #ledger: Ledger;
  readonly #site: Site;
  readonly #samples: SampleBuffer;
  readonly #payloads: PayloadWriter;
  readonly #server: Server;
  readonly #delayed = createDelayedAnswers();
  readonly #answers = new Map<number, Buffer>();
  /** An event for many webhooks: the ledger keeps an entry for each, from this one on. -1: none. */
  fanOutSeq = -1;

  constructor(ledger: Ledger, site: Site, samples: SampleBuffer, payloadBytes: number) {
    this.#ledger = ledger;
    this.#site = site;
    this.#samples = samples;
    this.#payloads = new PayloadWriter(payloadBytes);
    this.#server = createServer({ noDelay: true }, (socket) => this.#connected(socket));
  }

  listen(port: number, onListening: (port: number) => void): void {
    this.#server.listen({ host: "0.0.0.0", port, backlog: BACKLOG, reusePort: true }, () => {
      const address = this.#server.address();
      if (address !== null && typeof address === "object") onListening(address.port);
    });
  }

  close(): void {
    this.#server.close();
  }

  #connected(socket: Socket): void {
    // Listens everywhere, for that is all of 127.0.0.0/8 in one socket; nobody else has business here.
    if (socket.localAddress?.startsWith("127.") !== true) {
      socket.destroy();
      return;
    }
    const reader = new MessageReader();
    const onMessage = (data: Buffer, start: number, body: number, end: number) =>
      this.#request(socket, data, start, body, end);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk, onMessage);
      } catch {
        this.#site.faulted("unreadable");
        socket.destroy();
      }
    });
  }

  #request(socket: Socket, data: Buffer, start: number, body: number, end: number): void {
    if (data[start + PATH_AT - 2] !== WEBHOOK_PATH) {
      socket.write(OK);
      return;
    }
    const webhook = readNumber(data, start + PATH_AT);
    if (webhook < 0 || webhook >= this.#site.webhooks) {
      this.#site.faulted("misrouted");
      socket.write(OK);
      return;
    }
    this.#site.requested(webhook);
    const behaviour = this.#site.behaviourOf(webhook);
    const seq = this.#seq(data, webhook, start, body, end);
    if (behaviour === BEHAVIOUR.ok) {
      if (seq >= 0) this.#take(seq);
    } else if (behaviour !== BEHAVIOUR.swallow && seq >= 0) {
      this.#ledger.turnedAway(seq);
    }
    if (behaviour === BEHAVIOUR.down) socket.resetAndDestroy();
    else if (behaviour !== BEHAVIOUR.hang) this.#answer(socket, webhook, behaviour);
  }

  #take(seq: number): void {
    const ledger = this.#ledger;
    if (ledger.took(seq)) this.#samples.add(seq, monoMs() - ledger.dueMono(seq), 0);
  }

  #answer(socket: Socket, webhook: number, behaviour: number): void {
    const answer =
      behaviour === BEHAVIOUR.ok || behaviour === BEHAVIOUR.swallow ? OK : this.#failure(behaviour);
    const latencyMs = this.#site.latencyMsOf(webhook);
    if (latencyMs === 0) socket.write(answer);
    else this.#delayed.add(socket, answer, latencyMs);
  }

  #failure(status: number): Buffer {
    let answer = this.#answers.get(status);
    if (answer === undefined) {
      answer = answerOf(status);
      this.#answers.set(status, answer);
    }
    return answer;
  }

  /** The ledger's entry that the request is for; -1, and a fault is counted, where there is none. */
  #seq(data: Buffer, webhook: number, start: number, body: number, end: number): number {
    const seq = seqOf(data, body);
    const isFanOut = seq >= 0 && seq === this.fanOutSeq;
    const entry = isFanOut ? seq + webhook : seq;
    if (end - body !== this.#payloads.bytes) return this.#fault("wrongBytes");
    if (entry < 0 || entry >= this.#ledger.capacity || this.#ledger.stateOf(entry) === STATE.none)
      return this.#fault("neverOffered");
    const meant = webhookOf(data, body);
    if (!isFanOut && meant !== webhook) return this.#fault("misrouted");
    if (seq % COMPARED_OF === 0 && !this.#payloads.matches(data.subarray(body, end), seq, meant))
      return this.#fault("wrongBytes");
    const at = data.indexOf(WEBHOOK_ID, start) + WEBHOOK_ID.length;
    const to = data.indexOf(CR, at);
    if (at < WEBHOOK_ID.length || to > body || !this.#ledger.matchesUid(entry, hashBytes(data, at, to)))
      this.#site.faulted("wrongUid");
    return entry;
  }

  #fault(fault: Parameters<Site["faulted"]>[0]): -1 {
    this.#site.faulted(fault);
    return -1;
  }
}

function answerOf(status: number): Buffer {
  return Buffer.from(`HTTP/1.1 ${status} Bench\r\ncontent-length: 2\r\nkeep-alive: timeout=60\r\n\r\nok`);
}

interface DelayedAnswers {
  add(socket: Socket, answer: Buffer, delayMs: number): void;
}

/** One timer for all answers of one delay: those wait in the order in which they end. */
function createDelayedAnswers(): DelayedAnswers {
  const queues = new Map<number, { socket: Socket; answer: Buffer; atMono: number }[]>();
  return {
    add(socket, answer, delayMs) {
      let queue = queues.get(delayMs);
      if (queue === undefined) {
        queue = [];
        queues.set(delayMs, queue);
      }
      queue.push({ socket, answer, atMono: monoMs() + delayMs });
      if (queue.length === 1) setTimeout(() => release(delayMs), delayMs);
    },
  };

  function release(delayMs: number): void {
    const queue = queues.get(delayMs) ?? [];
    const now = monoMs();
    let done = 0;
    for (const { socket, answer, atMono } of queue) {
      if (atMono > now) break;
      if (!socket.destroyed) socket.write(answer);
      done += 1;
    }
    queue.splice(0, done);
    const [next] = queue;
    if (next !== undefined) setTimeout(() => release(delayMs), Math.max(1, next.atMono - now));
  }
}
