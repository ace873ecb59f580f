import type { MessagePort, Worker } from "node:worker_threads";
import type { IdSalt } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import { refusalProblem } from "../domain/refusal.ts";
import type {
  Engine,
  PublishOutcome,
  PublishRequest,
  PublishResult,
  Watched,
  WatchFilter,
} from "../engine/port.ts";
import { ByteReader } from "../lib/bytes.ts";
import { systemClock } from "../lib/clock.ts";
import { Pacer } from "../lib/pacer.ts";
import { systemTimers } from "../lib/timers.ts";
import {
  type CallName,
  type FromDirector,
  MESSAGE_BYTES_MAX,
  MESSAGE_ENTRIES_MAX,
  MESSAGE_EVERY_MS,
  type ToDirector,
} from "./messages.ts";
import { newWriter, readOutcome, writeRequest } from "./publish-codec.ts";

/**
 * Events that may be on their way to their commit, and their payload bytes: while the disk is slow the director does
 * not even read its messages, so the bound has to hold here. Beyond it: 503.
 */
const OUTSTANDING_EVENTS_MAX = 20_000;
const OUTSTANDING_BYTES_MAX = 64 * 1024 * 1024;

type Broadcast = Parameters<Engine["broadcast"]>[0];
type Tell = (outcome: PublishOutcome, place: number) => void;

/** An event on its way to its commit. */
interface Waiting {
  readonly payloadBytes: number;
  /** Its caller's place for it. */
  readonly place: number;
  readonly tell: Tell;
}

/**
 * The engine as the API's thread sees it. Events published within a moment travel as one message and
 * share a commit; everything else is a call with an answer.
 */
class EngineClient {
  readonly #port: Worker | MessagePort;
  readonly #writer = newWriter();
  readonly #flushes = new Pacer(() => this.#flush(), MESSAGE_EVERY_MS, systemClock, systemTimers);
  #gathered: Waiting[] = [];
  #outstandingEvents = 0;
  #outstandingBytes = 0;
  readonly #groups = new Map<number, Waiting[]>();
  #lastGroup = 0;
  readonly #calls = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (problem: Problem) => void }
  >();
  #lastCall = 0;
  readonly #watches = new Map<number, (watched: Watched) => void>();
  #lastWatch = 0;
  readonly #changeListeners = new Set<(userId: string) => void>();
  salt: IdSalt = { a: 0, b: 0 };
  refusal: Engine["refusal"] = "starting";
  #isEnded = false;

  constructor(port: Worker | MessagePort) {
    this.#port = port;
  }

  publish(request: PublishRequest): Promise<PublishResult> {
    return new Promise((resolve, reject) => {
      this.submit(request, settling(resolve, reject));
    });
  }

  /** Throws where the event cannot be written; `done` is not called then. */
  submit(request: PublishRequest, done: Tell): void {
    const refusal = this.#refusalOf(request);
    if (refusal) done(refusal, 0);
    else this.#add(request, 0, done);
  }

  /** One answer for all. Each event that is beyond the bounds is refused. */
  publishMany(requests: readonly PublishRequest[]): Promise<readonly PublishOutcome[]> {
    if (requests.length === 0) return Promise.resolve([]);
    const { promise, resolve } = Promise.withResolvers<readonly PublishOutcome[]>();
    const tell = collecting(requests.length, resolve);
    for (const [place, request] of requests.entries()) {
      const refusal = this.#refusalOf(request);
      if (refusal) tell(refusal, place);
      else this.#add(request, place, tell);
    }
    return promise;
  }

  /** The payload travels alone: a part of a batch's body, cloned, would take the whole body with it. */
  broadcast(event: Broadcast): Promise<PublishResult> {
    const refusal = this.#refusalOf(event);
    if (refusal) return Promise.reject(refusal);
    const payload = new Uint8Array(event.payload);
    const { length } = payload;
    this.#outstandingEvents += 1;
    this.#outstandingBytes += length;
    const answer = this.call(
      "broadcast",
      [{ ...event, payload }],
      [payload.buffer],
    ) as Promise<PublishResult>;
    return answer.finally(() => {
      this.#outstandingEvents -= 1;
      this.#outstandingBytes -= length;
    });
  }

  call(method: CallName, args: readonly unknown[], transfer: ArrayBuffer[] = []): Promise<unknown> {
    if (this.#isEnded) return Promise.reject(stopping());
    this.#lastCall += 1;
    const call = this.#lastCall;
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      this.#post({ kind: "call", call, method, args }, transfer);
    });
  }

  watch(filter: WatchFilter, tell: (watched: Watched) => void): () => void {
    this.#lastWatch += 1;
    const watch = this.#lastWatch;
    this.#watches.set(watch, tell);
    this.#post({ kind: "watch", watch, filter });
    return () => {
      if (this.#watches.delete(watch)) this.#post({ kind: "unwatch", watch });
    };
  }

  onWebhookChanged(listener: (userId: string) => void): void {
    this.#changeListeners.add(listener);
  }

  receive(message: FromDirector): void {
    switch (message.kind) {
      case "published":
        this.#answer(message);
        break;
      case "returned":
        this.#calls.get(message.call)?.resolve(message.value);
        this.#calls.delete(message.call);
        break;
      case "threw": {
        const { code, detail, details, retryAfterSeconds } = message.problem;
        const wait = retryAfterSeconds === null ? {} : { retryAfterSeconds };
        this.#calls
          .get(message.call)
          ?.reject(new Problem(code, detail, { details: { ...details }, ...wait }));
        this.#calls.delete(message.call);
        break;
      }
      case "watched":
        this.#watches.get(message.watch)?.(message.watched);
        break;
      case "webhook":
        for (const listener of this.#changeListeners) listener(message.userId);
        break;
      case "refusal":
        this.refusal = message.refusal;
        break;
      case "ready":
        this.salt = message.salt;
        this.refusal = null;
        break;
      case "failed":
      case "stopped":
        this.end();
        break;
    }
  }

  /** The director is gone: what it has not answered it never saw, and nothing of it was stored. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.refusal = "shutting_down";
    for (const { place, tell } of [...this.#groups.values(), this.#gathered].flat()) tell(stopping(), place);
    for (const waiting of this.#calls.values()) waiting.reject(stopping());
    this.#groups.clear();
    this.#gathered = [];
    this.#calls.clear();
  }

  get isFull(): boolean {
    return (
      this.#outstandingEvents >= OUTSTANDING_EVENTS_MAX || this.#outstandingBytes >= OUTSTANDING_BYTES_MAX
    );
  }

  #refusalOf({ payload }: Pick<PublishRequest, "payload">): Problem | null {
    if (this.#isEnded) return stopping();
    if (
      this.#outstandingEvents < OUTSTANDING_EVENTS_MAX &&
      this.#outstandingBytes + payload.length <= OUTSTANDING_BYTES_MAX
    )
      return null;
    return new Problem(
      "overloaded",
      `${this.#outstandingEvents} events are waiting to be stored: publish more slowly`,
    );
  }

  #add(request: PublishRequest, place: number, tell: Tell): void {
    const before = this.#writer.length;
    try {
      writeRequest(this.#writer, request);
    } catch (error) {
      // Half an event would be read as the beginning of the next one.
      this.#writer.cutTo(before);
      throw error;
    }
    const payloadBytes = request.payload.length;
    this.#outstandingEvents += 1;
    this.#outstandingBytes += payloadBytes;
    if (this.#gathered.length === 0) this.#flushes.ask();
    this.#gathered.push({ payloadBytes, place, tell });
    if (this.#gathered.length >= MESSAGE_ENTRIES_MAX || this.#writer.length >= MESSAGE_BYTES_MAX)
      this.#flushes.hurry();
  }

  #flush(): void {
    if (this.#isEnded) return;
    this.#lastGroup += 1;
    const group = this.#lastGroup;
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#groups.set(group, gathered);
    const bytes = this.#writer.take();
    const outstanding = this.#outstandingEvents;
    this.#post({ kind: "publish", group, count: gathered.length, bytes, outstanding }, [bytes.buffer]);
  }

  #answer({ answers, bytes }: Extract<FromDirector, { kind: "published" }>): void {
    const reader = new ByteReader(bytes);
    for (const { group } of answers) {
      const waiting = this.#groups.get(group) ?? [];
      this.#groups.delete(group);
      for (const { payloadBytes, place, tell } of waiting) {
        this.#outstandingEvents -= 1;
        this.#outstandingBytes -= payloadBytes;
        tell(readOutcome(reader), place);
      }
      // A Map leaves a table behind now and then, old and dead, and with it the groups of that moment: were they not empty,
      // the collector would keep all that was asked and answered in them.
      waiting.length = 0;
    }
  }

  #post(message: ToDirector, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}

/*
 * Made out here, where no event is in sight: a closure keeps all that any closure beside it uses, and payloads that wait for
 * the commit live through collections, for nothing.
 */

function settling(resolve: (result: PublishResult) => void, reject: (problem: Problem) => void): Tell {
  return (outcome) => (outcome instanceof Problem ? reject(outcome) : resolve(outcome));
}

function collecting(count: number, resolve: (outcomes: readonly PublishOutcome[]) => void): Tell {
  const outcomes = new Array<PublishOutcome>(count);
  let left = count;
  return (outcome, place) => {
    outcomes[place] = outcome;
    left -= 1;
    if (left === 0) resolve(outcomes);
  };
}

function stopping(): Problem {
  return refusalProblem("shutting_down");
}

/** What is passed on as it is: all calls but `broadcast`, whose payload is given away. The compiler sees that none is left out. */
const CALLS = {
  routes: true,
  createWebhook: true,
  putWebhook: true,
  updateWebhook: true,
  deleteWebhook: true,
  getWebhooks: true,
  listWebhooks: true,
  testWebhook: true,
  live: true,
  listDeliveries: true,
  getDelivery: true,
  getEvent: true,
  retryDelivery: true,
  cancelDelivery: true,
  deadGroups: true,
  countJob: true,
  createJob: true,
  getJob: true,
  listJobs: true,
  cancelJob: true,
  createKey: true,
  findKey: true,
  getKey: true,
  listKeys: true,
  deleteKey: true,
  createBackup: true,
  listBackups: true,
  getBackup: true,
  deleteBackup: true,
  pause: true,
  resume: true,
  getPause: true,

  stats: true,
} satisfies Record<Exclude<CallName, "broadcast">, true>;

type Calls = Pick<Engine, keyof typeof CALLS>;

/** The engine behind a director thread, and where that thread's messages go. */
export function createEngineClient(port: Worker | MessagePort): {
  engine: Engine;
  receive: (message: FromDirector) => void;
} {
  const client = new EngineClient(port);
  const methods = Object.keys(CALLS) as (keyof typeof CALLS)[];
  // What comes back is what the director's method of the same name gave: that the compiler cannot see.
  const calls = Object.fromEntries(
    methods.map((method) => [method, (...args: unknown[]) => client.call(method, args)]),
  ) as unknown as Calls;
  const engine: Engine = {
    ...calls,
    publish: (request) => client.publish(request),
    submit: (request, done) => client.submit(request, done),
    publishMany: (requests) => client.publishMany(requests),
    broadcast: (event) => client.broadcast(event),
    watch: (filter, tell) => client.watch(filter, tell),
    onWebhookChanged: (listener) => client.onWebhookChanged(listener),
    get salt() {
      return client.salt;
    },
    get refusal() {
      return client.refusal;
    },
    get isFull() {
      return client.isFull;
    },
  };
  return { engine, receive: (message) => client.receive(message) };
}
