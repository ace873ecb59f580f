import type { MessagePort } from "node:worker_threads";
import type { Config } from "../config/config.ts";
import type { WebhookId } from "../domain/ids.ts";
import { ByteWriter } from "../lib/bytes.ts";
import type { Outcome, Sender, SendOrder, Target } from "../sender/port.ts";
import type { FromSender, ToSender } from "./messages.ts";
import { decodeOutcomes, encodeOrders, inMessages } from "./send-codec.ts";

/** A sender in a thread of its own, as the director sees it. */
export class RemoteSender implements Sender {
  #port: MessagePort;
  readonly #writer = new ByteWriter(65_536);
  #onStopped: (() => void) | null = null;
  onOutcomes: (outcomes: readonly Outcome[]) => void = () => {};

  constructor(port: MessagePort) {
    this.#port = port;
    this.#listen();
  }

  /** The thread died and another one took its place. */
  replace(port: MessagePort): void {
    this.#port.close();
    this.#port = port;
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

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#onStopped = resolve;
      this.#post({ kind: "stop" });
    });
  }

  #listen(): void {
    this.#port.on("message", (message: FromSender) => {
      if (message.kind === "outcomes") this.onOutcomes(decodeOutcomes(message.bytes));
      else this.#stopped();
    });
    this.#port.on("close", () => this.#stopped());
  }

  #stopped(): void {
    this.#onStopped?.();
    this.#onStopped = null;
  }

  #post(message: ToSender, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }
}
