import type { MessagePort } from "node:worker_threads";
import type { Config } from "../config/config.ts";
import type { WebhookId } from "../domain/ids.ts";
import { ByteWriter } from "../lib/bytes.ts";
import type { Outcome, Sender, SendOrder, Target } from "../sender/port.ts";
import type { FromSender, ToSender } from "./messages.ts";
import type { FailureReport } from "./own-failures.ts";
import { decodeOutcomes, encodeOrders, inMessages } from "./send-codec.ts";

/** A sender in a thread of its own, as the director sees it. */
export class RemoteSender implements Sender {
  #port: MessagePort;
  readonly #writer = new ByteWriter(65_536);
  #onStopped: (() => void) | null = null;
  /** The thread died, and no other one has taken its place. */
  #isClosed = false;
  onOutcomes: (outcomes: readonly Outcome[]) => void = () => {};
  onFailures: (report: FailureReport) => void = () => {};

  constructor(port: MessagePort) {
    this.#port = port;
    this.#listen();
  }

  /** The thread died and another one took its place. */
  replace(port: MessagePort): void {
    this.#port.close();
    this.#port = port;
    this.#isClosed = false;
    this.#listen();
  }

  putTarget(target: Target): void {
    this.#post({ kind: "target", target });
  }

  dropTarget(webhookId: WebhookId): void {
    this.#post({ kind: "drop", webhookId });
  }

  putConfig(config: Config): void {
    this.#post({ kind: "config", config });
  }

  send(orders: readonly SendOrder[]): void {
    for (const some of inMessages(orders)) {
      const bytes = encodeOrders(this.#writer, some);
      this.#post({ kind: "orders", bytes }, [bytes.buffer]);
    }
  }

  /** At once where the thread is gone: hookd that is stopping puts no other one in its place. */
  stop(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onStopped = resolve;
      this.#post({ kind: "stop" });
    });
  }

  #listen(): void {
    const port = this.#port;
    port.on("message", (message: FromSender) => {
      if (message.kind === "outcomes") this.onOutcomes(decodeOutcomes(message.bytes));
      else if (message.kind === "failures") this.onFailures(message);
      else this.#stopped();
    });
    port.on("close", () => {
      if (port !== this.#port) return;
      this.#isClosed = true;
      this.#stopped();
    });
  }

  #stopped(): void {
    this.#onStopped?.();
    this.#onStopped = null;
  }

  #post(message: ToSender, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}
