import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { IdSalt } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../lib/clock.ts";
import type { BodyRoom } from "./body-room.ts";
import { problemAnswer } from "./problems.ts";
import type { FastPublish, FastRequest } from "./publish-fast.ts";
import { ANSWER_TYPE } from "./publishing.ts";
import { readHead } from "./request-head.ts";
import { type SharedReads, shareReads } from "./shared-reads.ts";
import { WAITING_MAX } from "./waiting.ts";

export interface FastConnectionsDeps {
  readonly fast: FastPublish;
  readonly room: BodyRoom;
  readonly salt: () => IdSalt;
  readonly requestId: (given: string | undefined) => string;
  /** Node's server goes on with the connection: it reads what was given back to the socket, and all that follows. */
  readonly handOver: (socket: Socket) => void;
  readonly clock: Clock;
  readonly limits: FastConnectionLimits;
}

export interface FastConnectionLimits {
  /** Until the first request, or between an answer and the next one: pools open connections ahead of their use. */
  readonly idleMs: number;
  /** From a request's first byte to its last. */
  readonly requestMs: number;
  readonly checkEveryMs: number;
}

const HEAD_END = Buffer.from("\r\n\r\n");
/** Heads are far below; a longer one is for Node's parser to judge. */
const HEAD_BYTES_MAX = 4_096;

/**
 * The publishers' connections as they come, before Node's HTTP server: requests that take the short way are read from
 * the socket's bytes and answered there. At the first byte of anything else the connection is handed over to Node's
 * server, for good, once what was asked before is answered. (Node's parser and its request and response objects cost
 * more than all else that hookd does with an event on this thread: docs/decisions/0009-short-way.md.)
 */
export class FastConnections {
  readonly deps: FastConnectionsDeps;
  readonly #open = new Set<FastConnection>();
  readonly #timer: NodeJS.Timeout;
  #isClosing = false;

  constructor(deps: FastConnectionsDeps) {
    this.deps = deps;
    this.#timer = setInterval(() => this.#check(), deps.limits.checkEveryMs).unref();
  }

  take(socket: Socket): void {
    if (this.#isClosing) socket.destroy();
    else this.#open.add(new FastConnection(this, socket));
  }

  forget(connection: FastConnection): void {
    this.#open.delete(connection);
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Idle connections are closed at once, the others end with their last answer. */
  close(): void {
    this.#isClosing = true;
    clearInterval(this.#timer);
    for (const connection of this.#open) connection.closeWhenIdle();
  }

  /** Those that are left: whose client does not read its answers, or does not close its side. */
  destroyAll(): void {
    for (const connection of this.#open) connection.destroy();
  }

  #check(): void {
    const nowMono = this.deps.clock.mono();
    for (const connection of this.#open) connection.check(nowMono);
  }
}

interface Answer {
  /** Null until it is there: answers go out in the order of their requests. */
  bytes: string | Buffer | null;
}

/** A request whose body is still coming. */
interface Partial {
  readonly request: FastRequest;
  /** In one piece from the start: a body that comes byte by byte must not cost an object for each. */
  readonly body: Buffer;
  /** Bytes of it that have come. */
  length: number;
}

/**
 *   reading --request, complete--> reading, an answer more to wait for
 *   reading --head without its body--> reading the body, for `requestMs`
 *   reading --anything else--> leaving: paused until all is answered --> handed over
 *   any --the other side ends, or hookd stops--> ending: closed with the last answer
 */
class FastConnection {
  readonly #all: FastConnections;
  readonly #socket: Socket;
  readonly #answers: Answer[] = [];
  /** Null: it reads a stream. */
  readonly #reads: SharedReads | null;
  #partial: Partial | null = null;
  /** What Node's server has to read; null while nothing has come that is not ours. */
  #rest: Buffer | null = null;
  #isEnding = false;
  #activeMono: number;

  constructor(all: FastConnections, socket: Socket) {
    this.#all = all;
    this.#socket = socket;
    this.#activeMono = all.deps.clock.mono();
    socket.setNoDelay(true);
    this.#reads = shareReads(socket, this.#onData);
    if (this.#reads === null) socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** Between two requests there is nothing to wait for: many clients' pools would not see an end before they ask again. */
  closeWhenIdle(): void {
    if (this.#answers.length === 0 && this.#rest === null) this.#socket.destroySoon();
    else this.#endWhenIdle();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #endWhenIdle(): void {
    this.#isEnding = true;
    // The body will not come, or not in time: nothing was acknowledged.
    if (this.#partial !== null) this.#socket.destroy();
    else this.#flush();
  }

  check(nowMono: number): void {
    const { idleMs, requestMs } = this.#all.deps.limits;
    if (this.#answers.length > 0 || this.#rest !== null) return;
    if (nowMono - this.#activeMono <= (this.#partial === null ? idleMs : requestMs)) return;
    if (this.#partial !== null) {
      const problem = new Problem(
        "request_timeout",
        `the request came too slowly: it has ${requestMs / 1_000} s`,
      );
      this.#socket.write(this.#refused(problem, this.#all.deps.requestId(undefined), true));
    }
    this.#socket.destroy();
  }

  /** `chunk` is used again afterwards. */
  readonly #onData = (chunk: Buffer): void => {
    // It has had its last answer: the client asks again, as it has not seen the end yet.
    if (this.#socket.writableEnded) return;
    const at = this.#readBody(chunk, 0);
    if (this.#partial === null && at < chunk.length) this.#readRequests(chunk, at);
  };

  readonly #onEnd = (): void => this.#endWhenIdle();

  readonly #onError = (): void => {
    this.#socket.destroy();
  };

  readonly #onClose = (): void => {
    this.#all.forget(this);
    if (this.#partial !== null) this.#all.deps.room.give(this.#partial.body.length);
    this.#partial = null;
  };

  readonly #onDrain = (): void => {
    if (this.#rest === null) this.#socket.resume();
  };

  #readRequests(chunk: Buffer, from: number): void {
    for (let at = from; at < chunk.length; ) {
      const end = chunk.indexOf(HEAD_END, at);
      const isHead = end >= 0 && end - at <= HEAD_BYTES_MAX && this.#answers.length < WAITING_MAX;
      const head = isHead ? readHead(chunk.toString("latin1", at, end + 2), this.#all.deps.fast.reads) : null;
      const request = head && this.#all.deps.fast.take(head.url, head.headers);
      const bodyAt = end + HEAD_END.length;
      if (!request || (chunk.length - bodyAt < request.bodyBytes && !this.#hasRoom(request))) {
        this.#leave(Buffer.from(chunk.subarray(at)));
        return;
      }
      this.#activeMono = this.#all.deps.clock.mono();
      at = this.#begin(request, chunk, bodyAt);
    }
  }

  /**
   * Takes memory for a body that is still coming, or leaves the request to the full way: it asks for the key before it
   * reads a body, so that strangers get no memory for theirs here either; and it says that there is no room.
   */
  #hasRoom(request: FastRequest): boolean {
    const { fast, room } = this.#all.deps;
    return fast.isKnown(request) && room.take(request.bodyBytes);
  }

  /** A request whose head has been read. Where the bytes behind what is there of it begin. */
  #begin(request: FastRequest, chunk: Buffer, bodyAt: number): number {
    const bodyEnd = bodyAt + request.bodyBytes;
    if (bodyEnd <= chunk.length) {
      this.#publish(request, Buffer.from(chunk.subarray(bodyAt, bodyEnd)));
      return bodyEnd;
    }
    this.#partial = { request, body: Buffer.allocUnsafe(request.bodyBytes), length: 0 };
    return this.#readBody(chunk, bodyAt);
  }

  /** Gives the request that is being read what is there of its body. Where the bytes behind that begin. */
  #readBody(chunk: Buffer, at: number): number {
    const partial = this.#partial;
    if (partial === null) return at;
    const { request, body } = partial;
    const end = Math.min(chunk.length, at + body.length - partial.length);
    partial.length += chunk.copy(body, partial.length, at, end);
    if (partial.length < body.length) return end;
    this.#partial = null;
    this.#all.deps.room.give(body.length);
    this.#publish(request, body);
    return end;
  }

  #publish(request: FastRequest, body: Buffer): void {
    const { fast, requestId } = this.#all.deps;
    const answer: Answer = { bytes: null };
    this.#answers.push(answer);
    const id = requestId(request.headers["x-request-id"] as string | undefined);
    fast.publish(request, this.#socket.remoteAddress ?? "", body, id, (result) => {
      answer.bytes =
        typeof result === "string" ? acceptedAnswer(id, result) : this.#refused(result, id, false);
      this.#flush();
    });
  }

  /** Sends what is ready and next in line; and then does what waited for the last answer. */
  #flush(): void {
    const socket = this.#socket;
    let sent = 0;
    for (const { bytes } of this.#answers) {
      if (bytes === null) break;
      sent += 1;
      // Who does not read its answers is not read from.
      const isTaken = typeof bytes === "string" ? socket.write(bytes, "latin1") : socket.write(bytes);
      if (!isTaken && !socket.isPaused()) socket.pause().once("drain", this.#onDrain);
    }
    if (sent > 0) {
      this.#answers.splice(0, sent);
      this.#activeMono = this.#all.deps.clock.mono();
    }
    if (this.#answers.length > 0 || this.#partial !== null) return;
    if (this.#rest !== null) this.#handOver(this.#rest);
    else if (this.#isEnding || this.#all.isClosing) socket.end();
  }

  #leave(rest: Buffer): void {
    this.#rest = rest;
    this.#socket.pause();
    this.#flush();
  }

  #handOver(rest: Buffer): void {
    const socket = this.#socket;
    this.#all.forget(this);
    socket.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onError);
    socket.off("close", this.#onClose).off("drain", this.#onDrain);
    if (socket.destroyed) return;
    this.#reads?.toStream();
    socket.unshift(rest);
    this.#all.deps.handOver(socket);
    socket.resume();
  }

  #refused(problem: Problem, id: string, isLast: boolean): Buffer {
    const { status, headers, body } = problemAnswer(problem, id, this.#all.deps.salt());
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return Buffer.from(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nx-request-id: ${id}\r\nx-content-type-options: nosniff\r\n` +
        `${lines.join("")}content-length: ${Buffer.byteLength(body)}\r\nDate: ${httpDate()}\r\n` +
        `Connection: ${isLast ? "close" : "keep-alive"}\r\n\r\n${body}`,
    );
  }
}

/** `text` is ASCII. */
function acceptedAnswer(id: string, text: string): string {
  return `${acceptedHead()}${id}\r\ncontent-length: ${text.length}\r\n\r\n${text}`;
}

let headSecond = 0;
let headText = "";

/** All of a 202's head that is the same for a second. */
function acceptedHead(): string {
  const second = Math.floor(Date.now() / 1_000);
  if (second !== headSecond) {
    headSecond = second;
    headText =
      `HTTP/1.1 202 Accepted\r\nx-content-type-options: nosniff\r\ncontent-type: ${ANSWER_TYPE}\r\n` +
      `Date: ${httpDate()}\r\nConnection: keep-alive\r\nx-request-id: `;
  }
  return headText;
}

/** RFC 9110 5.6.7. */
function httpDate(): string {
  return new Date().toUTCString();
}
