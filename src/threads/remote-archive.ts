import type { Worker } from "node:worker_threads";
import type { Archive } from "../archive/port.ts";
import type { EndedDelivery } from "../domain/delivery.ts";
import type { IdSalt } from "../domain/ids.ts";
import { ByteWriter } from "../lib/bytes.ts";
import { startThread } from "../lib/thread.ts";
import { encodeEnded } from "./archive-codec.ts";
import type { ArchiveData, FromArchive } from "./messages.ts";

/**
 * The archive in a thread of its own, begun by the first append, and anew by the next one when it has died: packing and
 * syncing would hold up commits.
 */
export class RemoteArchive implements Archive {
  readonly #directory: string;
  readonly #salt: () => IdSalt;
  readonly #writer = new ByteWriter(2 ** 20);
  #worker: Worker | null = null;
  #waiting: PromiseWithResolvers<void> | null = null;

  constructor(directory: string, salt: () => IdSalt) {
    this.#directory = directory;
    this.#salt = salt;
  }

  append(ended: readonly EndedDelivery[]): Promise<void> {
    if (this.#waiting) return Promise.reject(new Error("the archive takes one call at a time"));
    try {
      this.#worker ??= this.#start();
      const bytes = encodeEnded(this.#writer, ended);
      this.#worker.postMessage(bytes, [bytes.buffer]);
    } catch (error) {
      // What was half written must not be before the next ones.
      this.#writer.cutTo(0);
      return Promise.reject(error);
    }
    const waiting = Promise.withResolvers<void>();
    this.#waiting = waiting;
    return waiting.promise;
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const data: ArchiveData = { directory: this.#directory, salt: this.#salt() };
    const worker = startThread("threads/archive", { workerData: data, name: "archive" });
    worker.on("message", ({ failure }: FromArchive) => this.#answered(failure));
    worker.on("error", (error) => this.#answered(`its thread failed: ${String(error)}`));
    worker.on("exit", () => {
      this.#worker = null;
      this.#answered("its thread ended");
    });
    return worker;
  }

  #answered(failure: string | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    if (failure === null) waiting?.resolve();
    else waiting?.reject(new Error(failure));
  }
}
