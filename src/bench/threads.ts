import { availableParallelism } from "node:os";
import type { Calibration } from "./calibration.ts";
import { createLedgerMemory, type LedgerMemory } from "./ledger.ts";
import type { Load } from "./load.ts";
import { originOf } from "./names.ts";
import type { Samples } from "./samples.ts";
import { createSiteMemory, type SiteMemory } from "./site.ts";
import { Thread } from "./thread.ts";
import type {
  CalibrationData,
  Flushed,
  FromCalibration,
  FromPublisher,
  FromReceiver,
  PublisherData,
  ReceiverData,
  ToCalibration,
  ToPublisher,
  ToReceiver,
} from "./thread-messages.ts";

/** On fewer cores the generator would take them from what it measures. */
const MANY_CORES = 5;
/** The bare client keeps a connection to each, and both ends of it are this process's files. */
const CALIBRATED_ORIGINS_MAX = 4_096;

export interface ThreadSettings {
  readonly payloadBytes: number;
  readonly webhooks: number;
  readonly origins: number;
  readonly eventsMax: number;
  readonly publisherThreads: number;
}

/** Since the threads began, ms at work and ms waiting, by thread. */
export type Busy = Readonly<Record<string, { readonly activeMs: number; readonly idleMs: number }>>;

/** The threads of the bench, and the memory that they share. */
export class BenchThreads {
  readonly ledgerMemory: LedgerMemory;
  readonly siteMemory: SiteMemory;
  readonly #settings: ThreadSettings;
  readonly #publishers: Thread<ToPublisher, FromPublisher>[];
  readonly #receivers: Thread<ToReceiver, FromReceiver>[] = [];
  readonly #diskDir: string;
  #token = 0;
  receiverPort = 0;
  onAnswers: (samples: Samples) => void = () => {};
  onReceipts: (samples: Samples) => void = () => {};

  static async start(settings: ThreadSettings, diskDir: string): Promise<BenchThreads> {
    const threads = new BenchThreads(settings, diskDir);
    const count = availableParallelism() >= MANY_CORES ? 2 : 1;
    for (let index = 0; index < count; index += 1) await threads.#startReceiver(index);
    return threads;
  }

  private constructor(settings: ThreadSettings, diskDir: string) {
    this.#settings = settings;
    this.#diskDir = diskDir;
    this.ledgerMemory = createLedgerMemory(settings.eventsMax);
    this.siteMemory = createSiteMemory(settings.webhooks);
    this.#publishers = Array.from({ length: settings.publisherThreads }, (_, index) => {
      const data: PublisherData = {
        ledger: this.ledgerMemory,
        site: this.siteMemory,
        index,
        threads: settings.publisherThreads,
      };
      const thread = new Thread<ToPublisher, FromPublisher>(
        "bench/publisher-thread",
        `publisher-${index}`,
        data,
      );
      thread.on((message) => {
        if (message.kind === "samples") this.onAnswers(message.samples);
      });
      return thread;
    });
  }

  /** Rejects when one of them fails. */
  get failed(): Promise<never> {
    return Promise.race([...this.#publishers, ...this.#receivers].map((thread) => thread.failed));
  }

  /** Resolves when every thread has had the last answer of its share. */
  async publish(load: Load): Promise<void> {
    const done = this.#publishers.map((thread) =>
      thread.next((message) => (message.kind === "done" && message.id === load.id ? message : null)),
    );
    for (const thread of this.#publishers) thread.send({ kind: "load", load });
    await Promise.all(done);
  }

  stopLoad(id: number): void {
    for (const thread of this.#publishers) thread.send({ kind: "stop", id });
  }

  /** One event that many webhooks get: its entries in the ledger begin with `seq`. */
  fanOut(seq: number): void {
    for (const thread of this.#receivers) thread.send({ kind: "fanOut", seq });
  }

  /** Resolves when all that was measured so far has arrived here. */
  async flush(): Promise<Busy> {
    this.#token += 1;
    const token = this.#token;
    const flushed = (message: FromPublisher | FromReceiver): Flushed | null =>
      message.kind === "flushed" && message.token === token ? message : null;
    const busy = await Promise.all([
      ...this.#publishers.map((thread, index) => ask(thread, `publisher-${index}`)),
      ...this.#receivers.map((thread, index) => ask(thread, `receiver-${index}`)),
    ]);
    return Object.fromEntries(busy);

    async function ask(
      thread: Thread<ToPublisher, FromPublisher> | Thread<ToReceiver, FromReceiver>,
      name: string,
    ) {
      const answer = (thread as Thread<ToPublisher | ToReceiver, FromPublisher | FromReceiver>).next(flushed);
      thread.send({ kind: "flush", token });
      const { activeMs, idleMs } = await answer;
      return [name, { activeMs, idleMs }] as const;
    }
  }

  /** A thread of its own, for as long as it takes: an idle one would still take memory. */
  async calibrate(
    measure: (thread: Thread<ToCalibration, FromCalibration>, port: number) => Promise<Calibration>,
  ): Promise<Calibration> {
    const { origins } = this.#settings;
    const data: CalibrationData = {
      origins: Array.from({ length: Math.min(origins, CALIBRATED_ORIGINS_MAX) }, (_, index) =>
        originOf(index, this.receiverPort),
      ),
      directory: this.#diskDir,
    };
    const thread = new Thread<ToCalibration, FromCalibration>(
      "bench/calibration-thread",
      "calibration",
      data,
    );
    try {
      thread.send({ kind: "listen" });
      const { port } = await thread.next((message) => (message.kind === "listening" ? message : null));
      return await measure(thread, port);
    } finally {
      await thread.stop();
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#publishers, ...this.#receivers].map((thread) => thread.stop()));
  }

  async #startReceiver(index: number): Promise<void> {
    const data: ReceiverData = {
      ledger: this.ledgerMemory,
      site: this.siteMemory,
      payloadBytes: this.#settings.payloadBytes,
      port: this.receiverPort,
    };
    const thread = new Thread<ToReceiver, FromReceiver>("bench/receiver-thread", `receiver-${index}`, data);
    thread.on((message) => {
      if (message.kind === "samples") this.onReceipts(message.samples);
    });
    this.#receivers.push(thread);
    const { port } = await thread.next((message) => (message.kind === "listening" ? message : null));
    this.receiverPort = port;
  }
}
