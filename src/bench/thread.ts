import type { Worker } from "node:worker_threads";
import type { ThreadEntry } from "../lib/embedded.ts";
import { startThread } from "../lib/thread.ts";

/** A thread of the bench, with what it says handed on. One that fails ends the run. */
export class Thread<To, From> {
  readonly #worker: Worker;
  readonly #listeners = new Set<(message: From) => void>();
  readonly failed: Promise<never>;

  constructor(entry: ThreadEntry, name: string, workerData: unknown) {
    this.#worker = startThread(entry, { workerData, name });
    this.#worker.on("message", (message: From) => {
      for (const listener of [...this.#listeners]) listener(message);
    });
    this.failed = new Promise((_resolve, reject) => this.#worker.once("error", reject));
    // Whoever waits for an answer hears of it; nobody has to wait.
    this.failed.catch(() => {});
  }

  send(message: To): void {
    this.#worker.postMessage(message);
  }

  on(listener: (message: From) => void): void {
    this.#listeners.add(listener);
  }

  /** The first message that `pick` makes something of. */
  next<T>(pick: (message: From) => T | null): Promise<T> {
    const found = new Promise<T>((resolve) => {
      const listener = (message: From) => {
        const picked = pick(message);
        if (picked === null) return;
        this.#listeners.delete(listener);
        resolve(picked);
      };
      this.#listeners.add(listener);
    });
    return Promise.race([found, this.failed]);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
